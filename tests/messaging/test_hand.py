"""When a bind looks for messages again (messaging/connectors/sending.py)."""

import asyncio
from uuid import UUID

import pytest

from messaging.connectors import statements
from messaging.connectors.configuration import BindConfig
from messaging.connectors.sending import Hand
from messaging.connectors.statements import ClaimedMessage, Record
from smpp.client import ClientConfig
from tests.loops import run_scenario


@pytest.fixture(autouse=True)
def _without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async def record(*_: object) -> None: ...

    monkeypatch.setattr(statements, "record", record)


@pytest.mark.parametrize(
    ("claimed", "becomes", "looks_again"),
    [
        (4, "sent", True),  # there was no room for more
        (1, "sent", False),  # there was room, and the stock was empty
        (1, "released", True),  # it is not empty any more
    ],
)
def test_a_record_has_the_stock_looked_at_only_where_that_may_bring_something(claimed, becomes, looks_again):
    async def scenario() -> bool:
        line = ClientConfig(host="127.0.0.1", port=1, system_id="relay", password="", window=4)
        hand = Hand(BindConfig(0, 1, "test", line), "1:0:me", on_ended=lambda: None, on_refused=lambda: None)
        hand.pacer.lease(1_000)
        messages = [ClaimedMessage(2, 0, str(UUID(int=n)), "+61412345678", "Shop", "Hi", 1) for n in range(claimed)]
        hand.take_on(messages)
        assert hand.room() == (4 - claimed)
        recorder = asyncio.create_task(hand.record_all())
        hand._finish(Record(messages[0].id, becomes))
        while len(hand.claimed) == claimed:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        recorder.cancel()
        return hand.wake.is_set()

    assert run_scenario(scenario()) is looks_again
