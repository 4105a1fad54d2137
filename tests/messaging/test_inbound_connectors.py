"""Inbound messages from the carrier's socket to their conversations, also while things die (messaging/connectors)."""

import asyncio
import signal
from collections.abc import Callable

import pytest
from django.core.cache import cache

from messaging.connectors import bind
from messaging.models import Conversation, InboundMessage, InboundPart, Message, Receipt
from messaging.services.inbound import receive_waiting
from messaging.services.inbound_actions import do_waiting
from messaging.wakeups import INBOUND, _key
from smpp.simulator import Simulator, read_journal
from tests.cast import Member, fund
from tests.keywords.scene import NUMBER, hold_number, set_number
from tests.messaging.carrier import connect_route, connectors, do_work, in_thread, play
from tests.messaging.inbound_scene import PHONE
from tests.messaging.test_connector_faults import break_connections, start
from virtual_numbers.models import VirtualNumber

# Numbers are rows here, without their charges.
pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.forges_books]

LONG = "A long text with ünïcode and 🦊, again and again. " * 8


@pytest.fixture
def number(committed_db, client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


def texts(count: int) -> dict[str, str]:
    """A text of each of so many phones, whose endings mean nothing to the carrier; every fourth needs several parts."""
    return {f"+6142{index + 21_000:07d}": f"{index}: {LONG if index % 4 == 0 else 'hello'}" for index in range(count)}


def round_of_work() -> None:
    receive_waiting(10_000)
    do_waiting(10_000)
    do_work()


async def work_until(done: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await in_thread(done):
            await in_thread(round_of_work)
            await asyncio.sleep(0.05)


def untaken(carrier: Simulator) -> int:
    """How many parts the carrier still has to bring."""
    return carrier._texting._open.total()


def has_all(wanted: dict[str, str]) -> Callable[[], bool]:
    return lambda: (
        InboundMessage.objects.values("sender").distinct().count() == len(wanted)
        and not InboundPart.objects.filter(handled_at=None).exists()
    )


def check(wanted: dict[str, str]) -> None:
    """Every text is one message."""
    found = list(InboundMessage.objects.values_list("sender", "text"))
    assert len(found) == len(wanted)
    assert dict(found) == wanted
    assert set(Conversation.objects.values_list("unread", flat=True)) == {1}


def test_texts_and_receipts_come_on_one_session(client_member: Member, number: VirtualNumber, tmp_path):
    set_number(number, first_reply="Hello to you")
    wanted = texts(8) | {"+61412345000": "€[]{}~^|\\ @ grüße", "+61412345001": "日本語"}

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        async with connectors():
            for phone, text in wanted.items():
                carrier.text(phone, NUMBER, text)
            await work_until(lambda: Message.objects.filter(state="delivered").count() == len(wanted))

    play(scenario, tmp_path)

    check(wanted)
    assert Receipt.objects.count() == len(wanted)
    assert {entry.text for entry in read_journal(tmp_path).accepted} == {"Hello to you"}


def test_a_stored_text_wakes_a_worker(number: VirtualNumber, tmp_path):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        async with connectors():
            carrier.text(PHONE, NUMBER, "Hello")
            async with asyncio.timeout(20):
                while not await in_thread(cache.get, _key(INBOUND)):
                    await asyncio.sleep(0.05)
        assert await in_thread(InboundPart.objects.count) == 1

    play(scenario, tmp_path)


def test_who_texts_the_same_twice_on_one_session_has_said_it_twice(number: VirtualNumber, tmp_path):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        async with connectors():
            carrier.text(PHONE, NUMBER, "ok")
            carrier.text(PHONE, NUMBER, "ok")
            await work_until(lambda: InboundMessage.objects.count() == 2)

    play(scenario, tmp_path)
    assert Conversation.objects.get().unread == 2


def test_what_is_stored_and_not_acknowledged_comes_again_and_is_one_message(number, tmp_path, monkeypatch):
    """The connector's answer gets lost after every store, twice; the carrier brings everything again."""
    store, failures = bind.statements.store_parts, []

    async def store_and_fail(*arguments) -> None:
        await store(*arguments)
        if len(failures) < 2:
            failures.append(1)
            raise bind.DatabaseAway("the answer of the database got lost")

    monkeypatch.setattr(bind.statements, "store_parts", store_and_fail)
    wanted = texts(8)

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        async with connectors():
            for phone, text in wanted.items():
                carrier.text(phone, NUMBER, text)
            await work_until(lambda: not untaken(carrier) and has_all(wanted)())

    play(scenario, tmp_path, retry_seconds=0.2)

    check(wanted)
    assert InboundPart.objects.count() > InboundPart.objects.values("fingerprint").distinct().count()


def test_a_killed_connector_loses_and_doubles_no_text(committed_db, number: VirtualNumber, tmp_path):
    wanted = texts(300)

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        process = start(committed_db, tmp_path / "connectors.log")
        try:
            async with asyncio.timeout(60):
                while not carrier.sessions:
                    await asyncio.sleep(0.05)
            phones = iter(wanted.items())
            for kill_after in (40, 120):
                for _ in range(120):
                    phone, text = next(phones)
                    carrier.text(phone, NUMBER, text)
                await work_until(lambda: InboundPart.objects.count() >= kill_after)  # noqa: B023
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = start(committed_db, tmp_path / "connectors.log")
            for phone, text in phones:
                carrier.text(phone, NUMBER, text)
            await work_until(lambda: not untaken(carrier) and has_all(wanted)(), 90)
            process.send_signal(signal.SIGTERM)
            assert await in_thread(process.wait, 30) == 0
        finally:
            process.kill()

    play(scenario, tmp_path, retry_seconds=0.2)
    check(wanted)


def test_broken_database_connections_lose_and_double_no_text(committed_db, client_member, number, tmp_path):
    fund(client_member, "100")
    set_number(number, first_reply="Hello to you")
    wanted = texts(200)
    broken: list[int] = []

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        async with connectors():
            for index, (phone, text) in enumerate(wanted.items()):
                carrier.text(phone, NUMBER, text)
                if index % 60 == 30:
                    await work_until(lambda: InboundPart.objects.exists())
                    broken.append(await in_thread(break_connections, committed_db))
            await work_until(lambda: not untaken(carrier) and has_all(wanted)(), 60)
            await work_until(lambda: Message.objects.count() == len(wanted))

    play(scenario, tmp_path, retry_seconds=0.2)

    assert sum(broken) >= 3
    check(wanted)
    assert Message.objects.values("recipient").distinct().count() == Message.objects.count() == len(wanted)
