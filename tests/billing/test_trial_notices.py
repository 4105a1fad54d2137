"""Mails about the end of a trial: once a stage, by the client's own clock, to nobody whom they do not concern."""

from datetime import UTC, date, datetime
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest
import time_machine

from accounts.models import Account, OutgoingMail
from accounts.services.accounts import suspend_account
from billing.models import BillingTerms
from billing.services import trials
from billing.services.notices import set_notices
from billing.services.trial_notices import send_trial_notices
from tests.cast import Member, fund, make_client

SYDNEY = ZoneInfo("Australia/Sydney")
LAST_DAY = date(2026, 11, 30)


def at(day: int, hour: int = 12, minute: int = 0, *, month: int = 11) -> datetime:
    """A moment in Sydney, where the client lives."""
    return datetime(2026, month, day, hour, minute, tzinfo=SYDNEY)


@pytest.fixture
def member(reseller: Member) -> Member:
    """On trial until 30 November 2026 (Sydney), made on the 1st."""
    made = make_client(reseller, "Trial", trial_ends_on=LAST_DAY)
    Account.objects.filter(pk=made.account.pk).update(created_at=datetime(2026, 11, 1, tzinfo=UTC))
    return made


def run(*moments: datetime) -> list[int]:
    """How many mails each run at these moments queued; the clock stands at them."""
    counts = []
    for moment in moments:
        with time_machine.travel(moment, tick=False):
            counts.append(send_trial_notices(moment))
    return counts


def subjects() -> list[str]:
    return list(OutgoingMail.objects.filter(key__startswith="trial-").order_by("pk").values_list("subject", flat=True))


def test_three_days_before_one_day_before_and_at_the_end_a_mail_is_sent_once(member: Member) -> None:
    assert run(at(26, 23, 59), at(27, 9), at(27, 9, 1), at(28), at(29, 8, 59)) == [0, 1, 0, 0, 0]
    assert run(at(29, 9), at(29, 15), at(30, 12), at(30, 23, 59)) == [1, 0, 0, 0]
    assert run(at(1, 0, 0, month=12), at(1, 9, month=12), at(3, month=12)) == [1, 0, 0]
    assert subjects() == [
        "The trial of Trial ends in 3 days", "The trial of Trial ends tomorrow", "The trial of Trial has ended",
    ]  # fmt: skip


def test_the_mails_say_until_when_in_the_client_s_zone_what_is_left_and_how_to_go_on(member: Member) -> None:
    fund(member, "4.20")  # staff's payment makes nothing live here: it is booked in the ledger only
    run(at(29, 10), at(1, 0, 0, month=12))
    before, over = OutgoingMail.objects.filter(key__startswith="trial-").order_by("pk")
    assert (before.to, before.account) == ("trial@test.example", member.account)
    assert "lasts until the end of 30 November 2026 (Australia/Sydney)" in before.text
    assert "What is in the wallet, AUD 4.20 now, stays there." in before.text
    assert "its last day was 30 November 2026 (Australia/Sydney)" in over.text
    assert "Add credit: http://testserver/billing/add-credit/" in over.text
    assert "AUD 4.20 that are left in the wallet can be used again" in over.html


def test_the_end_is_told_by_the_client_s_own_midnight(member: Member) -> None:
    Account.objects.filter(pk=member.account.pk).update(time_zone="America/Los_Angeles")
    assert run(datetime(2026, 12, 1, 7, 59, 59, tzinfo=UTC)) == [1]  # its last day: the reminder of the day before
    assert run(datetime(2026, 12, 1, 8, 0, tzinfo=UTC)) == [1]
    assert subjects() == ["The trial of Trial ends today", "The trial of Trial has ended"]


def test_an_extended_trial_is_told_of_anew(member: Member) -> None:
    run(at(27, 9), at(29, 9))
    with time_machine.travel(at(29, 10), tick=False):
        trials.extend_trial(account=member.account, ends_on=date(2026, 12, 15), actor=None)
    assert run(at(30), at(1, month=12), at(12, 9, month=12), at(14, 9, month=12)) == [0, 0, 1, 1]


def test_a_trial_that_the_parent_ends_is_told_of_at_once(member: Member) -> None:
    with time_machine.travel(at(10), tick=False):
        trials.end_trial(account=member.account, actor=None)
    assert run(at(10, 12, 1), at(10, 12, 2)) == [1, 0]
    assert subjects() == ["The trial of Trial has ended"]


def test_a_trial_as_short_as_the_reminder_is_not_reminded_of_on_the_day_it_is_made(member: Member) -> None:
    Account.objects.filter(pk=member.account.pk).update(created_at=at(29, 8))
    assert run(at(29, 9), at(29, 23), at(30, 9), at(1, 0, month=12)) == [0, 0, 1, 1]


def test_no_mail_goes_to_accounts_that_are_live_suspended_or_paid_for_or_ended_long_ago(
    member: Member, reseller: Member, client_member: Member
) -> None:
    live, billed, stopped = (make_client(reseller, name, trial_ends_on=LAST_DAY) for name in ("Live", "Billed", "Off"))
    trials.make_live(account=live.account, actor=None)
    BillingTerms.objects.filter(account=billed.account).update(method="bill_to_parent")
    suspend_account(account=stopped.account, actor=reseller.user)
    assert run(at(29), at(1, month=12)) == [1, 1]  # the member's own
    trials_of = OutgoingMail.objects.filter(key__startswith="trial-").values_list("account", flat=True)
    assert set(trials_of) == {member.account.pk}
    OutgoingMail.objects.all().delete()
    assert run(at(9, month=12)) == [0]


def test_the_notification_address_goes_first_and_an_invoiced_client_is_offered_no_card(member: Member) -> None:
    set_notices(account=member.account, actor=None, email="money@trial.example")
    BillingTerms.objects.filter(account=member.account).update(method="invoice", daily_topup_limit=D(100))
    run(at(1, 0, month=12))
    mail = OutgoingMail.objects.get(key__startswith="trial-over")
    assert mail.to == "money@trial.example"
    assert "Add credit" not in mail.text + mail.html
    assert "Ask whoever set up the account for you how to go on." in mail.text


def test_what_another_run_queued_is_not_queued_again(member: Member) -> None:
    key = f"trial-over:{member.account.code}:{LAST_DAY}"
    OutgoingMail.objects.create(key=key, to="x@test.example", subject="queued a moment ago", text="")
    assert run(at(1, 0, month=12)) == [0]
    assert subjects() == ["queued a moment ago"]
