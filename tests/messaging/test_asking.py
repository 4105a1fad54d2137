"""A carrier that answers query_sm tells what became of messages whose answer was lost (connectors/asking.py)."""

import asyncio

import pytest

from messaging.models import Message, MessagePart, Receipt, SmppConnector
from messaging.services.dispatching import dispatch_all
from smpp.simulator import Simulator
from tests.cast import Member
from tests.messaging.carrier import connect_route, connectors, in_thread, play, work_until
from tests.messaging.test_acceptance import accept

# The simulated carrier sends no receipt to this one, but it says that it is delivered when it is asked.
SILENT = "+61412340005"
LONG = "More than one part, said again and again. " * 6


def lose(*, parts: int, carrier_id: str = "") -> None:
    """What a connector leaves that died after these parts were answered, and before the rest was."""
    Message.objects.update(state="unknown", sent_at=None, claim="1:0:dead", carrier_id=carrier_id)
    MessagePart.objects.filter(part__gt=parts).delete()


async def submit_unsettled() -> None:
    async with connectors(), asyncio.timeout(30):
        while not await in_thread(Message.objects.filter(state="sent").exists):
            await in_thread(dispatch_all)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("supports_query", "parts", "state", "ids"),
    [(True, 2, "delivered", "decimal_to_hex"), (True, 1, "unknown", "as_is"), (False, 2, "unknown", "as_is")],
)
def test_what_the_carrier_has_whole_is_settled_by_its_word(
    committed_db, client_member: Member, tmp_path, supports_query, parts, state, ids
):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        await in_thread(accept, client_member, [SILENT], LONG)
        await submit_unsettled()
        await in_thread(lambda: lose(parts=parts))
        await in_thread(lambda: SmppConnector.objects.update(supports_query=supports_query, receipt_id_format=ids))
        async with connectors():
            wanted = parts if supports_query else 0
            await work_until(lambda: Receipt.objects.exclude(applied_at=None).count() == wanted)
            await work_until(lambda: Message.objects.filter(state=state).exists())

    play(scenario, tmp_path, receipt_delay=0.1, id_format=ids)

    message = Message.objects.get()
    assert (message.state, message.sent_at is not None) == (state, state == "delivered")
    assert Receipt.objects.count() == (parts if supports_query else 0)
    assert all(one.message_id == message.pk and one.raw == "The answer to query_sm." for one in Receipt.objects.all())


def test_a_message_that_the_carrier_does_not_know_stays_unknown(committed_db, client_member: Member, tmp_path):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        await in_thread(lambda: SmppConnector.objects.update(supports_query=True))
        await in_thread(accept, client_member, [SILENT])
        await in_thread(lambda: lose(parts=0, carrier_id="nobody-knows"))
        asked: list[str] = []
        answer = carrier._server.on_query

        async def note(session, query):
            asked.append(query.carrier_id)
            return await answer(session, query)

        carrier._server.on_query = note
        async with connectors():
            await work_until(lambda: bool(asked))
        assert asked == ["nobody-knows"]

    play(scenario, tmp_path)
    assert Message.objects.get().state == "unknown"
    assert not Receipt.objects.exists()
