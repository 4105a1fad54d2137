"""The life of a Checkout session: opened, paid or declined, expired."""

import re
import time
from collections.abc import Mapping
from typing import Any

from reseller.stripe_double.state import State, new_id

# Stripe's documented test cards. Any other number that passes the Luhn check is declined as unknown.
TEST_CARDS = {
    "4242424242424242": ("visa", None),
    "5555555555554444": ("mastercard", None),
    "4000000000000002": ("visa", "Your card was declined."),
    "4000000000009995": ("visa", "Your card has insufficient funds. Try a different card."),
    "4000000000000069": ("visa", "Your card has expired. Try a different card."),
    "4000000000000127": ("visa", "Your card's security code is incorrect."),
    "4000002500003155": ("visa", None),  # approved by its customer on the page; off session it asks for them
    "4000000000000341": ("visa", None),  # can be kept; every later payment is declined
}
REFUSED_LATER = {"4000000000000341": "Your card was declined."}
NEEDS_CUSTOMER = "4000002500003155"
CARD_EXPIRES = (12, 2034)
SHORTEST_LIFE_SECONDS = 30 * 60
LONGEST_LIFE_SECONDS = 24 * 3600
# Parameters that the double understands; Stripe, too, refuses what it does not know.
_KNOWN = frozenset(
    {
        "cancel_url",
        "client_reference_id",
        "customer",
        "customer_email",
        "expand",
        "expires_at",
        "line_items",
        "metadata",
        "mode",
    }
    | {"payment_intent_data", "payment_method_types", "success_url"}
)


class Refused(Exception):
    """A call that Stripe would answer with 400; `param` names what is wrong."""

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message)
        self.param = param


def open_session(state: State, params: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Make a session from the parameters of POST /v1/checkout/sessions. Raises Refused as Stripe would."""
    _check(params)
    if (customer := params.get("customer")) and customer not in state.customers:
        raise Refused(f"No such customer: '{customer}'", "customer")
    currency, total = _total(params.get("line_items"))
    now = int(time.time())
    session_id = new_id("cs_test_")
    session = {
        "id": session_id,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": currency,
        "customer": params.get("customer"),
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "expires_at": _expiry(params.get("expires_at"), now),
        "livemode": False,
        "metadata": params.get("metadata") or {},
        "mode": "payment",
        "payment_intent": None,
        "payment_method_types": params.get("payment_method_types") or ["card"],
        "payment_status": "unpaid",
        "status": "open",
        "success_url": params["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id),
        "url": f"{origin}/c/pay/{session_id}",
        # Not part of Stripe's object: what the hosted page shows and what the payment inherits.
        "_email": state.customers.get(params.get("customer") or "", {}).get("email"),
        "_description": params["line_items"][0]["price_data"]["product_data"]["name"],
        "_intent": params.get("payment_intent_data") or {},
    }
    state.sessions[session_id] = session
    return session


def _check(params: Mapping[str, Any]) -> None:
    for name in params:
        if name not in _KNOWN:
            raise Refused(f"Received unknown parameter: {name}", name)
    if params.get("mode") != "payment":
        raise Refused("You must provide one of the following modes: payment.", "mode")
    if not str(params.get("success_url", "")).startswith(("http://", "https://")):
        raise Refused("Not a valid URL", "success_url")
    email = params.get("customer_email")
    if email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
        raise Refused(f"Invalid email address: {email}", "customer_email")


def _total(items: Any) -> tuple[str, int]:
    """The currency and the sum in minor units of the line items."""
    if not isinstance(items, list) or not items:
        raise Refused("You must provide at least one line item.", "line_items")
    total = 0
    for position, item in enumerate(items):
        name = f"line_items[{position}]"
        try:
            price, quantity = item["price_data"], item["quantity"]
            units = price["unit_amount"]
        except (KeyError, TypeError):
            raise Refused("Missing required param: price_data.", name) from None
        if not (str(units).isdigit() and str(quantity).isdigit()):
            raise Refused(f"Invalid integer: {units}", f"{name}[price_data][unit_amount]")
        if not re.fullmatch(r"[a-z]{3}", price["currency"]):
            raise Refused(f"Invalid currency: {price['currency']}", f"{name}[price_data][currency]")
        total += int(units) * int(quantity)
    if total < 50:
        raise Refused("The Checkout Session's total amount due must add up to at least 50 minor units.")
    return price["currency"], total


def _expiry(given: Any, now: int) -> int:
    if given is None:
        return now + LONGEST_LIFE_SECONDS
    if not str(given).isdigit():
        raise Refused(f"Invalid integer: {given}", "expires_at")
    if not now + SHORTEST_LIFE_SECONDS <= int(given) <= now + LONGEST_LIFE_SECONDS:
        raise Refused("The `expires_at` timestamp must be between 30 minutes and 24 hours from now.", "expires_at")
    return int(given)


def pay(state: State, session: dict[str, Any], *, number: str, email: str, slowly: bool = False) -> str:
    """Try to pay with a test card; answers "" or the sentence with which the card was declined.

    `slowly`: the bank takes its time; the session is complete and unpaid until `finish` says what became of it.
    """
    digits = re.sub(r"\D", "", number)
    if not luhn(digits):
        return "Your card number is invalid."
    brand, decline = TEST_CARDS.get(digits, ("visa", "Your card was declined. Use one of the test cards below."))
    intent = _intent_of(state, session)
    if decline:
        fail(state, intent, add_charge(state, intent, brand, digits, decline=decline), decline)
        return decline
    session.update(status="complete", payment_intent=intent["id"], url=None)
    session["customer_details"] = {"email": email}
    keeps = session["customer"] and session["_intent"].get("setup_future_usage")
    method = new_method(state, digits, session["customer"])["id"] if keeps else new_id("pm_")
    intent.update(payment_method=method, customer=session["customer"])
    if slowly:
        intent.update(status="processing", _digits=digits)
        state.emit("payment_intent.processing", public(intent))
    else:
        session["payment_status"] = "paid"
        succeed(state, intent, add_charge(state, intent, brand, digits))
    state.emit("checkout.session.completed", public(session))
    return ""


def finish(state: State, session: dict[str, Any], *, succeeds: bool) -> None:
    """Say what became of a payment whose bank took its time. Raises Refused when it is not waiting."""
    intent = state.intents.get(session["payment_intent"] or "", {})
    if intent.get("status") != "processing":
        raise Refused("This session does not wait for its bank.")
    digits = intent["_digits"]
    brand = TEST_CARDS[digits][0]
    if succeeds:
        session["payment_status"] = "paid"
        succeed(state, intent, add_charge(state, intent, brand, digits))
        state.emit("checkout.session.async_payment_succeeded", public(session))
    else:
        sentence = "The bank did not pay."
        fail(state, intent, add_charge(state, intent, brand, digits, decline=sentence), sentence)
        state.emit("checkout.session.async_payment_failed", public(session))


def succeed(state: State, intent: dict[str, Any], charge: dict[str, Any]) -> None:
    """Note that a payment was made, and tell."""
    intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None, next_action=None)
    state.emit("charge.succeeded", charge)
    state.emit("payment_intent.succeeded", public(intent))


def fail(state: State, intent: dict[str, Any], charge: dict[str, Any], sentence: str, code: str = "") -> None:
    """Note that a payment was declined, and tell."""
    error = {"type": "card_error", "code": code or "card_declined", "message": sentence}
    intent.update(status="requires_payment_method", last_payment_error=error, next_action=None)
    state.emit("charge.failed", charge)
    state.emit("payment_intent.payment_failed", public(intent))


def new_method(state: State, digits: str, customer: str | None) -> dict[str, Any]:
    """A kept card."""
    brand = TEST_CARDS[digits][0]
    month, year = CARD_EXPIRES
    method: dict[str, Any] = {
        "id": new_id("pm_"),
        "object": "payment_method",
        "card": {"brand": brand, "last4": digits[-4:], "exp_month": month, "exp_year": year},
        "created": int(time.time()),
        "customer": customer,
        "livemode": False,
        "type": "card",
        "_digits": digits,
    }
    state.methods[method["id"]] = method
    return method


def expire(state: State, session: dict[str, Any]) -> None:
    """Close an open session. Raises Refused when it is paid or expired already."""
    if session["status"] != "open":
        raise Refused(f"Only Checkout Sessions that are open can be expired; this one is {session['status']}.")
    session.update(status="expired", url=None)
    state.emit("checkout.session.expired", public(session))


def expire_due(state: State) -> bool:
    """Close the sessions whose time is over; True when there were any."""
    due = [s for s in state.sessions.values() if s["status"] == "open" and s["expires_at"] <= time.time()]
    for session in due:
        expire(state, session)
    return bool(due)


def public(body: dict[str, Any]) -> dict[str, Any]:
    """An object as the API shows it, without the double's own notes."""
    return {key: value for key, value in body.items() if not key.startswith("_")}


def _intent_of(state: State, session: dict[str, Any]) -> dict[str, Any]:
    """The session's payment; as at Stripe it is made by the first attempt to pay."""
    if known := session.get("_intent_id"):
        return state.intents[known]
    intent = new_intent(
        state,
        amount=session["amount_total"],
        currency=session["currency"],
        description=session["_intent"].get("description"),
        metadata=session["_intent"].get("metadata") or {},
    )
    session["_intent_id"] = intent["id"]
    return intent


def new_intent(state: State, **values: Any) -> dict[str, Any]:
    """A payment that nobody has tried to make yet."""
    intent: dict[str, Any] = {
        "id": new_id("pi_"),
        "object": "payment_intent",
        "amount_received": 0,
        "created": int(time.time()),
        "customer": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    } | values
    state.intents[intent["id"]] = intent
    return intent


def add_charge(
    state: State, intent: dict[str, Any], brand: str, digits: str, *, decline: str | None = None
) -> dict[str, Any]:
    """One attempt to take the money."""
    month, year = CARD_EXPIRES
    charge: dict[str, Any] = {
        "id": new_id("ch_"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_refunded": 0,
        "created": int(time.time()),
        "currency": intent["currency"],
        "disputed": False,
        "failure_message": decline,
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "type": "card",
            "card": {"brand": brand, "last4": digits[-4:], "exp_month": month, "exp_year": year},
        },
        "refunded": False,
        "status": "failed" if decline else "succeeded",
    }
    state.charges[charge["id"]] = charge
    intent["latest_charge"] = charge["id"]
    return charge


def luhn(digits: str) -> bool:
    """Whether a card number's check digit is right."""
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [int(d) * 2 if place % 2 else int(d) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
