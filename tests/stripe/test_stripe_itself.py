"""The gateway against Stripe itself, in test mode: `STRIPE_TEST_SECRET_KEY=sk_test_… make test-stripe`.

No card number is sent: Stripe's own test payment methods (`pm_card_…`) stand for the cards of the double's table. Pages
that only a browser can pay and webhooks, which need a public address, stay with the double.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pytest_django import Settings

from billing.gateways import stripe
from billing.gateways.exceptions import CardDeclined, GatewayMisconfigured, GatewayRefused

KEY = os.environ.get("STRIPE_TEST_SECRET_KEY", "")
BACK = "https://portal.example/back"
D = Decimal

pytestmark = [
    pytest.mark.stripe,
    pytest.mark.skipif(
        not KEY.startswith("sk_test_"), reason="STRIPE_TEST_SECRET_KEY holds no key of Stripe's test mode"
    ),
]


@dataclass
class Kept:
    customer: str
    payment_method: str


@pytest.fixture(autouse=True)
def stripe_itself(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = KEY, ""


@pytest.fixture
def keep() -> Callable[[str], Kept]:
    """``keep("pm_card_visa")``: a test card, kept for a new customer as a payment page would."""

    def attach(test_card: str) -> Kept:
        customer = stripe.create_customer(
            reference="TEST", name="Test", email="test@example.com", idempotency_key=secrets.token_hex(16)
        )
        method = stripe.client().v1.payment_methods.attach(test_card, {"customer": customer})
        return Kept(customer, method.id)

    return attach


def charge(kept: Kept, *, off_session: bool = True, key: str = "", amount: str = "12.34") -> stripe.PaymentState:
    return stripe.charge_card(
        reference="TEST1", amount=D(amount), currency="AUD", description="Test", customer=kept.customer,
        payment_method=kept.payment_method, off_session=off_session, return_url=BACK,
        idempotency_key=key or secrets.token_hex(16),
    )  # fmt: skip


def test_a_payment_page_opens_once_for_its_key_and_can_be_closed() -> None:
    key, expires = secrets.token_hex(16), datetime.now(tz=UTC) + timedelta(minutes=35)

    def open_page() -> stripe.Checkout:
        return stripe.create_checkout(
            reference="TEST1", amount=D("12.34"), currency="AUD", description="Test", success_url=BACK,
            customer_email="test@example.com", cancel_url=BACK, expires_at=expires, idempotency_key=key,
        )  # fmt: skip

    page = open_page()
    assert open_page() == page
    state = stripe.fetch_checkout(page.session_id)
    assert (state.status, state.paid, state.amount, state.reference) == ("open", False, D("12.34"), "TEST1")
    assert stripe.expire_checkout(page.session_id).status == "expired"
    with pytest.raises(GatewayRefused):
        stripe.expire_checkout(page.session_id)


def test_a_page_that_keeps_its_card_opens_for_a_customer(keep: Callable[[str], Kept]) -> None:
    page = stripe.create_checkout(
        reference="TEST1", amount=D(10), currency="AUD", description="Test", success_url=BACK, cancel_url=BACK,
        customer_email="", expires_at=datetime.now(tz=UTC) + timedelta(minutes=35),
        idempotency_key=secrets.token_hex(16), customer=keep("pm_card_visa").customer, saves_card=True,
    )  # fmt: skip
    assert page.url.startswith("https://")


def test_a_kept_card_is_charged_once_for_its_key(keep: Callable[[str], Kept]) -> None:
    kept, key = keep("pm_card_visa"), secrets.token_hex(16)
    paid = charge(kept, key=key)
    assert (paid.paid, paid.amount, paid.currency, paid.reference) == (True, D("12.34"), "AUD", "TEST1")
    assert paid.card is not None
    assert (paid.card.brand, paid.card.last4, paid.card.payment_method) == ("visa", "4242", kept.payment_method)
    assert charge(kept, key=key).payment_intent == paid.payment_intent
    assert stripe.fetch_payment(paid.payment_intent).paid


def test_a_card_without_funds_is_declined(keep: Callable[[str], Kept]) -> None:
    with pytest.raises(CardDeclined) as refusal:
        charge(keep("pm_card_chargeCustomerFail"))
    assert not refusal.value.needs_customer


def test_a_bank_that_wants_its_customer_says_so_off_session_and_asks_on_session(keep: Callable[[str], Kept]) -> None:
    kept = keep("pm_card_authenticationRequired")
    with pytest.raises(CardDeclined) as refusal:
        charge(kept)
    assert refusal.value.needs_customer
    asked = charge(kept, off_session=False)
    assert (asked.status, asked.next_url[:8]) == ("requires_action", "https://")
    assert stripe.cancel_payment(asked.payment_intent).status == "canceled"


def test_a_payment_is_refunded_in_parts_and_no_further(keep: Callable[[str], Kept]) -> None:
    paid = charge(keep("pm_card_visa"), amount="20")

    def refund(amount: str, code: str) -> stripe.RefundState:
        return stripe.refund_payment(
            payment_intent=paid.payment_intent, amount=D(amount), currency="AUD", reference=code,
            idempotency_key=secrets.token_hex(16),
        )  # fmt: skip

    first = refund("5.50", "FIRST")
    assert (first.amount, first.reference, first.status) == (D("5.50"), "FIRST", "succeeded")
    assert [one.id for one in stripe.list_refunds(paid.payment_intent)] == [first.id]
    with pytest.raises(GatewayRefused):
        refund("14.51", "SECOND")


def test_a_card_is_forgotten_and_forgotten_again(keep: Callable[[str], Kept]) -> None:
    kept = keep("pm_card_visa")
    stripe.detach_card(kept.payment_method)
    stripe.detach_card(kept.payment_method)
    with pytest.raises(GatewayRefused):
        charge(kept)


def test_a_wrong_key_is_the_operators_to_mend(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    with pytest.raises(GatewayMisconfigured):
        stripe.fetch_payment("pi_1")
