"""Stripe: the only module that knows the stripe library.

Everything that comes in or goes out is a dataclass of our own (billing/gateways/stripe_objects.py). `client()` gives
the one configured client. The library is loaded when it is first needed: with what it brings along it is a quarter of
all that a process loads at its start, and most processes never speak to Stripe.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from billing.gateways import stripe_objects as objects
from billing.gateways.exceptions import (
    CardDeclined,
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayUnavailable,
    InvalidSignature,
)
from billing.gateways.money import to_minor_units
from billing.gateways.stripe_objects import Card as Card
from billing.gateways.stripe_objects import Checkout as Checkout
from billing.gateways.stripe_objects import CheckoutState as CheckoutState
from billing.gateways.stripe_objects import DisputeState as DisputeState
from billing.gateways.stripe_objects import GatewayEvent as GatewayEvent
from billing.gateways.stripe_objects import PaymentState as PaymentState
from billing.gateways.stripe_objects import RefundState as RefundState
from billing.gateways.stripe_objects import read_event as read_event

if TYPE_CHECKING:
    import stripe

# Seconds to connect and to wait for an answer, and how often the library tries again by itself. Together they stay
# below a web worker's own time-out of 30 seconds.
TIMEOUT_SECONDS = (3.0, 9.0)
NETWORK_RETRIES = 1
# How far a webhook's time stamp may be off, in seconds (Stripe's own advice).
SIGNATURE_TOLERANCE_SECONDS = 300


def load_library() -> None:
    """Load the library now, as a process does whose visitors should not wait for it."""
    import stripe

    stripe.enable_telemetry = False


@lru_cache(maxsize=4)
def _client_for(api_key: str, api_base: str) -> "stripe.StripeClient":
    import stripe

    load_library()
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base} if api_base else None,
        max_network_retries=NETWORK_RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
    )


def client() -> "stripe.StripeClient":
    """The client for the configured key and address. Raises GatewayMisconfigured without a key."""
    if not settings.STRIPE_SECRET_KEY:
        raise GatewayMisconfigured("STRIPE_SECRET_KEY is empty")
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE.rstrip("/"))


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn the library's exceptions into ours, so that no caller needs to know it."""
    import stripe

    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise GatewayMisconfigured(str(error)) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise GatewayUnavailable(str(error)) from error
    except stripe.CardError as error:
        raise CardDeclined(error.user_message or "", code=error.code or "") from error
    except stripe.StripeError as error:
        status = error.http_status or 0  # 409: the same call is being answered to somebody else at this moment
        raise (GatewayUnavailable if status >= 500 or status == 409 else GatewayRefused)(str(error)) from error


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
    customer: str = "",
    saves_card: bool = False,
) -> Checkout:
    """Open a hosted payment page for exactly `amount`; the price is made here, never in the browser.

    `reference` is our public code; it comes back in every event of the session and of its payment. `expires_at` must
    lie between 30 minutes and 24 hours ahead (Stripe's rule). The same `idempotency_key` with the same arguments gives
    the same session again, so a caller that lost the answer may repeat the call. With `saves_card` the card that pays
    is kept for `customer` (who agreed), for later payments without them.
    Raises GatewayError subclasses and FractionOfMinorUnit.
    """
    price = {
        "currency": currency.lower(),
        "unit_amount": to_minor_units(amount, currency),
        "product_data": {"name": description},
    }
    payment: dict[str, Any] = {"description": description, "metadata": {"reference": reference}}
    params: dict[str, Any] = {
        "mode": "payment",
        "payment_method_types": ["card"],
        "line_items": [{"quantity": 1, "price_data": price}],
        "client_reference_id": reference,
        "metadata": {"reference": reference},
        "payment_intent_data": payment,
        "success_url": success_url,
        "cancel_url": cancel_url,
        "expires_at": int(expires_at.timestamp()),
    }
    if saves_card:
        params["customer"] = customer
        payment["setup_future_usage"] = "off_session"
    elif customer_email:
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
    return objects.read_session(_json(session))


def expire_checkout(session_id: str) -> CheckoutState:
    """Close a session so that it can no longer be paid.

    Raises GatewayRefused when it is no longer open (paid a moment ago, or expired already).
    """
    with _our_errors():
        session = client().v1.checkout.sessions.expire(session_id)
    return objects.read_session(_json(session))


# --- Saved cards ---------------------------------------------------------------------------------------------------


def create_customer(*, reference: str, name: str, email: str, idempotency_key: str) -> str:
    """Make a customer, under whom cards can be kept; returns its id. Raises GatewayError subclasses."""
    params: Any = {"name": name, "email": email, "metadata": {"reference": reference}}
    with _our_errors():
        return client().v1.customers.create(params, {"idempotency_key": idempotency_key}).id


def charge_card(
    *,
    reference: str,
    amount: Decimal,
    currency: str,
    description: str,
    customer: str,
    payment_method: str,
    off_session: bool,
    return_url: str,
    idempotency_key: str,
) -> PaymentState:
    """Charge a kept card. `off_session`: nobody is there to approve it; otherwise the bank may ask the customer, who
    then goes to `next_url` and comes back to `return_url`.

    Raises CardDeclined (with `needs_customer` where the bank wants its customer to approve), other GatewayErrors and
    FractionOfMinorUnit. After GatewayUnavailable the card may have been charged: repeat the call with the same
    `idempotency_key` to learn it.
    """
    params: dict[str, Any] = {
        "amount": to_minor_units(amount, currency),
        "currency": currency.lower(),
        "customer": customer,
        "payment_method": payment_method,
        "payment_method_types": ["card"],
        "description": description,
        "metadata": {"reference": reference},
        "confirm": True,
        "expand": ["latest_charge"],
    }
    params |= {"off_session": True} if off_session else {"return_url": return_url}
    with _our_errors():
        intent = client().v1.payment_intents.create(params, {"idempotency_key": idempotency_key})  # type: ignore[arg-type]
    return objects.read_payment(_json(intent))


def fetch_payment(payment_intent: str) -> PaymentState:
    """Ask Stripe what became of a payment. Raises GatewayError subclasses."""
    with _our_errors():
        intent = client().v1.payment_intents.retrieve(payment_intent, {"expand": ["latest_charge"]})
    return objects.read_payment(_json(intent))


def cancel_payment(payment_intent: str) -> PaymentState:
    """Give up a payment that waits for its customer. Raises GatewayRefused when it is over already."""
    with _our_errors():
        intent = client().v1.payment_intents.cancel(payment_intent)
    return objects.read_payment(_json(intent))


def detach_card(payment_method: str) -> None:
    """Have Stripe forget a kept card; one that is forgotten already is fine. Raises GatewayError subclasses."""
    try:
        with _our_errors():
            client().v1.payment_methods.detach(payment_method)
    except GatewayRefused as error:
        if "not attached" not in error.detail and "No such" not in error.detail:
            raise


# --- Refunds -------------------------------------------------------------------------------------------------------


def refund_payment(
    *, payment_intent: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
) -> RefundState:
    """Give `amount` of a payment back to its card; `reference` is the code of our refund. Raises GatewayErrors.

    After GatewayUnavailable repeat the call with the same `idempotency_key`.
    """
    params: Any = {
        "payment_intent": payment_intent,
        "amount": to_minor_units(amount, currency),
        "metadata": {"refund": reference},
    }
    with _our_errors():
        refund = client().v1.refunds.create(params, {"idempotency_key": idempotency_key})
    return objects.read_refund(_json(refund))


def list_refunds(payment_intent: str) -> list[RefundState]:
    """All refunds of a payment, at most 100. Raises GatewayError subclasses."""
    with _our_errors():
        found = client().v1.refunds.list({"payment_intent": payment_intent, "limit": 100})
    return [objects.read_refund(_json(refund)) for refund in found.data]


# --- Webhooks ------------------------------------------------------------------------------------------------------


def verify_event(payload: bytes, signature: str) -> GatewayEvent:
    """Check a webhook's signature and read it. Raises InvalidSignature for anything that Stripe did not send."""
    import stripe

    try:
        stripe.WebhookSignature.verify_header(
            payload, signature, settings.STRIPE_WEBHOOK_SECRET, tolerance=SIGNATURE_TOLERANCE_SECONDS
        )
        return read_event(json.loads(payload))
    except stripe.SignatureVerificationError as error:
        raise InvalidSignature(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSignature(f"not an event: {error!r}") from error


def _json(found: "stripe.StripeObject") -> dict[str, Any]:
    return found.to_dict(for_json=True)
