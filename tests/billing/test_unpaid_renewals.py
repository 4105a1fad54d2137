"""Renewals without money: days of grace, suspension, the end; paid meanwhile; what is foreseen and mailed of it."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from accounts.models import AuditEntry, OutgoingMail
from accounts.services.accounts import suspend_account
from billing.forecasts import forecast
from billing.models import BillingTerms, NoticeTerms, Subscription
from billing.services import card_movements, ledger
from billing.services.renewal_notices import send_renewal_notices
from billing.services.subscriptions import Counts
from billing.tasks import send_renewal_notices as notices_task
from tests.billing.services import (
    at,
    available,
    every_day,
    lease_number,
    make_number,
    movements_of,
    renew,
    set_margin,
)
from tests.cast import Member, check_now, fund, make_client
from virtual_numbers import selectors
from virtual_numbers.models import Lease

D = Decimal


@pytest.fixture
def lease(client_member: Member) -> Lease:
    """Leased on 10 January at 24.00 a month; the client has 30.00 then, 6.00 after."""
    set_margin(client_member, "5")
    fund(client_member, "20", key="for one month")
    return lease_number(client_member, now=at("2027-01-10"))


def now_is(lease: Lease) -> tuple[str, date | None, date | None]:
    found = Subscription.objects.get(pk=lease.subscription_id)
    return found.state, found.due_since, found.suspended_since


def live(moment: datetime) -> Counts:
    """A day of the portal: renewals, then notices."""
    counts = renew(moment)
    send_renewal_notices(moment)
    return counts


def mails() -> list[tuple[str, str]]:
    """Day and subject of every mail about renewals."""
    found = OutgoingMail.objects.filter(key__startswith="renewals:").order_by("pk")
    return [(mail.key[-10:], mail.subject) for mail in found]


def last_text() -> str:
    found = OutgoingMail.objects.filter(key__startswith="renewals:").latest("pk")
    assert found.html.count("<li>") == found.text.count("\n- ")
    return found.text


# --- The way down --------------------------------------------------------------------------------------------------


def test_three_months_of_which_one_is_not_paid_lead_through_grace_to_quarantine(
    reseller: Member, client_member: Member, lease: Lease
) -> None:
    fund(client_member, "24", key="for a second month")
    seen: dict[str, str] = {}

    def day(moment: datetime) -> None:
        live(moment)
        check_now()
        state = now_is(lease)[0]
        if state not in seen:
            seen[state] = f"{moment.astimezone():%Y-%m-%d}"

    every_day(at("2027-01-10"), 90, day)
    assert seen == {"active": "2027-01-11", "grace": "2027-03-10", "suspended": "2027-03-17", "ended": "2027-03-24"}
    assert [f"{one.begins_on}" for one in lease.subscription.charges.order_by("pk")] == ["2027-01-10", "2027-02-10"]
    assert (available(client_member.account), available(reseller.account)) == (D(6), D(110))
    lease.number.refresh_from_db()
    assert (lease.number.state, lease.number.quarantined_until) == ("quarantined", at("2027-04-23"))
    assert selectors.lease_of(lease.number) is None
    assert [mail for mail in mails() if "will not cover" in mail[1]] == [
        (day, "The balance of Client will not cover what renews next")
        for day in ("2027-03-03", "2027-03-07", "2027-03-09")
    ]
    unpaid = [day for day, subject in mails() if "are not paid" in subject]
    assert unpaid == [f"2027-03-{day}" for day in range(10, 25)]
    actions = AuditEntry.objects.filter(subject=lease.subscription.code).order_by("pk")
    assert list(actions.values_list("action", flat=True)) == ["number.started", "number.suspended", "number.ended"]


def test_the_days_of_grace_and_suspension_are_settings(lease: Lease, settings) -> None:
    settings.RENEWAL_GRACE_DAYS, settings.RENEWAL_SUSPENDED_DAYS = 2, 3
    every_day(at("2027-01-10"), 32, renew)
    assert now_is(lease)[0] == "grace"
    renew(at("2027-02-12"))
    assert now_is(lease) == ("suspended", date(2027, 2, 10), date(2027, 2, 12))
    renew(at("2027-02-14"))
    assert now_is(lease)[0] == "suspended"
    renew(at("2027-02-15"))
    assert now_is(lease)[0] == "ended"


def test_it_works_in_grace_and_stands_still_while_suspended(client_member: Member, lease: Lease) -> None:
    renew(at("2027-02-10"))
    assert selectors.holder_of(lease.number) == client_member.account
    renew(at("2027-02-16"))
    assert selectors.holder_of(lease.number) == client_member.account
    renew(at("2027-02-17"))
    assert selectors.holder_of(lease.number) is None


def test_a_task_that_comes_late_gives_every_step_its_days(lease: Lease) -> None:
    assert renew(at("2027-05-01")) == Counts(grace=1)
    assert renew(at("2027-06-01")) == Counts(suspended=1)
    assert renew(at("2027-06-02")) == Counts()
    assert renew(at("2027-07-01")) == Counts(ended=1)


# --- Paid again ----------------------------------------------------------------------------------------------------


def test_paid_in_grace_it_goes_on_as_if_nothing_had_been(client_member: Member, lease: Lease) -> None:
    renew(at("2027-02-10"))
    fund(client_member, "18", key="just enough")
    assert renew(at("2027-02-14")) == Counts(months=1)
    assert now_is(lease) == ("active", None, None)
    assert available(client_member.account) == D(0)
    lease.subscription.refresh_from_db()
    assert lease.subscription.next_renewal_on == date(2027, 3, 10)


def test_a_cent_less_is_not_enough(client_member: Member, lease: Lease) -> None:
    renew(at("2027-02-10"))
    fund(client_member, "17.99", key="not quite")
    assert renew(at("2027-02-14")) == Counts()
    assert (now_is(lease)[0], available(client_member.account)) == ("grace", D("23.99"))


def test_paid_while_suspended_it_works_again_at_once(client_member: Member, lease: Lease) -> None:
    for day in ("2027-02-10", "2027-02-17"):
        renew(at(day))
    fund(client_member, "18", key="just enough")
    assert renew(at("2027-02-20")) == Counts(months=1, resumed=1)
    assert now_is(lease) == ("active", None, None)
    assert selectors.holder_of(lease.number) == client_member.account
    assert lease.subscription.charges.latest("pk").ends_on == date(2027, 3, 10)
    assert AuditEntry.objects.filter(action="number.resumed").count() == 1


def test_months_in_which_it_stood_still_throughout_are_not_charged(
    reseller: Member, client_member: Member, lease: Lease, settings
) -> None:
    settings.RENEWAL_SUSPENDED_DAYS = 90
    for day in ("2027-02-10", "2027-02-17"):
        renew(at(day))
    fund(client_member, "42", key="for two months")
    assert renew(at("2027-04-20")) == Counts(months=2, resumed=1)
    charged = lease.subscription.charges.order_by("begins_on").values_list("begins_on", "part", "amount")
    assert [(f"{begins:%m-%d}", part, amount) for begins, part, amount in charged] == [
        ("01-10", "month", D(24)),
        ("02-10", "month", D(24)),  # it worked until the 17th
        ("03-10", "paused", D(0)),
        ("04-10", "month", D(24)),
    ]
    assert (available(client_member.account), available(reseller.account)) == (D(0), D(115))
    assert len(movements_of(lease.subscription)) == 3


def test_once_it_ended_money_brings_nothing_back(client_member: Member, lease: Lease) -> None:
    for day in ("2027-02-10", "2027-02-17", "2027-02-24"):
        renew(at(day))
    assert now_is(lease)[0] == "ended"
    fund(client_member, "100", key="too late")
    assert renew(at("2027-02-25")) == Counts()
    assert available(client_member.account) == D(106)


# --- Money that cannot be spent, and accounts that stand still -----------------------------------------------------


def test_a_disputed_payment_and_an_ended_trial_pay_no_renewal(client_member: Member, lease: Lease) -> None:
    fund(client_member, "100", key="plenty")
    ledger.set_frozen(client_member.account, lambda: True)
    assert renew(at("2027-02-10")) == Counts(grace=1)
    ledger.set_frozen(client_member.account, lambda: False)
    BillingTerms.objects.filter(account=client_member.account).update(trial_ends_on="2027-02-10")
    assert renew(at("2027-02-11")) == Counts()
    assert forecast(client_member.account, now=at("2027-02-11"))[0].is_covered is False
    BillingTerms.objects.filter(account=client_member.account).update(trial_closed_at=at("2027-02-12"))
    assert renew(at("2027-02-12")) == Counts(months=1)


def test_a_suspended_account_goes_on_paying_for_the_number_it_keeps(client_member: Member, lease: Lease) -> None:
    fund(client_member, "100", key="plenty")
    suspend_account(account=client_member.account, actor=None)
    assert renew(at("2027-02-10")) == Counts(months=1)


# --- What is foreseen ----------------------------------------------------------------------------------------------


def test_the_forecast_goes_sixty_days_ahead_with_the_balance_after_each(client_member: Member, lease: Lease) -> None:
    fund(client_member, "40", key="more")
    lease_number(client_member, make_number("+61480000002", monthly="6"), now=at("2027-01-12"))
    seen = forecast(client_member.account, now=at("2027-01-12"))
    assert [(f"{due.day:%m-%d}", due.label[-1], due.amount, due.balance_after) for due in seen] == [
        ("02-10", "1", D(24), D(11)),
        ("02-12", "2", D(11), D(0)),
        ("03-10", "1", D(24), D(-24)),
        ("03-12", "2", D(11), D(-35)),
    ]
    assert [due.is_covered for due in seen] == [True, True, False, False]
    assert len(forecast(client_member.account, days=30, now=at("2027-01-12"))) == 1


def test_credit_counts_as_balance(reseller: Member) -> None:
    ledger.set_credit_limits(account=reseller.account, credit=D(50), overdraft=D(0))
    lease_number(reseller, now=at("2027-01-10"))
    assert forecast(reseller.account, days=31, now=at("2027-01-10"))[0].balance_after == D(81 + 50 - 19)


def test_a_parent_foresees_what_it_pays_for_its_clients_and_they_see_nothing(
    reseller: Member, billed_member: Member, lease: Lease
) -> None:
    lease_number(billed_member, make_number("+61480000002"), now=at("2027-01-12"))
    (due,) = forecast(reseller.account, days=40, now=at("2027-01-12"))
    assert (due.day, due.amount, due.balance_after) == (date(2027, 2, 12), D(19), D(100 + 5 - 19 - 19))
    assert due.subscription.account == billed_member.account
    assert forecast(billed_member.account, now=at("2027-01-12")) == []


def test_what_is_due_and_not_paid_stands_first(lease: Lease, client_member: Member) -> None:
    renew(at("2027-02-10"))
    first, second, *_ = forecast(client_member.account, now=at("2027-02-15"))
    assert (first.day, first.balance_after) == (date(2027, 2, 10), D(-18))
    assert second.day == date(2027, 3, 10)


def test_what_ended_is_not_foreseen(lease: Lease, client_member: Member) -> None:
    for day in ("2027-02-10", "2027-02-17", "2027-02-24"):
        renew(at(day))
    assert forecast(client_member.account, now=at("2027-02-24")) == []


# --- Mails ---------------------------------------------------------------------------------------------------------


def test_a_mail_ahead_names_day_amount_and_what_will_be_missing(lease: Lease) -> None:
    live(at("2027-02-02"))
    assert mails() == []
    live(at("2027-02-03"))
    assert "+61480000001 (number rental): AUD 24.00 on 10 February 2027; AUD 18.00 will be missing then." in last_text()
    assert "There are AUD 6.00 to spend now." in last_text()
    assert "/billing/add-credit/" in last_text()
    assert "/billing/forecast/" in last_text()


def test_no_mail_comes_while_the_balance_covers_the_renewal(client_member: Member, lease: Lease) -> None:
    fund(client_member, "18", key="just enough")
    every_day(at("2027-01-10"), 31, live)
    assert mails() == []


def test_a_balance_that_falls_within_the_week_is_told_of_at_once(client_member: Member, lease: Lease) -> None:
    fund(client_member, "18", key="just enough")
    live(at("2027-02-04"))
    fund(client_member, "-1", key="spent")
    every_day(at("2027-02-04"), 5, live)
    assert [day for day, _ in mails()] == ["2027-02-05", "2027-02-07", "2027-02-09"]


def test_mails_go_out_in_the_payers_daytime_and_once_a_day(lease: Lease) -> None:
    early = at("2027-02-10").replace(hour=8, minute=59)
    renew(early)
    assert send_renewal_notices(early) == 0
    assert [send_renewal_notices(early + timedelta(minutes=minutes)) for minutes in (1, 16, 31)] == [1, 0, 0]


def test_each_state_says_what_happens_next(lease: Lease) -> None:
    live(at("2027-02-10"))
    assert "AUD 24.00 due since 10 February 2027. It works until 17 February 2027 and then stands still." in last_text()
    live(at("2027-02-17"))
    assert "It stands still, and is given up on 24 February 2027 unless it is paid." in last_text()
    live(at("2027-02-24"))
    assert "given up on 24 February 2027, as it was not paid." in last_text()
    live(at("2027-02-25"))
    assert len(mails()) == 3


def test_one_mail_lists_everything_that_a_payer_pays_for(reseller: Member, billed_member: Member, lease: Lease) -> None:
    lease_number(billed_member, make_number("+61480000002"), now=at("2027-01-10"))
    lease_number(reseller, make_number("+61480000003"), now=at("2027-01-10"))
    fund(reseller, "-60", key="spent")
    live(at("2027-02-10"))
    to = dict(OutgoingMail.objects.filter(key__startswith="renewals:").values_list("to", "text"))
    assert sorted(to) == ["client@test.example", "reseller@test.example"]
    text = to["reseller@test.example"]
    assert "/billing/add-credit/" not in text  # it pays by invoice
    # 100 + 5 - 19 - 19 - 60 = 7 on the day; neither month is covered.
    assert "- +61480000002 (number rental of Billed): AUD 19.00 due since 10 February 2027." in text
    assert "- +61480000003 (number rental): AUD 19.00 due since 10 February 2027." in text
    assert "There are AUD 7.00 to spend now." in text


def test_the_mail_goes_to_the_notification_address(client_member: Member, lease: Lease) -> None:
    NoticeTerms.objects.create(account=client_member.account, email="bills@test.example")
    live(at("2027-02-10"))
    assert OutgoingMail.objects.get(key__startswith="renewals:").to == "bills@test.example"


def test_names_are_written_as_they_are_in_text_and_escaped_in_html(reseller: Member) -> None:
    client = make_client(reseller, "O'Neill & <b>Sons</b>", method="bill_to_parent", minimum_topup=None,
                         daily_topup_limit=None)  # fmt: skip
    lease_number(client, now=at("2027-01-10"))
    fund(reseller, "-80", key="spent")
    live(at("2027-02-10"))
    mail = OutgoingMail.objects.get(key__startswith="renewals:")
    assert "of O'Neill & <b>Sons</b>)" in mail.text
    assert "of O&#x27;Neill &amp; &lt;b&gt;Sons&lt;/b&gt;)" in mail.html


def test_the_task_sends_what_is_called_for_now(lease: Lease) -> None:
    renew(at("2027-02-10"))
    with time_machine.travel(at("2027-02-10")):
        notices_task()
    assert [day for day, _ in mails()] == ["2027-02-10"]


def test_a_long_forecast_asks_the_database_no_more_than_a_short_one(
    reseller: Member, client_member: Member, django_assert_max_num_queries
) -> None:
    fund(reseller, "900", key="rich")
    for number in range(20):
        lease_number(reseller, make_number(f"+6148000010{number:02}", monthly="1"), now=at("2027-01-10"))
    with django_assert_max_num_queries(9):
        assert len(forecast(reseller.account, now=at("2027-01-10"))) == 40


def test_what_costs_nothing_renews_whatever_the_wallet_has(client_member: Member, lease: Lease) -> None:
    set_margin(client_member, "0")
    free = lease_number(client_member, make_number("+61480000002", monthly="0"), now=at("2027-01-10"))
    card_movements.card_dispute(account=client_member.account, amount=D(50), dispute_id="dp_1", topup_code="T")
    ledger.set_frozen(client_member.account, lambda: True)
    assert renew(at("2027-02-10")) == Counts(months=1, grace=1)
    free.subscription.refresh_from_db()
    assert free.subscription.state == "active"
