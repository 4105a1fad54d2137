from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import TopUp
from billing.services.topup_limits import room_of
from billing.services.topups import start_topup, sweep_topups
from tests.billing.hooks import available, deliver, told
from tests.cast import LogIn, Member
from tests.stripe_double import Double

D = Decimal


@pytest.fixture
def slow(double: Double, client_member: Member) -> TopUp:
    """The payment page is over, the bank has not paid; the portal has been told."""
    topup = start_topup(account=client_member.account, amount=D(50), actor=client_member.user)
    double.pay_slowly(topup.session_id)
    deliver(told(double, 2))
    topup.refresh_from_db()
    return topup


def test_a_slow_payment_stays_visible_and_counted_until_the_bank_says(
    double: Double, slow: TopUp, client_member: Member, log_in: LogIn
) -> None:
    assert (slow.state, slow.is_processing, available(client_member)) == ("pending", True, D(10))
    later = timezone.now() + timedelta(days=3)
    assert room_of(client_member.account.billing_terms, later).left == D(50)
    TopUp.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    page = log_in(client_member.user).get("/billing/").content.decode()
    assert "Your bank is processing it." in page
    sweep_topups(timezone.now() + timedelta(days=1))
    slow.refresh_from_db()
    assert slow.state == "pending"


@pytest.mark.parametrize("order", [1, -1])
def test_a_slow_payment_that_succeeds_is_credited_once(
    double: Double, slow: TopUp, client_member: Member, order: int
) -> None:
    double.finish(slow.session_id, "succeeded")
    hooks = told(double, 3)[::order]
    deliver([*hooks, *hooks])
    assert available(client_member) == D(60)


def test_a_slow_payment_that_fails_frees_the_limit(double: Double, slow: TopUp, client_member: Member) -> None:
    double.finish(slow.session_id, "failed")
    hooks = told(double, 3)
    deliver([*hooks, *hooks])
    slow.refresh_from_db()
    assert (slow.state, available(client_member)) == ("failed", D(10))
    assert room_of(client_member.account.billing_terms, timezone.now()).left == D(100)


def test_the_sweep_finds_a_slow_payment_whose_webhooks_are_lost(
    double: Double, slow: TopUp, client_member: Member
) -> None:
    double.finish(slow.session_id, "succeeded")
    sweep_topups(timezone.now() + timedelta(hours=1))
    assert available(client_member) == D(60)
