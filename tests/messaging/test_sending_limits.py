"""What one account may send: throughput, daily limit, dispatch hours, priority, weight (services/sending_limits.py)."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic as time_now

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from messaging.models import Message, MessageClass, Route, SendingDay, SendingPace, SendingTerms
from messaging.services import dispatching, sending_limits
from messaging.services.dispatching import dispatch_all, dispatch_route
from messaging.services.sending_limits import is_open, next_midnight, next_opening, start_of_day
from messaging.services.turns import apportion
from tests.cast import Member, fund, make_client
from tests.meeting import SURELY, meet
from tests.messaging.test_acceptance import accept, numbers


@pytest.fixture(autouse=True)
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock that these tests count on."""
    monkeypatch.setattr(dispatching, "STOCK_SECONDS", 0.5)


SYDNEY = "Australia/Sydney"


def limit(member: Member, **terms) -> None:
    SendingTerms.objects.update_or_create(account=member.account, defaults=terms)


def released(member: Member | None = None) -> int:
    found = Message.objects.filter(state="released")
    return found.filter(account=member.account).count() if member else found.count()


def second_route() -> Route:
    """Another route, to which half of what is queued goes."""
    route = Route.objects.create(code="second", name="Second", throughput=1000)
    ids = list(Message.objects.order_by("pk").values_list("pk", flat=True))[::2]
    Message.objects.filter(pk__in=ids).update(route=route)
    return route


# --- throughput ------------------------------------------------------------------------------------------------------


def test_an_accounts_throughput_counts_on_all_routes_and_refills_with_time(client_member: Member):
    limit(client_member, throughput=10)
    accept(client_member, numbers(60))
    second_route()

    began = time_now()
    assert 10 <= dispatch_all() + dispatch_all() <= 11 + 10 * (time_now() - began)
    began = time_now()
    SendingPace.objects.update(tokens=0, filled_at=timezone.now() - timedelta(seconds=0.5))
    assert 5 <= dispatch_all() <= 6 + 10 * (time_now() - began)
    began = time_now()
    SendingPace.objects.update(filled_at=timezone.now() - timedelta(hours=1))
    assert 10 <= dispatch_all() <= 11 + 10 * (time_now() - began)  # never more than one second's at once


def test_a_parents_throughput_is_divided_among_those_below_it(reseller: Member, client_member: Member):
    limit(reseller, throughput=10)
    other = make_client(reseller, "Other")
    fund(other, "10")
    accept(client_member, numbers(30))
    accept(other, numbers(30, first=100))

    assert dispatch_all() == 10
    assert (released(client_member), released(other)) == (5, 5)


# --- daily limit -----------------------------------------------------------------------------------------------------


def test_a_daily_limit_is_exact_whoever_dispatches_at_the_same_time(committed_db, client_member: Member, run_together):
    limit(client_member, daily_limit=25)
    accept(client_member, numbers(60))
    routes = [Route.objects.get(code="test"), second_route()]

    counts = run_together(6, lambda index: dispatch_route(routes[index % 2].pk).released)

    assert sum(counts) == released() == SendingDay.objects.get().released == 25


def test_without_the_rows_lock_the_daily_limit_would_be_passed(
    committed_db, client_member: Member, run_together, monkeypatch
):
    """The canary of the race above: both look before either counts."""
    limit(client_member, daily_limit=26)
    accept(client_member, numbers(1))
    assert dispatch_all() == 1  # the day has its row, for whose first writer the second would wait
    accept(client_member, numbers(60, first=100))
    routes = [Route.objects.get(code="test"), second_route()]
    monkeypatch.setattr(sending_limits, "_LOCK_DAY", sending_limits._LOCK_DAY.replace("FOR UPDATE", ""))
    meet(monkeypatch, sending_limits.Allowances, "_load", patience=SURELY, after=True)

    run_together(2, lambda index: dispatch_route(routes[index].pk).released)

    assert released() == 51


def test_what_was_sent_before_the_limit_was_set_counts_and_the_next_day_begins_anew(client_member: Member):
    accept(client_member, numbers(12))
    assert dispatch_all() == 12
    limit(client_member, daily_limit=15)
    accept(client_member, numbers(12, first=100))

    assert (dispatch_all(), dispatch_all()) == (3, 0)
    SendingDay.objects.update(day=date(2020, 1, 1))  # it is tomorrow
    Message.objects.update(released_at=None)
    assert dispatch_all() == 9


def test_a_message_that_is_tried_again_is_counted_once(client_member: Member):
    limit(client_member, daily_limit=5)
    accept(client_member, numbers(8))
    assert dispatch_all() == 5
    first = Message.objects.filter(state="released").order_by("pk").first()
    Message.objects.filter(pk=first.pk).update(state="queued", attempts=1)

    assert dispatch_all() == 1
    assert SendingDay.objects.get().released == 5
    assert Message.objects.filter(state="queued").count() == 3


def test_a_parents_daily_limit_is_the_sum_of_those_below_it(reseller: Member, client_member: Member):
    limit(reseller, daily_limit=7)
    limit(client_member, daily_limit=5)
    accept(client_member, numbers(10))
    accept(reseller, numbers(10, first=100))

    for _ in range(3):
        dispatch_all()
    assert released(client_member) <= 5
    assert released() == 7


# --- hours -----------------------------------------------------------------------------------------------------------


def test_outside_dispatch_hours_everything_waits_but_passcodes(client_member: Member):
    here = datetime.now(UTC)
    limit(
        client_member,
        dispatch_from=(here + timedelta(hours=2)).time(),
        dispatch_until=(here + timedelta(hours=3)).time(),
    )
    type(client_member.account).objects.filter(pk=client_member.account.pk).update(time_zone="UTC")
    accept(client_member, numbers(3))
    accept(client_member, numbers(1, first=100), message_class=MessageClass.PASSCODE)

    assert dispatch_all() == 1
    assert Message.objects.get(state="released").message_class == MessageClass.PASSCODE
    limit(client_member, dispatch_from=(here - timedelta(hours=1)).time())
    assert dispatch_all() == 3


@pytest.mark.parametrize(
    ("begin", "end", "at", "opens"),
    [
        (time(8), time(20), "2026-07-01T07:59", "2026-07-01T08:00"),
        (time(8), time(20), "2026-07-01T08:00", None),
        (time(8), time(20), "2026-07-01T20:00", "2026-07-02T08:00"),
        (time(22), time(6), "2026-07-01T23:00", None),
        (time(22), time(6), "2026-07-01T05:59", None),
        (time(22), time(6), "2026-07-01T06:00", "2026-07-01T22:00"),
        (time(9), time(9), "2026-07-01T03:00", None),
    ],
)
def test_hours_may_go_over_midnight_and_are_local(begin, end, at, opens):
    now = datetime.fromisoformat(f"{at}+10:00")
    assert is_open(begin, end, SYDNEY, now) == (opens is None)
    assert next_opening(begin, end, SYDNEY, now) == (datetime.fromisoformat(f"{opens}+10:00") if opens else None)


def test_days_begin_at_local_midnight_also_when_clocks_change():
    assert start_of_day(date(2026, 10, 4), SYDNEY) == datetime(2026, 10, 3, 14, tzinfo=UTC)
    noon = datetime(2026, 10, 4, 1, tzinfo=UTC)
    assert next_midnight(SYDNEY, noon) == datetime(2026, 10, 4, 13, tzinfo=UTC)  # a day of 23 hours


# --- turns -----------------------------------------------------------------------------------------------------------


def test_a_higher_priority_goes_first_and_a_heavier_account_gets_more(reseller: Member, client_member: Member):
    Route.objects.update(throughput=24)  # room for 12
    limit(client_member, weight=3)
    accept(client_member, numbers(40))
    accept(reseller, numbers(40, first=100))

    dispatch_all()
    assert (released(client_member), released(reseller)) == (9, 3)

    Message.objects.filter(state="released").update(state="sent")
    limit(reseller, priority=1)
    dispatch_all()
    assert (released(client_member), released(reseller)) == (0, 12)
    assert set(accept(reseller, numbers(1, first=500)).messages.values_list("priority", flat=True)) == {1}


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=60),
)
def test_turns_fill_the_room_and_come_to_the_share_of_each(weights, rooms):
    shares, credits, given_ = dict(enumerate(weights)), dict[int, float](), Counter[int]()
    for room in rooms:
        turn = apportion(room, shares, credits)
        assert sum(turn.values()) == room
        assert min(turn.values()) >= 0
        given_.update(turn)
    for account, weight in shares.items():
        assert abs(given_[account] - sum(rooms) * weight / sum(weights)) < 2


def test_the_memory_of_turns_outlives_a_visit_and_forgets_who_left(reseller: Member, client_member: Member):
    Route.objects.update(throughput=2)  # room for one
    accept(client_member, numbers(20))
    accept(reseller, numbers(2, first=100))

    order = []
    for _ in range(6):
        dispatch_all()
        order.append(Message.objects.get(state="released").account_id)
        Message.objects.filter(state="released").update(state="sent")
    first, second = sorted([client_member.account.pk, reseller.account.pk])
    assert order[:4] == [first, second, first, second]
    assert Counter(order)[reseller.account.pk] == 2


def test_one_tenants_many_do_not_stand_before_anothers_few(reseller: Member, client_member: Member):
    Route.objects.update(throughput=40)  # room for 20
    fund(client_member, "1000")
    accept(client_member, numbers(2000, first=10_000))
    dispatch_all()
    Message.objects.filter(state="released").update(state="sent")
    others = [make_client(reseller, f"Few {index}") for index in range(5)]
    for index, other in enumerate(others):
        fund(other, "1")
        accept(other, numbers(1, first=100 + index))

    dispatch_all()

    assert [released(other) for other in others] == [1] * 5
    assert released(client_member) == 15
