"""Keywords month by month: renewed at the price of the day, short of money, switched off, on a number that left."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import Subscription
from keywords.matching import match
from keywords.models import Keyword, KeywordName
from keywords.services.keywords import set_status
from keywords.services.renewals import end_strays, renew_keywords
from keywords.tasks import renew_keywords as renew_task
from tests.billing.services import at, available, every_day, movements_of, revenue
from tests.cast import Member, check_now, fund
from tests.keywords.test_services import make as make_now
from tests.keywords.test_services import own_number, switch_on
from virtual_numbers.models import VirtualNumber

D = Decimal
BEGIN = at("2026-11-22")


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    switch_on(client_member, "5")
    return own_number(client_member)


@pytest.fixture
def join(client_member: Member, number: VirtualNumber) -> Keyword:
    """Made on 22 November 2026 in Sydney; 5.00 of the client's 10.00 are gone."""
    return make_now(client_member, number)


def state_of(keyword: Keyword) -> tuple[str, date]:
    found = Subscription.objects.get(keyword=keyword)
    return found.state, found.next_renewal_on


def test_three_months_are_charged_on_their_days_and_shared_each_time(reseller, client_member, join):
    fund(client_member, "10", key="more")
    every_day(BEGIN, 95, renew_keywords)
    check_now()
    keys = [movement.idempotency_key for movement in movements_of(join.subscription)]
    assert [key[-10:] for key in keys] == ["2026-11-22", "2026-12-22", "2027-01-22", "2027-02-22"]
    assert available(client_member.account) == D(0)
    assert available(reseller.account) == D(116)
    assert revenue() == D(4)
    assert state_of(join) == ("active", date(2027, 3, 22))


def test_a_renewal_costs_what_the_parent_asks_now(client_member, join):
    switch_on(client_member, "1.50")
    renew_keywords(at("2026-12-22"))
    assert available(client_member.account) == D("3.5")


def test_running_twice_charges_once(client_member, join):
    assert renew_keywords(at("2026-12-22")).months == 1
    assert renew_keywords(at("2026-12-22")).months == 0
    assert available(client_member.account) == D(0)


def test_the_task_renews_what_is_due_by_now(client_member, number):
    keyword = make_now(client_member, number, now=timezone.now() - timedelta(days=40))
    renew_task()
    assert len(movements_of(keyword.subscription)) == 2
    assert state_of(keyword)[1] > timezone.now().date()
    assert available(client_member.account) == D(0)


def test_without_money_it_works_in_grace_then_rests_then_ends(client_member, number, join):
    switch_on(client_member, "5.01")
    every_day(at("2026-12-21"), 7, renew_keywords)
    assert state_of(join) == ("grace", date(2026, 12, 22))
    assert match(number, "join", at("2026-12-28")).keyword == join
    renew_keywords(at("2026-12-29"))
    assert state_of(join)[0] == "suspended"
    assert match(number, "join", at("2026-12-29")).resting == join
    renew_keywords(at("2027-01-04"))
    assert Keyword.objects.get().ended_at is None
    renew_keywords(at("2027-01-05"))
    ended = Keyword.objects.get()
    assert (ended.ended_at, state_of(join)[0]) == (at("2027-01-05"), "ended")
    assert not KeywordName.objects.exists()
    assert available(client_member.account) == D(5)


def test_money_that_comes_while_it_rests_wakes_it(client_member, number, join):
    switch_on(client_member, "6")
    every_day(at("2026-12-21"), 9, renew_keywords)
    assert state_of(join)[0] == "suspended"
    fund(client_member, "1", key="late")
    renew_keywords(at("2026-12-31"))
    assert state_of(join) == ("active", date(2027, 1, 22))
    assert match(number, "join", at("2026-12-31")).keyword == join
    assert available(client_member.account) == D(0)


def test_a_closed_keyword_is_paid_for_on(client_member, join):
    set_status(keyword=join, status="closed", actor=None)
    renew_keywords(at("2026-12-22"))
    assert available(client_member.account) == D(0)


def test_keywords_that_were_switched_off_rest_and_end_when_their_month_is_over(client_member, number, join):
    switch_on(client_member, is_enabled=False)
    assert match(number, "join", BEGIN).resting == join
    renew_keywords(at("2026-12-21"))
    assert Keyword.objects.get().ended_at is None
    renew_keywords(at("2026-12-22"))
    assert Keyword.objects.get().ended_at == at("2026-12-22")
    assert available(client_member.account) == D(5)


def test_switched_on_again_in_time_they_go_on(client_member, number, join):
    switch_on(client_member, is_enabled=False)
    renew_keywords(at("2026-12-20"))
    switch_on(client_member, "5")
    renew_keywords(at("2026-12-22"))
    assert match(number, "join", at("2026-12-22")).keyword == join
    assert available(client_member.account) == D(0)


def test_a_keyword_on_a_number_of_somebody_else_is_ended_and_not_charged(reseller, client_member, number, join):
    number.leases.update(account=reseller.account, holder=reseller.account)
    assert end_strays(BEGIN) == 1
    assert end_strays(BEGIN) == 0
    assert Keyword.objects.get().ended_at == BEGIN
    renew_keywords(at("2026-12-22"))
    assert available(client_member.account) == D(5)


def test_a_new_price_of_nothing_moves_nothing(client_member, join):
    switch_on(client_member, "0")
    renew_keywords(at("2026-12-22"))
    assert state_of(join) == ("active", date(2027, 1, 22))
    assert available(client_member.account) == D(5)


def test_a_month_begins_at_the_accounts_own_midnight(client_member, join):
    midnight = datetime.fromisoformat("2026-12-22T00:00:00+11:00")
    assert renew_keywords(midnight - timedelta(seconds=1)).months == 0
    assert renew_keywords(midnight).months == 1
