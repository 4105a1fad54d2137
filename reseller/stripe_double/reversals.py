"""Money that goes back: refunds and disputes."""

import time
from collections.abc import Mapping
from typing import Any

from reseller.stripe_double.payments import Refused
from reseller.stripe_double.state import State, new_id


def refund(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    """Give a payment back, in full without `amount`. Raises Refused when more than is left is asked for."""
    charge = _charge_of(state, params.get("payment_intent", ""))
    left = charge["amount"] - charge["amount_refunded"]
    asked = params.get("amount")
    if asked is not None and not str(asked).isdigit():
        raise Refused(f"Invalid integer: {asked}", "amount")
    units = left if asked is None else int(asked)
    if not 0 < units <= left:
        raise Refused(f"Refund amount ({units}) is greater than unrefunded amount on charge ({left}).", "amount")
    made = {
        "id": new_id("re_"),
        "object": "refund",
        "amount": units,
        "charge": charge["id"],
        "created": int(time.time()),
        "currency": charge["currency"],
        "failure_reason": None,
        "metadata": params.get("metadata") or {},
        "payment_intent": charge["payment_intent"],
        "status": "succeeded",
    }
    state.refunds[made["id"]] = made
    charge["amount_refunded"] += units
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    state.emit("refund.created", made)
    state.emit("charge.refunded", charge)
    return made


def fail_refund(state: State, made: dict[str, Any]) -> None:
    """The bank sends the money of a refund back. Raises Refused when it did already."""
    if made["status"] == "failed":
        raise Refused("This refund has failed already.")
    made.update(status="failed", failure_reason="lost_or_stolen_card")
    charge = state.charges[made["charge"]]
    charge["amount_refunded"] -= made["amount"]
    charge["refunded"] = False
    state.emit("refund.failed", made)


def refunds_of(state: State, payment_intent: str) -> list[dict[str, Any]]:
    """The refunds of a payment, newest first."""
    return [one for one in reversed(state.refunds.values()) if one["payment_intent"] == payment_intent]


def dispute(state: State, payment_intent: str, *, inquiry: bool = False) -> dict[str, Any]:
    """The card's holder contests a payment; an inquiry takes no money yet."""
    charge = _charge_of(state, payment_intent)
    opened = {
        "id": new_id("dp_"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "charge": charge["id"],
        "created": int(time.time()),
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": payment_intent,
        "reason": "fraudulent",
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    charge["disputed"] = True
    state.disputes[opened["id"]] = opened
    state.emit("charge.dispute.created", opened)
    if not inquiry:
        state.emit("charge.dispute.funds_withdrawn", opened)
    return opened


def escalate(state: State, opened: dict[str, Any]) -> None:
    """An inquiry becomes a dispute: now the money is taken."""
    if opened["status"] != "warning_needs_response":
        raise Refused("This dispute is no inquiry.")
    opened["status"] = "needs_response"
    state.emit("charge.dispute.updated", opened)
    state.emit("charge.dispute.funds_withdrawn", opened)


def close(state: State, opened: dict[str, Any], *, won: bool) -> None:
    """The bank's decision. Raises Refused when it was made already."""
    status = opened["status"]
    if status in ("won", "lost", "warning_closed"):
        raise Refused("This dispute is closed already.")
    if status.startswith("warning"):
        opened["status"] = "warning_closed"
    else:
        opened["status"] = "won" if won else "lost"
    if opened["status"] == "won":
        state.emit("charge.dispute.funds_reinstated", opened)
    state.emit("charge.dispute.closed", opened)


def _charge_of(state: State, payment_intent: str) -> dict[str, Any]:
    intent = state.intents.get(payment_intent)
    if intent is None or intent["status"] != "succeeded":
        raise Refused(f"No such payment_intent with a successful charge: '{payment_intent}'", "payment_intent")
    return state.charges[intent["latest_charge"]]
