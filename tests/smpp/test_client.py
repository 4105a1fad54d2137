"""The client session against servers over real sockets."""

import asyncio
import socket
import struct
import time

import pytest

from smpp import pdu as wire
from smpp.client import (
    AnswerLost,
    BindRefused,
    ClientConfig,
    ClientSession,
    ConnectionFailed,
    DeliverRefused,
    NotSent,
    PduError,
    Submit,
)
from smpp.pdu import Deliver, Status, SubmitAnswer
from smpp.server import SmppServer
from smpp.text import encode_parts
from tests.loops import run_scenario

PART = encode_parts("Hello", 1)[0]
HELLO = Submit("Shop", "+61400009999", PART)


async def accept_all(_request):
    return Status.ESME_ROK


async def answer_at_once(_session, submit):
    return SubmitAnswer(0, f"id-{submit.destination}")


async def never_answer(_session, _submit):
    await asyncio.Event().wait()


def server(on_submit=answer_at_once, authenticate=accept_all, **options) -> SmppServer:
    return SmppServer("127.0.0.1", 0, authenticate=authenticate, on_submit=on_submit, **options)


class Inbox:
    """Takes what is delivered; `problem` is raised instead once set, `gate` holds the taking back."""

    def __init__(self) -> None:
        self.batches: list[list[Deliver]] = []
        self.closed: list[str] = []
        self.problem: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, delivers: list[Deliver]) -> None:
        await self.gate.wait()
        if self.problem is not None:
            raise self.problem
        self.batches.append(delivers)


async def connect(port: int, inbox: Inbox | None = None, **options) -> ClientSession:
    inbox = inbox or Inbox()
    config = ClientConfig("127.0.0.1", port, "relay", "secret", **options)
    return await ClientSession.connect(config, inbox.take, inbox.closed.append)


async def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


class RawCarrier:
    """A carrier written byte by byte: it answers the bind and leaves everything else to the test."""

    async def __aenter__(self) -> "RawCarrier":
        self.received = bytearray()
        self.connected = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer
        head = await reader.readexactly(16)
        length, command, _, sequence = struct.unpack(">4I", head)
        await reader.readexactly(length - 16)
        writer.write(wire.encode_bind_answer(command, sequence, 0, "raw"))
        self.connected.set()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.writer.close()


def test_a_submit_is_answered_with_the_carriers_id():
    async def scenario():
        async with server() as carrier:
            session = await connect(carrier.port)
            assert await session.submit(HELLO) == SubmitAnswer(0, "id-+61400009999")
            await session.close()

    run_scenario(scenario())


def test_the_carrier_receives_every_field_of_a_submit():
    seen = []

    async def remember(_session, submit):
        seen.append(submit)
        return SubmitAnswer(0, "1")

    async def scenario():
        sent = Submit("Shop", "+61400009999", encode_parts("Ж" * 71, 9)[1], 2, "000001000000000R", 3)
        async with server(remember) as carrier:
            session = await connect(carrier.port)
            await session.submit(sent)
            await session.close()
        assert seen == [sent]

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("source", "addresses"),
    [
        ("Shop", b"\x05\x00Shop\0\x01\x0161400009999\0"),
        ("+61400001111", b"\x01\x0161400001111\0\x01\x0161400009999\0"),
        ("61400001111", b"\x01\x0161400001111\0\x01\x0161400009999\0"),
        ("12345", b"\x03\x0012345\0\x01\x0161400009999\0"),
    ],
)
def test_ton_and_npi_follow_the_look_of_the_sender(source, addresses):
    async def scenario():
        async with RawCarrier() as carrier:
            session = await connect(carrier.port)
            session.submit(Submit(source, "+61400009999", PART)).add_done_callback(lambda done: done.exception())
            await carrier.connected.wait()
            assert addresses in await carrier.reader.read(4096)
            session._shut("done")

    run_scenario(scenario())


def test_a_carriers_own_ton_and_npi_overrule():
    async def scenario():
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, source_ton=0, source_npi=8, destination_ton=2)
            session.submit(HELLO).add_done_callback(lambda done: done.exception())
            await carrier.connected.wait()
            assert b"\x00\x08Shop\0\x02\x0161400009999\0" in await carrier.reader.read(4096)
            session._shut("done")

    run_scenario(scenario())


def test_a_wrong_password_is_a_refused_bind_with_its_status_and_never_a_time_out():
    async def refuse(_request):
        return Status.ESME_RINVPASWD

    async def scenario():
        inbox = Inbox()
        async with server(authenticate=refuse) as carrier:
            with pytest.raises(BindRefused, match="ESME_RINVPASWD") as refusal:
                await connect(carrier.port, inbox)
        assert refusal.value.status == 0x0E
        assert inbox.closed == []

    run_scenario(scenario())


def test_an_unreachable_or_silent_host_is_a_failed_connection():
    async def scenario():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionFailed, match="cannot be reached"):
                await connect(unused.getsockname()[1])
        connections = []
        silent = await asyncio.start_server(lambda *streams: connections.append(streams), "127.0.0.1", 0)
        with pytest.raises(ConnectionFailed, match="no answer within"):
            await connect(silent.sockets[0].getsockname()[1], response_timeout_seconds=0.2)
        hasty = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        with pytest.raises(ConnectionFailed, match=r"closed the connection|broke"):
            await connect(hasty.sockets[0].getsockname()[1])
        for listener in (silent, hasty):
            listener.close()
        for _, writer in connections:
            writer.close()

    run_scenario(scenario())


@pytest.mark.parametrize("options", [{"bind": "both"}, {"window": 0}])
def test_settings_that_cannot_work_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClientConfig("127.0.0.1", 1, "relay", "secret", **options)


def test_the_window_is_never_exceeded():
    at_work, most = 0, 0

    async def slowly(_session, _submit):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.005)
        at_work -= 1
        return SubmitAnswer(0, "x")

    async def scenario():
        async with server(slowly) as carrier:
            session = await connect(carrier.port, window=7)
            futures = []
            for _ in range(100):
                await session.wait_for_slot()
                futures.append(session.submit(HELLO))
            assert all(answer.status == 0 for answer in await asyncio.gather(*futures))
            await session.close()
        assert most == 7

    run_scenario(scenario())


def test_a_submit_beyond_the_window_is_not_sent():
    async def scenario():
        async with server(never_answer) as carrier:
            session = await connect(carrier.port, window=2)
            open_futures = [session.submit(HELLO) for _ in range(2)]
            assert session.free_slots == 0
            with pytest.raises(NotSent, match="all 2 slots"):
                await session.submit(HELLO)
            assert not any(future.done() for future in open_futures)
            await session.close(0)
            assert {type(future.exception()) for future in open_futures} == {AnswerLost}

    run_scenario(scenario())


def test_what_the_carrier_may_have_read_is_answer_lost_and_what_was_never_written_is_not_sent():
    async def scenario():
        inbox = Inbox()
        async with server(never_answer) as carrier:
            session = await connect(carrier.port, inbox)
            written = session.submit(HELLO)
            await until(lambda: carrier.sessions[0]._in_work == 1)
            unwritten = session.submit(HELLO)
            session._transport.abort()  # before the loop's next turn writes the second one
            await until(lambda: written.done() and unwritten.done())
            assert isinstance(written.exception(), AnswerLost)
            assert isinstance(unwritten.exception(), NotSent)
            assert len(inbox.closed) == 1
            with pytest.raises(NotSent):
                await session.submit(HELLO)
            with pytest.raises(NotSent):
                await session.wait_for_slot()

    run_scenario(scenario())


def test_submits_held_back_from_a_carrier_that_does_not_read_are_not_sent():
    async def scenario():
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, window=200_000)
            await carrier.connected.wait()
            carrier.writer.transport.pause_reading()
            session._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            futures = []
            while session._writable:  # until the system's buffers are full
                futures.extend(session.submit(HELLO) for _ in range(500))
                await asyncio.sleep(0)
            held = [session.submit(HELLO) for _ in range(10)]
            carrier.writer.transport.abort()
            assert {type(error) for error in await asyncio.gather(*held, return_exceptions=True)} == {NotSent}
            written = await asyncio.gather(*futures, return_exceptions=True)
            assert type(written[0]) is AnswerLost
            assert {type(error) for error in written} <= {AnswerLost, NotSent}

    run_scenario(scenario())


def test_an_answer_that_never_comes_keeps_its_slot_and_a_whole_silent_window_ends_the_session():
    async def scenario():
        inbox = Inbox()
        async with server(never_answer) as carrier:
            session = await connect(carrier.port, inbox, window=2, response_timeout_seconds=0.3)
            with pytest.raises(AnswerLost, match=r"no answer within 0\.3 s"):
                await session.submit(HELLO)
            assert session.free_slots == 1
            assert not session.closed
            with pytest.raises(AnswerLost):
                await session.submit(HELLO)
            await until(lambda: inbox.closed)
            assert "whole window of 2" in inbox.closed[0]

    run_scenario(scenario())


def test_a_late_answer_frees_its_slot():
    release = asyncio.Event()

    async def late(_session, _submit):
        await release.wait()
        return SubmitAnswer(0, "late")

    async def scenario():
        async with server(late) as carrier:
            session = await connect(carrier.port, window=2, response_timeout_seconds=0.2)
            with pytest.raises(AnswerLost):
                await session.submit(HELLO)
            release.set()
            await until(lambda: session.free_slots == 2)
            assert (await session.submit(HELLO)).carrier_id == "late"
            await session.close()

    run_scenario(scenario())


def test_a_field_that_does_not_fit_is_named_and_takes_no_slot():
    async def scenario():
        async with server() as carrier:
            session = await connect(carrier.port, window=1)
            with pytest.raises(PduError, match="The sender 'Supermarkets' has 12 characters; at most 11 fit"):
                await session.submit(Submit("Supermarkets", "+61400009999", PART))
            with pytest.raises(PduError, match="printable ASCII"):
                await session.submit(Submit("Käse", "+61400009999", PART))
            with pytest.raises(PduError, match="The recipient is empty"):
                await session.submit(Submit("Shop", "", PART))
            assert session.free_slots == 1
            await session.close()

    run_scenario(scenario())


def test_delivers_are_acknowledged_only_after_they_were_taken():
    async def scenario():
        inbox = Inbox()
        inbox.gate.clear()
        async with server() as carrier:
            session = await connect(carrier.port, inbox)
            answers = [carrier.sessions[0].deliver(Deliver("+614", "Shop", b"%d" % n)) for n in range(50)]
            await asyncio.sleep(0.05)
            assert not any(answer.done() for answer in answers)
            inbox.gate.set()
            assert set(await asyncio.gather(*answers)) == {0}
            assert [deliver.payload for batch in inbox.batches for deliver in batch] == [b"%d" % n for n in range(50)]
            assert len(inbox.batches) < 50
            await session.close()

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("problem", "status"),
    [(RuntimeError("no database"), Status.ESME_RX_T_APPN), (DeliverRefused(0x65), Status.ESME_RX_P_APPN)],
)
def test_what_could_not_be_taken_is_answered_with_an_error_and_the_session_lives(problem, status):
    async def scenario():
        inbox = Inbox()
        inbox.problem = problem
        async with server() as carrier:
            session = await connect(carrier.port, inbox)
            assert await carrier.sessions[0].deliver(Deliver("+614", "Shop", b"x")) == status
            inbox.problem = None
            assert await carrier.sessions[0].deliver(Deliver("+614", "Shop", b"x")) == 0
            await session.close()

    run_scenario(scenario())


def test_idle_sides_keep_each_other_alive_and_a_dead_carrier_is_noticed():
    async def scenario():
        inbox = Inbox()
        async with server(enquire_link_seconds=0.1, response_timeout_seconds=0.2) as carrier:
            session = await connect(carrier.port, inbox, enquire_link_seconds=0.1, response_timeout_seconds=0.2)
            await asyncio.sleep(0.6)
            assert (await session.submit(HELLO)).status == 0
            await session.close()
        async with RawCarrier() as carrier:
            await connect(carrier.port, inbox, enquire_link_seconds=0.1, response_timeout_seconds=0.2)
            await until(lambda: len(inbox.closed) == 2)
        assert inbox.closed[0] == "unbound by this side"
        assert "no sign of life" in inbox.closed[1]

    run_scenario(scenario())


def test_closing_waits_for_open_answers_and_unbinds():
    async def slowly(_session, _submit):
        await asyncio.sleep(0.1)
        return SubmitAnswer(0, "done")

    async def scenario():
        inbox = Inbox()
        async with server(slowly) as carrier:
            session = await connect(carrier.port, inbox)
            future = session.submit(HELLO)
            await session.close(5)
            assert future.result() == SubmitAnswer(0, "done")
            await until(lambda: not carrier.sessions)
        assert inbox.closed == ["unbound by this side"]

    run_scenario(scenario())


def test_a_carrier_that_unbinds_ends_the_session_and_connecting_again_works():
    async def scenario():
        inbox = Inbox()
        async with server() as carrier:
            await connect(carrier.port, inbox)
            await carrier.sessions[0].close()
            await until(lambda: inbox.closed)
            assert inbox.closed == ["the peer unbound"]
            again = await connect(carrier.port, inbox)
            assert (await again.submit(HELLO)).status == 0
            await again.close()

    run_scenario(scenario())


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFFFFFF])
def test_a_hostile_length_ends_the_session_with_a_clear_reason(length):
    async def scenario():
        inbox = Inbox()
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, inbox)
            future = session.submit(HELLO)
            await asyncio.sleep(0.02)
            carrier.writer.write(struct.pack(">4I", length, wire.DELIVER_SM, 0, 1))
            await until(lambda: inbox.closed)
            assert isinstance(future.exception(), AnswerLost)
            assert inbox.closed == [f"the peer sent a PDU of {length} octets; 16 to 65536 are allowed"]

    run_scenario(scenario())


def test_pdus_that_arrive_octet_by_octet_or_broken_are_survived():
    async def scenario():
        inbox = Inbox()
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, inbox)
            for octet in wire.encode_deliver(Deliver("+614", "Shop", b"slow"), 5):
                carrier.writer.write(bytes((octet,)))
                await asyncio.sleep(0.001)
            await until(lambda: inbox.batches)
            carrier.writer.write(wire.encode(wire.DELIVER_SM, 6, body=b"broken"))
            carrier.writer.write(wire.encode(0x999, 7))
            carrier.writer.write(wire.encode(wire.SUBMIT_SM | wire.RESPONSE, 4711, body=b"nobody asked\0"))
            answers = await carrier.reader.readexactly(17 + 16 + 16)
            assert wire.HEADER.unpack_from(answers, 0) == (17, 0x80000005, 0, 5)
            assert wire.HEADER.unpack_from(answers, 17) == (16, 0x80000005, Status.ESME_RINVCMDLEN, 6)
            assert wire.HEADER.unpack_from(answers, 33) == (16, wire.GENERIC_NACK, Status.ESME_RINVCMDID, 7)
            assert not session.closed
            session._shut("done")

    run_scenario(scenario())


def test_a_generic_nack_answers_the_submit_it_names():
    async def scenario():
        async with RawCarrier() as carrier:
            session = await connect(carrier.port)
            future = session.submit(HELLO)
            await carrier.connected.wait()
            sequence = wire.HEADER.unpack(await carrier.reader.readexactly(16))[3]
            carrier.writer.write(wire.encode(wire.GENERIC_NACK, sequence, Status.ESME_RMSGQFUL))
            assert await future == SubmitAnswer(Status.ESME_RMSGQFUL)
            session._shut("done")

    run_scenario(scenario())
