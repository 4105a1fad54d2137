"""Stripe: the only module that knows the stripe library.

Everything that comes in or goes out is a dataclass of our own, so that saved cards, off-session payments, refunds and
disputes are further functions here and nothing changes for the callers. `client()` gives the one configured client.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings

from billing.gateways.exceptions import (
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayUnavailable,
    InvalidSignature,
)
from billing.gateways.money import from_minor_units, to_minor_units

# Seconds to connect and to wait for an answer, and how often the library tries again by itself. Together they stay
# below a web worker's own time-out of 30 seconds.
TIMEOUT_SECONDS = (3.0, 9.0)
NETWORK_RETRIES = 1
# How far a webhook's time stamp may be off, in seconds (Stripe's own advice).
SIGNATURE_TOLERANCE_SECONDS = 300

stripe.enable_telemetry = False


@dataclass(frozen=True, slots=True)
class Checkout:
    """A payment page that Stripe hosts for us."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a receipt may say about the card that paid: its brand and last four digits."""

    brand: str
    last4: str


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
class GatewayEvent:
    """A verified webhook in our own words; what the event does not speak of is empty, zero or False."""

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


@lru_cache(maxsize=4)
def _client_for(api_key: str, api_base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base} if api_base else None,
        max_network_retries=NETWORK_RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
    )


def client() -> stripe.StripeClient:
    """The client for the configured key and address. Raises GatewayMisconfigured without a key."""
    if not settings.STRIPE_SECRET_KEY:
        raise GatewayMisconfigured("STRIPE_SECRET_KEY is empty")
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE.rstrip("/"))


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn the library's exceptions into ours, so that no caller needs to know it."""
    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise GatewayMisconfigured(str(error)) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise GatewayUnavailable(str(error)) from error
    except stripe.StripeError as error:
        status = error.http_status or 0
        raise (GatewayUnavailable if status >= 500 else GatewayRefused)(str(error)) from error


def create_checkout(
    *,
    reference: str,
    amount: Decimal,
    currency: str,
    description: str,
    customer_email: str,
    success_url: str,
    cancel_url: str,
    expires_at: datetime,
    idempotency_key: str,
) -> Checkout:
    """Open a hosted payment page for exactly `amount`; the price is made here, never in the browser.

    `reference` is our public code; it comes back in every event of the session and of its payment. `expires_at` must
    lie between 30 minutes and 24 hours ahead (Stripe's rule). The same `idempotency_key` with the same arguments gives
    the same session again, so a caller that lost the answer may repeat the call.
    Raises GatewayError subclasses and FractionOfMinorUnit.
    """
    price = {
        "currency": currency.lower(),
        "unit_amount": to_minor_units(amount, currency),
        "product_data": {"name": description},
    }
    params: dict[str, Any] = {
        "mode": "payment",
        "payment_method_types": ["card"],
        "line_items": [{"quantity": 1, "price_data": price}],
        "client_reference_id": reference,
        "metadata": {"reference": reference},
        "payment_intent_data": {"description": description, "metadata": {"reference": reference}},
        "success_url": success_url,
        "cancel_url": cancel_url,
        "expires_at": int(expires_at.timestamp()),
    }
    if customer_email:
        params["customer_email"] = customer_email
    with _our_errors():
        session = client().v1.checkout.sessions.create(params, {"idempotency_key": idempotency_key})  # type: ignore[arg-type]
    if not session.url:
        raise GatewayError(f"session {session.id} has no address")
    return Checkout(session_id=session.id, url=session.url)


def fetch_checkout(session_id: str) -> CheckoutState:
    """Ask Stripe what became of a session, with the card that paid. Raises GatewayError subclasses."""
    with _our_errors():
        session = client().v1.checkout.sessions.retrieve(session_id, {"expand": ["payment_intent.latest_charge"]})
    return _state_of(session.to_dict(for_json=True))


def expire_checkout(session_id: str) -> CheckoutState:
    """Close a session so that it can no longer be paid.

    Raises GatewayRefused when it is no longer open (paid a moment ago, or expired already).
    """
    with _our_errors():
        session = client().v1.checkout.sessions.expire(session_id)
    return _state_of(session.to_dict(for_json=True))


def verify_event(payload: bytes, signature: str) -> GatewayEvent:
    """Check a webhook's signature and read it. Raises InvalidSignature for anything that Stripe did not send."""
    try:
        stripe.WebhookSignature.verify_header(
            payload, signature, settings.STRIPE_WEBHOOK_SECRET, tolerance=SIGNATURE_TOLERANCE_SECONDS
        )
        return read_event(json.loads(payload))
    except stripe.SignatureVerificationError as error:
        raise InvalidSignature(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSignature(f"not an event: {error!r}") from error


def read_event(raw: Mapping[str, Any]) -> GatewayEvent:
    """Read an event that was verified before, such as a stored one, into our own words."""
    body = raw["data"]["object"]
    kind = body["object"]
    currency = (body.get("currency") or "").upper()
    reading = _READERS.get(kind, _read_other)(body)
    return GatewayEvent(
        id=raw["id"],
        type=raw["type"],
        created_at=datetime.fromtimestamp(raw["created"], tz=UTC),
        reference=body.get("client_reference_id") or (body.get("metadata") or {}).get("reference", ""),
        session_id=body["id"] if kind == "checkout.session" else "",
        payment_intent=reading.payment_intent,
        amount=from_minor_units(reading.units, currency),
        currency=currency,
        paid=reading.paid,
        failure=reading.failure,
        raw=dict(raw),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    payment_intent: str
    units: int
    paid: bool = False
    failure: str = ""


def _read_session(body: Mapping[str, Any]) -> _Reading:
    paid = body.get("payment_status") == "paid"
    return _Reading(_id_of(body.get("payment_intent")), body.get("amount_total") or 0, paid)


def _read_intent(body: Mapping[str, Any]) -> _Reading:
    paid = body.get("status") == "succeeded"
    failure = (body.get("last_payment_error") or {}).get("message") or ""
    units = body.get("amount_received") if paid else body.get("amount")
    return _Reading(body["id"], units or 0, paid, "" if paid else failure)


def _read_other(body: Mapping[str, Any]) -> _Reading:
    # Charges, refunds and disputes: they name a payment but never say by themselves that a top-up is paid.
    return _Reading(_id_of(body.get("payment_intent")), body.get("amount") or 0)


_READERS = {"checkout.session": _read_session, "payment_intent": _read_intent}


def _state_of(session: Mapping[str, Any]) -> CheckoutState:
    intent = session.get("payment_intent")
    currency = (session.get("currency") or "").upper()
    return CheckoutState(
        session_id=session["id"],
        reference=session.get("client_reference_id") or "",
        status=session.get("status") or "",
        paid=session.get("payment_status") == "paid",
        amount=from_minor_units(session.get("amount_total") or 0, currency),
        currency=currency,
        payment_intent=_id_of(intent),
        card=_card_of(intent),
    )


def _id_of(value: Any) -> str:
    """Stripe gives a related object as its id or, when expanded, in full."""
    return (value.get("id", "") if isinstance(value, Mapping) else value) or ""


def _card_of(intent: Any) -> Card | None:
    charge = intent.get("latest_charge") if isinstance(intent, Mapping) else None
    details = charge.get("payment_method_details") if isinstance(charge, Mapping) else None
    card = (details or {}).get("card")
    return Card(brand=card.get("brand") or "", last4=card.get("last4") or "") if card else None
