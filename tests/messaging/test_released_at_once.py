"""Single messages that need not queue are released as they are accepted, and only those."""

from datetime import time
from itertools import takewhile
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from messaging.models import Batch, Message, MessageClass, Route, SendingTerms
from messaging.services.acceptance import accept_batch, accept_singles
from messaging.services.dispatching import RELEASED_CHANNEL, dispatch_all, dispatch_route
from tests.cast import Member, fund, make_client, make_reseller
from tests.conftest import CommittedDatabase
from tests.messaging.test_acceptance import numbers
from tests.messaging.test_singles import single

COUNT = 3000


def states(*singles: Any) -> list[str]:
    """What became of the messages of these."""
    answers = [one for one in accept_singles(singles) if isinstance(one, Batch)]
    assert len(answers) == len(singles)
    found = {message.batch_id: message for message in Message.objects.filter(batch__in=[one.pk for one in answers])}
    assert all((message.released_at is None) == (message.state == "queued") for message in found.values())
    return [found[one.pk].state for one in answers]


def some(member: Member, count: int, **more: Any) -> list[Any]:
    return [single(member, number, **more) for number in numbers(count)]


def test_they_are_released_where_nobody_waits_and_the_stock_has_room(client_member: Member, reseller: Member):
    other = make_client(reseller, "Other client")
    fund(other, "10")
    Route.objects.update(throughput=20)  # a stock of 6
    assert states(*some(client_member, 2), *some(other, 2)) == ["released"] * 4
    assert states(*some(client_member, 3)) == ["queued"] * 3, "all of them or none"
    assert states(*some(other, 1)) == ["queued"], "there is room for it, and others wait"
    urgent = MessageClass.PASSCODE
    assert states(*some(other, 6, message_class=urgent)) == ["released"] * 6, "what is less urgent takes no room"
    assert states(*some(other, 1, message_class=urgent)) == ["queued"]
    Message.objects.filter(state="released").update(state="sending")
    assert dispatch_all() == 5
    assert states(*some(client_member, 1)) == ["released"]
    waiting = accept_batch(
        account=other.account, actor=None, door="web", sender="Shop", text="Hi", recipients=numbers(3)
    )
    assert {message.state for message in waiting.messages.all()} == {"queued"}, "a batch takes its turn"
    assert states(*some(client_member, 1, message_class=MessageClass.BULK)) == ["queued"]


def test_they_queue_for_a_route_that_is_paused(client_member: Member):
    Route.objects.update(is_paused=True)
    assert states(*some(client_member, 1)) == ["queued"]


@pytest.mark.parametrize(
    ("whose", "terms"),
    [
        ("client", {"throughput": 5}), ("reseller", {"throughput": 5}), ("client", {"daily_limit": 5}),
        ("reseller", {"daily_limit": 5}), ("client", {"dispatch_from": time(9), "dispatch_until": time(17)}),
    ],
)  # fmt: skip
def test_they_queue_while_a_limit_may_keep_them(
    client_member: Member, reseller: Member, whose: str, terms: dict[str, Any]
):
    free = make_client(make_reseller("Another reseller"), "Free client")
    fund(free, "10")
    account = {"client": client_member, "reseller": reseller}[whose].account
    limit = SendingTerms.objects.create(account=account, **terms)
    both = some(client_member, 1) + some(free, 1)
    assert states(*both) == ["queued", "released"]
    limit.delete()
    dispatch_all()
    assert states(*both) == ["released", "released"]


def test_hours_of_an_account_above_are_its_own(client_member: Member, reseller: Member):
    SendingTerms.objects.create(account=reseller.account, dispatch_from=time(9), dispatch_until=time(9, 1))
    assert states(*some(client_member, 1)) == ["released"]


def test_connectors_are_told_after_the_commit(committed_db: CommittedDatabase, client_member: Member):
    route = Route.objects.get()
    with psycopg.connect(committed_db.url, autocommit=True) as listener:
        listener.execute(f"LISTEN {RELEASED_CHANNEL}")

        def told() -> list[str]:
            """What was said since the last look; notices come in the order of their commits."""
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, 'end')", [RELEASED_CHANNEL])
            heard = (notice.payload for notice in listener.notifies(timeout=30))
            return list(takewhile(lambda payload: payload != "end", heard))

        with transaction.atomic():
            accept_singles(some(client_member, 2))
            transaction.set_rollback(True)
        assert told() == []
        accept_singles(some(client_member, 2))
        assert told() == [f"{route.pk}="]
        dispatch_route(route.pk)
        assert told() == []
        dispatch_route(route.pk, is_asked=True)
        assert told() == [str(route.pk)], "whoever asks learns that nobody waits"
        SendingTerms.objects.create(account=client_member.account, throughput=1)
        accept_singles(some(client_member, 2))
        assert told() == []
        dispatch_route(route.pk, is_asked=True)
        dispatch_route(route.pk, is_asked=True)
        assert set(told()) == {f"{route.pk}+"}, "somebody waits for a limit"


def test_looking_for_room_reads_no_more_than_a_stock(committed_db: object, client_member: Member):
    """Also by a plan that was made while there was nothing in any queue."""
    fund(client_member, "1000")
    route = Route.objects.get()
    assert look_for_room(route) == ([route.pk], 0, 0)
    accept_batch(
        account=client_member.account, actor=None, door="web", sender="Shop", text="Hi", recipients=numbers(COUNT)
    )
    for state, most in (("queued", 1), ("released", 0.3 * route.throughput)):
        Message.objects.update(state=state)
        free, scanned, fetched = look_for_room(route)
        assert (free, scanned) == ([], 0)
        assert fetched <= most


def look_for_room(route: Route) -> tuple[list[int], int, int]:
    """The routes that are free, and how many messages were read by scans and by indexes."""
    reads = (
        "SELECT sum(seq_tup_read)::int, sum(idx_tup_fetch)::int FROM pg_stat_xact_user_tables"
        " WHERE relname ~ '^messaging_message_'"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(reads)
        before = cursor.fetchone()
        cursor.execute(
            "SELECT messaging_release_at_once(ARRAY[%s]::bigint[], '{2}', '{1}', 0.3, 'none', '')", [route.pk]
        )
        [free] = cursor.fetchone()
        cursor.execute(reads)
        scanned, fetched = (now - then for now, then in zip(cursor.fetchone(), before, strict=True))
    return free, scanned, fetched
