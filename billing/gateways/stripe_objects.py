"""Stripe's objects, as its API and its webhooks give them in JSON, read into dataclasses of our own.

Pure functions without the stripe library; billing/gateways/stripe.py gets the JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.gateways.money import from_minor_units

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A payment page that Stripe hosts for us."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """The card that paid: for a receipt its brand and last four digits, for keeping it also the rest."""

    brand: str
    last4: str
    expires_month: int = 0
    expires_year: int = 0
    payment_method: str = ""


@dataclass(frozen=True, slots=True)
class CheckoutState:
    """What Stripe knows about a session now; `status` is open, complete or expired."""

    session_id: str
    reference: str
    status: str
    paid: bool
    amount: Decimal
    currency: str
    payment_intent: str
    card: Card | None


@dataclass(frozen=True, slots=True)
class PaymentState:
    """What Stripe knows about a payment now.

    `status` is Stripe's: succeeded, processing, requires_action (`next_url` is where the customer approves it),
    requires_payment_method (`failure` says why), canceled.
    """

    payment_intent: str
    reference: str
    status: str
    amount: Decimal
    currency: str
    next_url: str
    failure: str
    card: Card | None

    @property
    def paid(self) -> bool:
        return self.status == "succeeded"


@dataclass(frozen=True, slots=True)
class RefundState:
    """Money on its way back to a card; `status` is pending, requires_action, succeeded, failed or canceled.

    `reference` is the code of our own refund, empty for one that was made at Stripe.
    """

    id: str
    reference: str
    payment_intent: str
    amount: Decimal
    currency: str
    status: str
    failure: str


@dataclass(frozen=True, slots=True)
class DisputeState:
    """A payment that the card's holder contests. `status` is Stripe's: needs_response, under_review, won, lost,
    prevented, and warning_… for an inquiry, which takes no money."""

    id: str
    payment_intent: str
    amount: Decimal
    currency: str
    reason: str
    status: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A verified webhook in our own words; what the event does not speak of is empty, zero, None or False."""

    id: str
    type: str
    created_at: datetime
    reference: str
    session_id: str
    payment_intent: str
    amount: Decimal
    currency: str
    paid: bool
    failure: str
    raw: dict[str, Any]
    refund: RefundState | None = None
    dispute: DisputeState | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    payment_intent: str
    units: int
    paid: bool = False
    failure: str = ""


def read_event(raw: Json) -> GatewayEvent:
    """Read an event that was verified before, such as a stored one, into our own words."""
    body = raw["data"]["object"]
    kind = body["object"]
    currency = currency_of(body)
    reading = _READERS.get(kind, _read_other)(body)
    return GatewayEvent(
        id=raw["id"],
        type=raw["type"],
        created_at=datetime.fromtimestamp(raw["created"], tz=UTC),
        reference=body.get("client_reference_id") or reference_of(body),
        session_id=body["id"] if kind == "checkout.session" else "",
        payment_intent=reading.payment_intent,
        amount=from_minor_units(reading.units, currency),
        currency=currency,
        paid=reading.paid,
        failure=reading.failure,
        raw=dict(raw),
        refund=read_refund(body) if kind == "refund" else None,
        dispute=read_dispute(body) if kind == "dispute" else None,
    )


def _read_session(body: Json) -> _Reading:
    paid = body.get("payment_status") == "paid"
    return _Reading(id_of(body.get("payment_intent")), body.get("amount_total") or 0, paid)


def _read_intent(body: Json) -> _Reading:
    paid = body.get("status") == "succeeded"
    units = body.get("amount_received") if paid else body.get("amount")
    return _Reading(body["id"], units or 0, paid, "" if paid else _failure_of(body))


def _read_other(body: Json) -> _Reading:
    # Charges, refunds and disputes: they name a payment but never say by themselves that a top-up is paid.
    return _Reading(id_of(body.get("payment_intent")), body.get("amount") or 0)


_READERS = {"checkout.session": _read_session, "payment_intent": _read_intent}


def read_session(session: Json) -> CheckoutState:
    """A Checkout session; its card when payment_intent.latest_charge is expanded."""
    intent, currency = session.get("payment_intent"), currency_of(session)
    return CheckoutState(
        session_id=session["id"],
        reference=session.get("client_reference_id") or "",
        status=session.get("status") or "",
        paid=session.get("payment_status") == "paid",
        amount=from_minor_units(session.get("amount_total") or 0, currency),
        currency=currency,
        payment_intent=id_of(intent),
        card=card_of(intent),
    )


def read_payment(intent: Json) -> PaymentState:
    """A PaymentIntent; its card when latest_charge is expanded."""
    currency = currency_of(intent)
    action = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    return PaymentState(
        payment_intent=intent["id"],
        reference=reference_of(intent),
        status=intent.get("status") or "",
        amount=from_minor_units(intent.get("amount") or 0, currency),
        currency=currency,
        next_url=action.get("url") or "",
        failure=_failure_of(intent),
        card=card_of(intent),
    )


def read_refund(body: Json) -> RefundState:
    """A Refund. Its metadata's `refund` is our own code."""
    currency = currency_of(body)
    return RefundState(
        id=body["id"],
        reference=(body.get("metadata") or {}).get("refund", ""),
        payment_intent=id_of(body.get("payment_intent")),
        amount=from_minor_units(body.get("amount") or 0, currency),
        currency=currency,
        status=body.get("status") or "",
        failure=body.get("failure_reason") or "",
    )


def read_dispute(body: Json) -> DisputeState:
    """A Dispute."""
    currency = currency_of(body)
    return DisputeState(
        id=body["id"],
        payment_intent=id_of(body.get("payment_intent")),
        amount=from_minor_units(body.get("amount") or 0, currency),
        currency=currency,
        reason=body.get("reason") or "",
        status=body.get("status") or "",
        opened_at=datetime.fromtimestamp(body["created"], tz=UTC),
    )


def currency_of(body: Json) -> str:
    """The currency in capital letters."""
    return (body.get("currency") or "").upper()


def reference_of(body: Json) -> str:
    """Our public code, which every payment bears in its metadata."""
    return (body.get("metadata") or {}).get("reference", "")


def id_of(value: Any) -> str:
    """Stripe gives a related object as its id or, when expanded, in full."""
    return (value.get("id", "") if isinstance(value, Mapping) else value) or ""


def _failure_of(intent: Json) -> str:
    return (intent.get("last_payment_error") or {}).get("message") or ""


def card_of(intent: Any) -> Card | None:
    """The card of an expanded payment's latest charge."""
    charge = intent.get("latest_charge") if isinstance(intent, Mapping) else None
    details = charge.get("payment_method_details") if isinstance(charge, Mapping) else None
    card = (details or {}).get("card")
    if not card:
        return None
    return Card(
        brand=card.get("brand") or "",
        last4=card.get("last4") or "",
        expires_month=card.get("exp_month") or 0,
        expires_year=card.get("exp_year") or 0,
        payment_method=id_of(charge.get("payment_method")) if charge else "",
    )
