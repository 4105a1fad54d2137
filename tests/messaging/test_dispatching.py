"""Releasing: stock, urgency, fairness, pauses (messaging/services/dispatching.py)."""

from collections import Counter

import psycopg
import pytest

from accounts.services.accounts import reactivate_account, suspend_account
from messaging.models import Message, MessageClass, Route, SendingTerms
from messaging.services import dispatching
from messaging.services.cancelling import cancel_batch
from messaging.services.dispatching import MORE, RELEASED_CHANNEL, dispatch_all, dispatch_route
from tests.cast import Member, fund, make_client, make_reseller
from tests.messaging.test_acceptance import accept, numbers


@pytest.fixture(autouse=True)
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock that these tests count on."""
    monkeypatch.setattr(dispatching, "STOCK_SECONDS", 0.5)


def set_stock(messages: int) -> Route:
    """Let the route have room for so many released messages: half a second of its throughput."""
    Route.objects.update(throughput=2 * messages)
    return Route.objects.get()


def released() -> list[Message]:
    return list(Message.objects.filter(state="released").order_by("pk"))


def test_a_stock_of_half_a_second_is_released_and_not_more(client_member: Member):
    route = set_stock(10)
    accept(client_member, numbers(30))

    assert dispatch_route(route.pk).released == 10
    assert dispatch_route(route.pk).released == 0
    assert [m.recipient for m in released()] == numbers(10)
    assert all(m.released_at for m in released())

    Message.objects.filter(state="released").update(state="sent")
    assert dispatch_all() == 10
    assert [m.recipient for m in released()] == numbers(10, first=10)


def test_connectors_are_told_whether_to_ask_again_when_they_have_claimed(committed_db, client_member: Member):
    route = set_stock(10)
    with psycopg.connect(committed_db.url, autocommit=True) as listener:
        listener.execute(f"LISTEN {RELEASED_CHANNEL}")

        def told(accepted: int) -> list[str]:
            if accepted:
                accept(client_member, numbers(accepted))
            dispatch_route(route.pk)
            return [notice.payload for notice in listener.notifies(timeout=0.1)]

        assert told(15) == [f"{route.pk}{MORE}"]
        assert told(0) == [f"{route.pk}{MORE}"], "the stock is full, and nobody may have heard the first"
        Message.objects.filter(state="released").update(state="sent")
        assert told(0) == [str(route.pk)]
        Message.objects.filter(state="released").update(state="sent")
        assert told(0) == []
        SendingTerms.objects.create(account=client_member.account, throughput=3)
        assert told(2) == [f"{route.pk}{MORE}"], "what a limit holds back waits for no new message"


def test_accounts_take_turns_however_much_one_of_them_has(client_member: Member, reseller: Member):
    route = set_stock(12)
    accept(client_member, numbers(100))
    others = [make_client(reseller, f"Other {index}") for index in range(3)]
    for index, other in enumerate(others):
        fund(other, "10")
        accept(other, numbers(2, first=1000 * (index + 1)))

    dispatch_route(route.pk)

    counts = Counter(m.account_id for m in released())
    assert [counts[other.account.pk] for other in others] == [2, 2, 2]
    assert counts[client_member.account.pk] == 6


def test_with_more_accounts_than_room_everybody_gets_a_turn_in_the_end(reseller: Member):
    route = set_stock(2)
    members = [make_client(reseller, f"Small {index}") for index in range(5)]
    for index, member in enumerate(members):
        fund(member, "1")
        accept(member, numbers(1, first=10 * index))

    for _ in range(3):
        assert dispatch_route(route.pk).released <= 2
        Message.objects.filter(state="released").update(state="sent")

    assert Message.objects.filter(state="sent").count() == 5


def test_passcodes_go_before_bulk_even_when_the_stock_is_full(client_member: Member, reseller: Member):
    route = set_stock(5)
    accept(reseller, numbers(20))
    dispatch_route(route.pk)
    accept(client_member, numbers(3, first=500), message_class=MessageClass.PASSCODE)

    assert dispatch_route(route.pk).released == 3
    assert Counter(m.message_class for m in released()) == {MessageClass.BULK: 5, MessageClass.PASSCODE: 3}


def test_priority_goes_before_age_within_an_account(client_member: Member):
    route = set_stock(1)
    accept(client_member, numbers(2))
    Message.objects.filter(recipient=numbers(2)[1]).update(priority=5)

    dispatch_route(route.pk)

    assert [m.recipient for m in released()] == [numbers(2)[1]]


def test_paused_routes_and_suspended_lines_keep_their_messages_queued(client_member: Member, reseller: Member):
    route = Route.objects.get()
    accept(client_member, numbers(2))
    Route.objects.update(is_paused=True)
    assert dispatch_all() == dispatch_route(route.pk).released == 0
    Route.objects.update(is_paused=False)

    suspend_account(account=reseller.account, actor=None)
    assert dispatch_all() == 0
    reactivate_account(account=reseller.account, actor=None)
    suspend_account(account=client_member.account, actor=None)
    assert dispatch_all() == 0
    reactivate_account(account=client_member.account, actor=None)
    assert dispatch_all() == 2


def test_many_dispatchers_at_once_release_the_stock_once(committed_db, client_member: Member, run_together):
    route = set_stock(50)
    accept(client_member, numbers(120))

    outcomes = run_together(6, lambda _: dispatch_route(route.pk).released)

    assert sum(outcomes) == 50
    assert Message.objects.filter(state="released").count() == 50


def test_cancelling_while_dispatching_leaves_each_message_in_one_state(committed_db, client_member, run_together):
    route = set_stock(60)
    batch = accept(client_member, numbers(120))

    def act(index: int) -> int:
        return cancel_batch(batch=batch, actor=None) if index == 0 else dispatch_route(route.pk).released

    cancelled, *_ = run_together(4, act)
    assert cancelled == Message.objects.filter(state="cancelled").count()
    assert Message.objects.exclude(state__in=["cancelled", "released", "queued"]).count() == 0


def test_resellers_and_clients_share_a_route(client_member: Member):
    other = make_reseller("Second")
    fund(other, "5")
    set_stock(4)
    accept(client_member, numbers(10))
    accept(other, numbers(10, first=100))

    dispatch_all()

    assert sorted(Counter(m.account_id for m in released()).values()) == [2, 2]
