"""The `aiosmpplib` client against our server side."""

import asyncio
import logging
import time

import pytest
from aiosmpplib import ESME, BindMode, DeliverSm, PhoneNumber, SubmitSm, SubmitSmResp
from aiosmpplib.hook import AbstractHook
from aiosmpplib.retrytimer import SimpleExponentialBackoff
from aiosmpplib.state import SmppCommandStatus

from smpp.pdu import HEADER, Status
from tests.interop.scene import EMOJI, LONG, LONG_GSM, PASSWORD, SHORT, BareServer, Carrier
from tests.loops import run_scenario

pytestmark = pytest.mark.interop


class Peer(AbstractHook):
    """A client that keeps what it hears; ``async with`` binds and unbinds it."""

    def __init__(self, port: int, mode: BindMode = BindMode.TRANSCEIVER, password: str = PASSWORD) -> None:
        self.answers: list[SubmitSmResp] = []
        self.delivered: list[DeliverSm] = []
        self.heard: list[str] = []
        self.statuses: list[int] = []
        self.unreadable = 0
        self.esme = ESME(
            "127.0.0.1", port, "relay", password, bind_mode=mode, hook=self, log_level=logging.CRITICAL,
            enquire_link_interval=5.0, socket_timeout=5.0, retry_timer=SimpleExponentialBackoff(1, 1),
        )  # fmt: skip

    async def sending(self, smpp_message, pdu, client_id) -> None:
        self.heard.append(f"> {smpp_message.smpp_command.name}")

    async def received(self, smpp_message, pdu, client_id) -> None:
        self.statuses.append(HEADER.unpack_from(pdu)[2])
        if smpp_message is None:
            self.unreadable += 1
            return
        self.heard.append(f"< {smpp_message.smpp_command.name}")
        if isinstance(smpp_message, DeliverSm):
            self.delivered.append(smpp_message)
        elif isinstance(smpp_message, SubmitSmResp):
            self.answers.append(smpp_message)

    async def send_error(self, smpp_message, error, client_id) -> None:
        raise error

    async def __aenter__(self) -> "Peer":
        self._running = asyncio.create_task(self.esme.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.esme.stop()
        await asyncio.wait_for(self._running, 10)

    async def send(self, text: str, ending: str = "9999", **more) -> None:
        message = SubmitSm(
            short_message=text, source=PhoneNumber("Shop"), destination=PhoneNumber(f"+6140000{ending}"),
            log_id=ending, **more,
        )  # fmt: skip
        await self.esme.broker.enqueue(message)

    async def until(self, condition, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.heard[-10:], self.statuses[-10:])
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", list(BindMode))
def test_it_binds_and_unbinds_in_every_way(mode):
    async def scenario(carrier: BareServer) -> None:
        async with Peer(carrier.port, mode) as peer:
            await peer.until(lambda: peer.esme.session_state == mode.session_state)
            [session] = carrier.server.sessions
            assert session.bind == mode.name.lower()
            await peer.esme.stop()
            await peer.until(lambda: not carrier.server.sessions)
        assert session.close_reason == "the peer unbound"

    with BareServer() as carrier:
        run_scenario(scenario(carrier))


def test_a_wrong_password_is_refused_with_its_status():
    async def scenario(carrier: BareServer) -> None:
        async with Peer(carrier.port, password="wrong") as peer:
            await peer.until(lambda: peer.statuses)
            assert peer.statuses[0] == Status.ESME_RINVPASWD  # without a body, which this client calls unreadable
            assert not carrier.server.sessions

    with BareServer() as carrier:
        run_scenario(scenario(carrier))


def test_texts_of_every_kind_arrive_receipts_come_back_and_the_link_is_kept_alive(tmp_path):
    texts = {"1111": SHORT, "2222": EMOJI, "3333": LONG, "4444": LONG_GSM}

    async def scenario(carrier: Carrier) -> None:
        async with Peer(carrier.port) as peer:
            await peer.send(SHORT, "1111")
            await peer.send(EMOJI, "2222")
            await peer.send(LONG, "3333")  # as a message_payload
            await peer.send(LONG_GSM, "4444", esm_class=0x40, auto_message_payload=False)  # in parts with a header
            await peer.until(lambda: len(peer.delivered) >= 4)
            receipts = [one.parse_receipt() for one in peer.delivered]
            assert {one["stat"] for one in receipts} == {"DELIVRD"}
            assert {one.log_id for one in peer.delivered} == set(texts)
            carrier.text("+61491570156", "+61480000001", EMOJI)
            await peer.until(lambda: not peer.delivered[-1].is_receipt())
            assert peer.delivered[-1].short_message == EMOJI
            await peer.until(lambda: peer.heard.count("> ENQUIRE_LINK_RESP") >= 2)  # asked by the carrier
            peer.esme.enquire_link_interval = 0.05  # now it is the quicker one
            await peer.until(lambda: peer.heard.count("< ENQUIRE_LINK_RESP") >= 2)
            await peer.until(lambda: carrier.outstanding == 0)

    with Carrier(tmp_path) as carrier:
        carrier.server._server.enquire_link_seconds = 0.2
        run_scenario(scenario(carrier))
        assert {ending: carrier.text_to(ending) for ending in texts} == texts


def test_refusals_and_throttling_carry_their_status(tmp_path):
    async def scenario(carrier: Carrier) -> None:
        async with Peer(carrier.port) as peer:
            for ending in ("0001", "0006", "0006", "0006"):
                await peer.send("Hi", ending)
            await peer.until(lambda: len(peer.answers) == 4)
            assert [one.command_status for one in peer.answers] == [
                SmppCommandStatus.ESME_RSUBMITFAIL, SmppCommandStatus.ESME_RTHROTTLED,
                SmppCommandStatus.ESME_RTHROTTLED, SmppCommandStatus.ESME_ROK,
            ]  # fmt: skip

    with Carrier(tmp_path) as carrier:
        run_scenario(scenario(carrier))


def test_a_thousand_submits_in_one_go_are_answered_each_with_an_id_of_its_own(tmp_path):
    async def scenario(carrier: Carrier) -> None:
        async with Peer(carrier.port) as peer:
            for number in range(1000):
                await peer.send("bulk", f"{number + 1000}", registered_delivery=0)
            await peer.until(lambda: len(peer.answers) == 1000, 30)
            assert {one.message_id for one in peer.answers} == {one.id for one in carrier.accepted}
            assert {one.command_status for one in peer.answers} == {SmppCommandStatus.ESME_ROK}
            assert peer.unreadable == 0

    with Carrier(tmp_path) as carrier:
        run_scenario(scenario(carrier))
