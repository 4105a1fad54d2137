"""The connector process against the simulated carrier over a real socket (messaging/connectors)."""

from decimal import Decimal

import pytest

from billing.models import LedgerAccount
from billing.selectors import balance_of
from messaging.connectors import bind
from messaging.models import ConnectorStatus, Message, MessagePart, Receipt
from smpp.simulator import Simulator, read_journal
from tests.cast import Member
from tests.messaging.carrier import OPEN, connect_route, connectors, in_thread, play, work_until
from tests.messaging.test_acceptance import accept

D = Decimal
SAID = "The connector broke: ValueError('keepalive_timeout cannot be set')"
pytestmark = pytest.mark.usefixtures("committed_db")


def none_open_but(*endings: str) -> bool:
    return (
        not any(
            number[-4:] not in endings
            for number in Message.objects.filter(state__in=OPEN).values_list("recipient", flat=True)
        )
        and not Message.objects.exclude(state__in=OPEN).filter(settled_at=None).exists()
    )


def test_every_behaviour_of_the_carrier_ends_in_its_state(client_member: Member, reseller: Member, tmp_path):
    endings = ["0001", "0002", "0003", "0005", "0006", "0007", "0008", "1234"]

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        await in_thread(accept, client_member, [f"+6141234{ending}" for ending in endings])
        async with connectors():
            await work_until(lambda: none_open_but("0005") and not Receipt.objects.filter(applied_at=None).exists())
            await work_until(ConnectorStatus.objects.exists)

    play(scenario, tmp_path)

    states = {m.recipient[-4:]: m for m in Message.objects.all()}
    assert {ending: states[ending].state for ending in endings} == {
        "0001": "rejected", "0002": "undelivered", "0003": "expired", "0005": "sent", "0006": "delivered",
        "0007": "delivered", "0008": "delivered", "1234": "delivered",
    }  # fmt: skip
    assert (states["0001"].error_code, states["0001"].reason) == (
        "ESME_RSUBMITFAIL",
        "The carrier refused the message.",
    )
    assert (states["0002"].error_code, states["0003"].error_code) == ("001", "002")
    assert states["0001"].sent_at is None
    assert states["0006"].attempts == 3
    assert all(m.sent_at and m.carrier_id for ending, m in states.items() if ending != "0001")
    # 8 × 0.07 held; 7 captured, 1 released; the reseller earns 0.02 of each, the platform 0.05.
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (D("9.51"), D(0))
    assert balance_of(reseller.account).available == D("100.14")
    assert LedgerAccount.objects.get(kind="revenue", currency="AUD").balance == D("0.35")
    journal = read_journal(tmp_path)
    assert journal.duplicates == []
    assert len(journal.accepted) == 7
    status = ConnectorStatus.objects.get()
    assert (status.bind, status.state) == (0, "bound")


def test_long_and_emoji_texts_arrive_whole_and_are_delivered_when_every_part_is(client_member: Member, tmp_path):
    text = "The quick brown fox — with 🦊 and more. " * 6

    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        await in_thread(accept, client_member, ["+61412341111", "+61412340002", "+61412340001"], text)
        async with connectors():
            await work_until(lambda: none_open_but())

    play(scenario, tmp_path)

    messages = {m.recipient[-4:]: m for m in Message.objects.all()}
    assert {key: m.state for key, m in messages.items()} == {
        "1111": "delivered", "0002": "undelivered", "0001": "rejected",
    }  # fmt: skip
    parts = messages["1111"].parts
    assert parts > 1
    assert list(MessagePart.objects.filter(message=messages["1111"]).order_by("part").values_list("part", "state")) == [
        (number, "delivered") for number in range(1, parts + 1)
    ]
    sent = [entry for entry in read_journal(tmp_path).accepted if entry.destination.endswith("1111")]
    assert "".join(entry.text for entry in sent) == text
    assert balance_of(client_member.account).held == D(0)


def test_a_connector_that_breaks_says_so_beside_its_bind_and_goes_on_when_it_can(
    client_member: Member, tmp_path, monkeypatch
):
    open_session, breaks = bind.open_session, True

    async def broken_at_first(*args):
        if breaks:
            raise ValueError("keepalive_timeout cannot be set")
        return await open_session(*args)

    async def scenario(carrier: Simulator) -> None:
        nonlocal breaks
        await in_thread(connect_route, carrier.port)
        await in_thread(accept, client_member, ["+61412345678"])
        async with connectors():
            await work_until(lambda: ConnectorStatus.objects.filter(state="down", detail__contains=SAID).exists())
            breaks = False
            await work_until(lambda: Message.objects.get().state == "delivered")

    monkeypatch.setattr(bind, "open_session", broken_at_first)
    play(scenario, tmp_path)
