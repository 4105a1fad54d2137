from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account
from billing.exceptions import TopUpRefused
from billing.models import BillingTerms, TopUp
from billing.services import topups
from billing.services.topup_limits import room_of
from billing.services.topups import Payment, cancel_topup, settle_payment, start_topup
from tests.cast import Member, make_client
from tests.meeting import SURELY, meet
from tests.stripe_double import Double

D = Decimal
# 14:00 in Sydney.
NOON = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def start(member: Member, amount: str) -> TopUp:
    return start_topup(account=member.account, amount=D(amount), actor=member.user)


def paid(member: Member, amount: str, at: datetime) -> TopUp:
    """A top-up that was paid at that moment."""
    topup = TopUp.objects.create(
        account=member.account, amount=D(amount), currency="AUD", created_by=member.user, created_at=at,
        expires_at=at + timedelta(minutes=35),
    )  # fmt: skip
    settle_payment(Payment(topup.code, D(amount), "AUD", f"pi_{topup.code}", at))
    topup.refresh_from_db()
    return topup


def left(member: Member, now: datetime) -> Decimal | None:
    return room_of(member.account.billing_terms, now).left


def test_paid_topups_count_for_24_hours_from_payment(client_member: Member) -> None:
    paid(client_member, "30", NOON - timedelta(hours=20))
    paid(client_member, "20", NOON - timedelta(hours=2))
    assert left(client_member, NOON) == D(50)
    assert left(client_member, NOON + timedelta(hours=3, minutes=59)) == D(50)
    assert left(client_member, NOON + timedelta(hours=4)) == D(80)
    assert left(client_member, NOON + timedelta(hours=22)) == D(100)


def test_the_refusal_names_what_is_left_and_when_how_much_frees_up(client_member: Member) -> None:
    paid(client_member, "30", NOON - timedelta(hours=20))
    paid(client_member, "50", NOON - timedelta(hours=2))
    with time_machine.travel(NOON, tick=False), pytest.raises(TopUpRefused) as refusal:
        start(client_member, "40")
    assert str(refusal.value) == (
        "Amount AUD 40.00 would pass the limit of AUD 100.00 in 24 hours: AUD 20.00 is left."
        " AUD 30.00 frees up on 21 Nov 2026, 18:00 (Australia/Sydney). Choose less, or come back then."
    )
    assert TopUp.objects.count() == 2


def test_the_refusal_adds_up_what_has_to_free_up(client_member: Member) -> None:
    paid(client_member, "30", NOON - timedelta(hours=20))
    paid(client_member, "70", NOON - timedelta(hours=2))
    with time_machine.travel(NOON, tick=False), pytest.raises(TopUpRefused) as refusal:
        start(client_member, "100")
    assert "nothing is left. AUD 100.00 frees up on 22 Nov 2026, 12:00 (Australia/Sydney)." in str(refusal.value)
    assert "Choose less" not in str(refusal.value)


def test_an_open_payment_page_counts_until_it_can_no_longer_be_paid(double: Double, client_member: Member) -> None:
    start(client_member, "60")
    now = timezone.now()
    assert left(client_member, now) == D(40)
    assert left(client_member, now + timedelta(minutes=34)) == D(40)
    assert left(client_member, now + timedelta(minutes=46)) == D(100)


def test_two_open_pages_cannot_pass_the_limit_together(double: Double, client_member: Member) -> None:
    first = start(client_member, "60")
    with pytest.raises(TopUpRefused, match=r"AUD 40.00 is left"):
        start(client_member, "60")
    cancel_topup(topup=first, actor=client_member.user)
    assert start(client_member, "60").state == "pending"


@pytest.mark.parametrize("state", ["failed", "expired", "cancelled"])
def test_what_was_not_paid_does_not_count(client_member: Member, state: str) -> None:
    TopUp.objects.create(
        account=client_member.account, amount=D(90), currency="AUD", state=state, created_at=NOON,
        expires_at=NOON + timedelta(minutes=35),
    )  # fmt: skip
    assert left(client_member, NOON) == D(100)


def test_other_accounts_topups_do_not_count(double: Double, reseller: Member, client_member: Member) -> None:
    sibling = make_client(reseller, "Sibling")
    start(sibling, "100")
    assert left(client_member, timezone.now()) == D(100)


def test_the_fixed_method_obeys_the_daily_limit_too(double: Double, reseller: Member) -> None:
    fixed = make_client(
        reseller, "Fixed", method="card_fixed", fixed_topup=D(40), minimum_topup=None, daily_topup_limit=D(100)
    )
    start(fixed, "40")
    start(fixed, "40")
    with pytest.raises(TopUpRefused, match=r"AUD 20.00 is left"):
        start(fixed, "40")


def test_without_a_daily_limit_the_fixed_amount_can_be_added_again(double: Double, reseller: Member) -> None:
    fixed = make_client(
        reseller, "Fixed", method="card_fixed", fixed_topup=D(40), minimum_topup=None, daily_topup_limit=None
    )
    for _ in range(4):
        start(fixed, "40")
    assert room_of(fixed.account.billing_terms, timezone.now()).left is None


RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def test_two_browsers_at_once_cannot_pass_the_limit(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    meet(monkeypatch, topups, "check_amount", after=True)
    outcomes = run_together(2, lambda _: start(client_member, "60"))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["TopUp", "TopUpRefused"]
    assert TopUp.objects.filter(state="pending").count() == 1


def test_canary_without_the_lock_two_browsers_do_pass_the_limit(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def unlocked(account: Account) -> BillingTerms:
        return BillingTerms.objects.select_related("account").get(pk=account.pk)

    meet(monkeypatch, topups, "check_amount", patience=SURELY, after=True)
    monkeypatch.setattr(topups, "locked_terms", unlocked)
    outcomes = run_together(2, lambda _: start(client_member, "60"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["TopUp", "TopUp"]
