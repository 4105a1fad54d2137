"""Customers, kept cards and payments with them, on and off session."""

import re
import time
from collections.abc import Mapping
from typing import Any

from reseller.stripe_double import payments
from reseller.stripe_double.payments import Refused
from reseller.stripe_double.state import State, new_id

ASKS = "The bank asks its customer to approve this payment."
_KNOWN = frozenset(
    {"amount", "confirm", "currency", "customer", "description", "expand", "metadata", "off_session"}
    | {"payment_method", "payment_method_types", "return_url"}
)


class Declined(Exception):
    """A payment that Stripe would answer with 402; `intent` is what became of it."""

    def __init__(self, intent: dict[str, Any], code: str, message: str) -> None:
        super().__init__(message)
        self.intent, self.code = intent, code


def open_customer(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    """Make a customer."""
    customer: dict[str, Any] = {
        "id": new_id("cus_"),
        "object": "customer",
        "created": int(time.time()),
        "email": params.get("email"),
        "livemode": False,
        "metadata": params.get("metadata") or {},
        "name": params.get("name"),
    }
    state.customers[customer["id"]] = customer
    return customer


def detach(method: dict[str, Any]) -> None:
    """Forget a kept card. Raises Refused when it is nobody's already."""
    if not method["customer"]:
        raise Refused("The payment method you provided is not attached to a customer so detachment is impossible.")
    method["customer"] = None


def charge(state: State, params: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Pay at once with a kept card (confirm=true). Raises Refused for a wrong call and Declined as the bank would."""
    for name in params:
        if name not in _KNOWN:
            raise Refused(f"Received unknown parameter: {name}", name)
    if params.get("confirm") != "true":
        raise Refused("The double makes payments only with confirm=true.", "confirm")
    if not re.fullmatch(r"[1-9]\d*", params.get("amount", "")):
        raise Refused(f"Invalid integer: {params.get('amount')}", "amount")
    method = state.methods.get(params.get("payment_method", ""))
    if method is None or not method["customer"] or method["customer"] != params.get("customer"):
        raise Refused("The customer does not have a payment method with this ID.", "payment_method")
    intent = payments.new_intent(
        state, amount=int(params["amount"]), currency=params["currency"], description=params.get("description"),
        metadata=params.get("metadata") or {}, customer=method["customer"], payment_method=method["id"],
    )  # fmt: skip
    digits = method["_digits"]
    if digits == payments.NEEDS_CUSTOMER:
        return _ask_customer(state, intent, method, params, origin)
    return _attempt(state, intent, method)


def _ask_customer(
    state: State, intent: dict[str, Any], method: dict[str, Any], params: Mapping[str, Any], origin: str
) -> dict[str, Any]:
    if params.get("off_session") == "true":
        failed = payments.add_charge(state, intent, method["card"]["brand"], method["_digits"], decline=ASKS)
        payments.fail(state, intent, failed, ASKS, "authentication_required")
        raise Declined(intent, "authentication_required", ASKS)
    page = {"url": f"{origin}/c/approve/{intent['id']}", "return_url": params.get("return_url")}
    intent.update(status="requires_action", next_action={"type": "redirect_to_url", "redirect_to_url": page})
    state.emit("payment_intent.requires_action", payments.public(intent))
    return intent


def _attempt(state: State, intent: dict[str, Any], method: dict[str, Any]) -> dict[str, Any]:
    digits, brand = method["_digits"], method["card"]["brand"]
    decline = payments.REFUSED_LATER.get(digits) or payments.TEST_CARDS[digits][1]
    if decline:
        failed = payments.add_charge(state, intent, brand, digits, decline=decline)
        payments.fail(state, intent, failed, decline)
        raise Declined(intent, "card_declined", decline)
    payments.succeed(state, intent, payments.add_charge(state, intent, brand, digits))
    return intent


def approve(state: State, intent: dict[str, Any], *, agrees: bool) -> None:
    """The customer's answer to the bank. Raises Refused when nobody asks."""
    if intent["status"] != "requires_action":
        raise Refused("This payment does not wait for its customer.")
    method = state.methods[intent["payment_method"]]
    sentence = None if agrees else "The customer did not approve this payment."
    made = payments.add_charge(state, intent, method["card"]["brand"], method["_digits"], decline=sentence)
    if sentence:
        payments.fail(state, intent, made, sentence, "payment_intent_authentication_failure")
    else:
        payments.succeed(state, intent, made)


def cancel(state: State, intent: dict[str, Any]) -> None:
    """Give a payment up. Raises Refused when it is made or given up already."""
    if intent["status"] in ("succeeded", "canceled", "processing"):
        raise Refused(f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.")
    intent.update(status="canceled", next_action=None)
    state.emit("payment_intent.canceled", payments.public(intent))
