import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe as library
from pytest_django import Settings

from billing.exceptions import BillingError
from billing.gateways import stripe
from billing.gateways.exceptions import (
    FractionOfMinorUnit,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayUnavailable,
    InvalidSignature,
)
from billing.gateways.money import charge_step, from_minor_units, to_minor_units
from tests.stripe_double import WEBHOOK_SECRET, Double


def open_checkout(**changes: Any) -> stripe.Checkout:
    arguments = {
        "reference": "T123",
        "amount": Decimal("50.00"),
        "currency": "AUD",
        "description": "Relay credit for Client",
        "customer_email": "client@test.example",
        "success_url": "http://portal.example/ok",
        "cancel_url": "http://portal.example/no",
        "expires_at": datetime.now(UTC) + timedelta(minutes=35),
        "idempotency_key": "topup-T123",
    }
    return stripe.create_checkout(**arguments | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("12.34", "USD", 1234),
        ("50.000000", "AUD", 5000),
        ("0.07", "EUR", 7),
        ("90071992547409.93", "GBP", 9007199254740993),
        ("500", "JPY", 500),
        ("1000", "KRW", 1000),
        ("5.120", "KWD", 5120),
        ("7", "ISK", 700),
        ("7", "UGX", 700),
    ],
)
def test_amounts_convert_exactly_in_both_directions(amount: str, currency: str, units: int) -> None:
    assert to_minor_units(Decimal(amount), currency) == units
    assert from_minor_units(units, currency.lower()) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("0.001", "USD"), ("10.000001", "AUD"), ("0.5", "JPY"), ("5.124", "KWD"), ("1.50", "ISK"), ("1.50", "UGX")],
)
def test_an_amount_without_a_coin_is_refused_and_never_rounded(amount: str, currency: str) -> None:
    with pytest.raises(FractionOfMinorUnit, match=f"{amount} {currency}") as refusal:
        to_minor_units(Decimal(amount), currency)
    assert f"steps of {charge_step(currency)} {currency}" in str(refusal.value)


def test_a_checkout_is_opened_for_the_exact_amount(double: Double) -> None:
    checkout = open_checkout(amount=Decimal("37.05"))
    state = stripe.fetch_checkout(checkout.session_id)
    assert checkout.url == f"{double.url}/c/pay/{checkout.session_id}"
    assert (state.amount, state.currency, state.reference) == (Decimal("37.05"), "AUD", "T123")
    assert (state.status, state.paid, state.card) == ("open", False, None)


def test_a_currency_without_decimals_is_charged_in_whole_units(double: Double) -> None:
    checkout = open_checkout(amount=Decimal("500.000000"), currency="JPY")
    assert stripe.fetch_checkout(checkout.session_id).amount == Decimal(500)


def test_the_same_idempotency_key_gives_the_same_checkout(double: Double) -> None:
    expires_at = datetime.now(UTC) + timedelta(minutes=35)
    first = open_checkout(expires_at=expires_at)
    assert open_checkout(expires_at=expires_at) == first
    assert open_checkout(expires_at=expires_at, idempotency_key="another").session_id != first.session_id


def test_an_idempotency_key_used_for_another_amount_is_refused(double: Double) -> None:
    open_checkout()
    with pytest.raises(GatewayRefused) as refusal:
        open_checkout(amount=Decimal(60))
    assert "parameters they were first used with" in refusal.value.detail


def test_a_paid_checkout_tells_the_card(double: Double) -> None:
    checkout = open_checkout()
    assert double.pay(checkout.session_id, "5555 5555 5555 4444") == {"paid": True, "message": ""}
    state = stripe.fetch_checkout(checkout.session_id)
    assert (state.status, state.paid) == ("complete", True)
    assert state.card is not None
    assert (state.card.brand, state.card.last4, state.card.expires_month) == ("mastercard", "4444", 12)
    assert state.payment_intent.startswith("pi_")


def test_an_open_checkout_can_be_expired_once(double: Double) -> None:
    checkout = open_checkout()
    assert stripe.expire_checkout(checkout.session_id).status == "expired"
    with pytest.raises(GatewayRefused):
        stripe.expire_checkout(checkout.session_id)


def test_a_wrong_key_is_our_misconfiguration(double: Double, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    with pytest.raises(GatewayMisconfigured) as failure:
        open_checkout()
    assert "sk_test" not in str(failure.value)


def test_a_missing_key_is_named_in_the_log_only(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(GatewayMisconfigured) as failure:
        stripe.fetch_checkout("cs_test_1")
    assert failure.value.detail == "STRIPE_SECRET_KEY is empty"


def test_a_gateway_that_does_not_answer_is_unavailable(settings: Settings) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(GatewayUnavailable, match="cannot be reached") as failure:
        stripe.fetch_checkout("cs_test_1")
    assert isinstance(failure.value, BillingError)


def test_events_carry_the_reference_the_amount_and_whether_it_is_paid(double: Double) -> None:
    checkout = open_checkout(amount=Decimal("50.00"))
    double.pay(checkout.session_id)
    events = [stripe.verify_event(hook.payload, hook.signature) for hook in double.received(3)]
    by_type = {event.type: event for event in events}
    session, intent = by_type["checkout.session.completed"], by_type["payment_intent.succeeded"]
    assert (session.reference, session.amount, session.currency, session.paid) == ("T123", Decimal(50), "AUD", True)
    assert session.session_id == checkout.session_id
    assert (intent.reference, intent.amount, intent.currency, intent.paid) == ("T123", Decimal(50), "AUD", True)
    assert intent.payment_intent == session.payment_intent
    assert by_type["charge.succeeded"].paid is False
    assert abs(datetime.now(UTC) - session.created_at) < timedelta(seconds=10)


def test_a_declined_attempt_says_why(double: Double) -> None:
    checkout = open_checkout()
    double.pay(checkout.session_id, "4000 0000 0000 0002")
    events = [stripe.verify_event(hook.payload, hook.signature) for hook in double.received(2)]
    failed = next(event for event in events if event.type == "payment_intent.payment_failed")
    assert (failed.paid, failed.failure, failed.reference) == (False, "Your card was declined.", "T123")


def _signed(payload: bytes, secret: str = WEBHOOK_SECRET, age: int = 0) -> str:
    at = int(datetime.now(UTC).timestamp()) - age
    return library.WebhookSignature.generate_signature_header(payload.decode(), secret, at)


EVENT = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "checkout.session.completed",
        "created": 1795000000,
        "data": {
            "object": {"id": "cs_1", "object": "checkout.session", "amount_total": 1000, "currency": "aud",
                       "client_reference_id": "T1", "payment_intent": "pi_1", "payment_status": "paid"}
        },
    }
).encode()  # fmt: skip


def test_a_good_signature_is_accepted() -> None:
    event = stripe.verify_event(EVENT, _signed(EVENT))
    assert (event.id, event.reference, event.amount, event.paid) == ("evt_1", "T1", Decimal(10), True)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (EVENT, ""),
        (EVENT, "t=1,v1=00"),
        (EVENT, "nonsense"),
        (EVENT, _signed(EVENT, "whsec_of_someone_else")),
        (EVENT, _signed(EVENT, age=3600)),
        (EVENT.replace(b"1000", b"9000"), _signed(EVENT)),
        (b"\xff\xfe", "t=1,v1=00"),
        (b"[]", _signed(b"[]")),
        (b"{}", _signed(b"{}")),
    ],
    ids=["none", "wrong", "nonsense", "other-secret", "too-old", "changed-amount", "no-text", "no-object", "no-event"],
)
def test_anything_that_stripe_did_not_sign_is_refused(payload: bytes, signature: str) -> None:
    with pytest.raises(InvalidSignature):
        stripe.verify_event(payload, signature)
