"""Hostile peers against the server and against the client: whatever comes, the process stays up, memory stays bounded,
and a well-behaved session that exchanges messages throughout notices nothing."""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpp import client as client_module
from smpp import link
from smpp import pdu as wire
from smpp.client import AnswerLost, BindRefused, ClientConfig, ClientSession, ConnectionFailed, NotSent, PduError
from smpp.pdu import Deliver, Status
from smpp.query import QueryAnswer, encode_query, encode_query_answer
from smpp.receipts import ReceiptStatus
from smpp.server import MAX_BAD_PDUS, MAX_OCTETS_IN_WORK, SmppServer
from tests.loops import run_scenario
from tests.smpp.test_client import HELLO, Inbox, RawCarrier, connect, never_answer, server, until
from tests.smpp.test_server import RawClient, encoded_submit

COMMANDS = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0B, 0x15, 0x21, 0x102, 0x103, 0x1234, 0x80000000, 0x80000001, 0x80000003,
    0x80000004, 0x80000005, 0x80000006, 0x80000009, 0x80000015, 0xFFFFFFFF,
]  # fmt: skip
# Seconds for one answer to the honest session: all peers and the server share this process with the tests beside it.
PATIENCE = 25
BIND = wire.encode_bind(wire.BIND_TRANSCEIVER, 1, "raw", "secret", "")
DELIVER = wire.encode_deliver(Deliver("+61400000000", "Shop", b"hello", tlvs={0x1E: b"id\0", 0x427: b"\x02"}), 7)
HONEST = [
    BIND,
    encoded_submit(2),
    encode_query("id-1", wire.Address(5, 0, "Shop"), 3),
    DELIVER,
    wire.encode(wire.ENQUIRE_LINK, 4),
    wire.encode(wire.UNBIND, 5),
    wire.encode(wire.GENERIC_NACK, 6, 3),
    wire.encode_message_id(wire.SUBMIT_SM, 1, 0, "id"),
    encode_query_answer(QueryAnswer(0, "id", ReceiptStatus.EXPIRED), 1),
]


def _with_length(pdu: bytes, length: int) -> bytes:
    return struct.pack(">I", length) + pdu[4:]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A PDU with one thing wrong: a lie about its length, an octet changed, an end cut off, or a bad optional part."""
    pdu = draw(st.sampled_from(HONEST))
    how = draw(st.sampled_from(["length", "octet", "cut", "tail", "command", "tlv"]))
    if how == "length":
        return _with_length(pdu, draw(st.sampled_from([0, 1, 15, 16, 17, len(pdu) + 1, 600, 70_000, 2**31, 2**32 - 1])))
    if how == "octet":
        at = draw(st.integers(4, len(pdu) - 1))
        return pdu[:at] + bytes((draw(st.integers(0, 255)),)) + pdu[at + 1 :]
    if how == "cut":
        short = pdu[: draw(st.integers(16, len(pdu)))]
        return _with_length(short, len(short))
    if how == "command":
        return pdu[:4] + struct.pack(">I", draw(st.sampled_from(COMMANDS))) + pdu[8:]
    tail = draw(st.binary(max_size=40))
    if how == "tlv":
        tail = struct.pack(">HH", draw(st.integers(0, 65535)), draw(st.integers(0, 65535))) + tail
    return _with_length(pdu + tail, len(pdu + tail))


RANDOM = st.builds(
    lambda command, status, sequence, body: wire.encode(command, sequence, status, body),
    st.sampled_from(COMMANDS), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200),
)  # fmt: skip
STREAMS = st.lists(st.one_of(st.sampled_from(HONEST), broken(), RANDOM, st.binary(max_size=100)), max_size=8)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


class Exchange:
    """A well-behaved session that submits all the time; ``wrong`` is what it was answered beside acceptance."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.count = 0
        self.wrong: list[object] = []
        self.slowest = 0.0

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                answer = await self.session.submit(HELLO)
            except Exception as error:
                self.wrong.append(error)
                return
            if answer.status:
                self.wrong.append(answer)
            self.count += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.002)


@asynccontextmanager
async def undisturbed(carrier: SmppServer) -> AsyncIterator[Exchange]:
    """An honest session beside what the block does; at the end it must have been served throughout."""
    session = await connect(carrier.port)
    exchange = Exchange(session)
    task = asyncio.create_task(exchange.run())
    try:
        yield exchange
        seen = exchange.count
        await until(lambda: exchange.count > seen or exchange.wrong)
        assert exchange.wrong == []
        assert not session.closed
    finally:
        task.cancel()
        await session.close(1)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


@contextlib.contextmanager
def no_crash_is_logged(caplog: pytest.LogCaptureFixture):
    """asyncio tells of an exception that our protocol let through; that must never happen."""
    caplog.clear()
    yield
    crashes = [record for record in caplog.records if record.name == "asyncio" or record.levelno >= logging.ERROR]
    assert crashes == [], crashes[0].getMessage()


def test_whatever_octets_a_client_sends_in_whatever_pieces_nobody_else_notices(caplog):
    streams: list[tuple[bool, list[bytes]]] = []

    @FEW
    @given(st.lists(st.tuples(st.booleans(), STREAMS, st.lists(st.integers(0, 4000), max_size=5)), max_size=12))
    def collect(found) -> None:
        streams.extend((is_bound, in_pieces(b"".join(stream), cuts)) for is_bound, stream, cuts in found)

    collect()

    async def attack(port: int, is_bound: bool, pieces: list[bytes]) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with RawClient(port) as client:
                if is_bound:
                    await client.bind()
                for piece in pieces:
                    client.writer.write(piece)
                    await client.writer.drain()
                await asyncio.sleep(0)

    async def scenario():
        async with server() as carrier, undisturbed(carrier):
            for is_bound, pieces in streams:
                await attack(carrier.port, is_bound, pieces)
            await until(lambda: len(carrier.sessions) == 1)

    assert len(streams) > 20
    with no_crash_is_logged(caplog):
        run_scenario(scenario())


def test_whatever_octets_a_carrier_sends_the_client_lives_or_ends_with_a_reason(caplog):
    streams: list[list[bytes]] = []

    @FEW
    @given(st.lists(st.tuples(STREAMS, st.lists(st.integers(0, 4000), max_size=5)), max_size=8))
    def collect(found) -> None:
        streams.extend(in_pieces(b"".join(stream), cuts) for stream, cuts in found)

    collect()

    async def suffer(pieces: list[bytes], before_bind: bool) -> None:
        inbox = Inbox()
        async with hostile_carrier(b"".join(pieces) if before_bind else b"") as (port, writers):
            try:
                session = await connect(port, inbox, response_timeout_seconds=0.2, connect_timeout_seconds=2)
            except (ConnectionFailed, BindRefused):
                return
            submits = [session.submit(HELLO) for _ in range(3)]
            for piece in pieces:
                writers[0].write(piece)
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            writers[0].transport.abort()
            await session.close(0)
            for outcome in await asyncio.gather(*submits, return_exceptions=True):
                assert not isinstance(outcome, BaseException) or isinstance(outcome, NotSent | AnswerLost), outcome
            assert len(inbox.closed) == 1
            assert inbox.closed[0]

    async def scenario():
        async with server() as carrier, undisturbed(carrier):
            for start in range(0, len(streams), 10):
                some = streams[start : start + 10]
                await asyncio.gather(*(suffer(one, number % 2 == 0) for number, one in enumerate(some)))

    assert len(streams) > 20
    with no_crash_is_logged(caplog):
        run_scenario(scenario())


@asynccontextmanager
async def hostile_carrier(first: bytes = b"") -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A carrier that says ``first`` before it answers the bind, and never reads again."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            length, command, _, sequence = wire.HEADER.unpack(await reader.readexactly(16))
            await reader.readexactly(length - 16)
            writer.write(first + wire.encode_bind_answer(command, sequence, 0, "raw"))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], writers
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("octets", "answer", "reason"),
    [
        (struct.pack(">4I", 8, 4, 0, 9), (wire.GENERIC_NACK, Status.ESME_RINVCMDLEN, 9), "8 octets"),
        (struct.pack(">4I", 2**31, 4, 0, 9), (wire.GENERIC_NACK, Status.ESME_RINVCMDLEN, 9), "2147483648 octets"),
        (wire.encode(0x1234, 9) * MAX_BAD_PDUS, (wire.GENERIC_NACK, Status.ESME_RINVCMDID, 9), "is not offered"),
        (encoded_submit(9) * MAX_BAD_PDUS, (0x80000004, Status.ESME_RINVBNDSTS, 9), "without a bind"),
        (
            encode_query("i", wire.Address(0, 0, ""), 9) * MAX_BAD_PDUS,
            (0x80000003, Status.ESME_RINVCMDID, 9),
            "offered",
        ),
        (wire.encode(9, 9, body=b"raw") * MAX_BAD_PDUS, (0x80000009, Status.ESME_RINVCMDLEN, 9), "cut short"),
    ],
    ids=["short", "long", "unknown", "submit", "query", "bind"],
)
def test_each_attack_before_the_bind_has_its_answer_and_one_line_in_the_log(caplog, octets, answer, reason):
    caplog.set_level(logging.INFO, "smpp")

    async def scenario():
        async with server() as carrier, RawClient(carrier.port) as client:
            assert await client.ask(octets) == answer
            assert await client.at_end()

    run_scenario(scenario())
    [line] = [record.getMessage() for record in caplog.records if "session of nobody over" in record.getMessage()]
    assert reason in line
    assert line.startswith("127.0.0.1:")


def test_a_customers_twenty_wrong_senders_are_refused_without_ending_the_session():
    async def scenario():
        async with server() as carrier, RawClient(carrier.port) as client:
            await client.bind()
            wrong = encoded_submit(5).replace(b"Shop", b"Sh\xffp")
            for _ in range(MAX_BAD_PDUS + 1):
                assert await client.ask(wrong) == (0x80000004, Status.ESME_RINVSRCADR, 5)
            cut = wire.encode(wire.SUBMIT_SM, 5, body=b"cut")
            for _ in range(MAX_BAD_PDUS - 1):
                assert (await client.ask(cut))[1] == Status.ESME_RINVCMDLEN
            assert (await client.ask(encoded_submit(6)))[1] == 0  # one that is right, and the count begins anew
            assert (await client.ask(cut))[1] == Status.ESME_RINVCMDLEN
            assert len(carrier.sessions) == 1

    run_scenario(scenario())


def test_a_thousand_binds_at_once_leave_the_honest_one_undisturbed_and_the_limits_kept():
    async def storm(port: int, results: list[int]) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with RawClient(port) as client:
                results.append((await client.ask(BIND))[1])
                await asyncio.sleep(0.5)

    async def scenario():
        results: list[int] = []
        async with server(max_connections=60, max_binds_per_system_id=20) as carrier, undisturbed(carrier) as honest:
            tasks = [asyncio.create_task(storm(carrier.port, results)) for _ in range(1000)]
            most = 0
            while not all(task.done() for task in tasks):
                most = max(most, len(carrier.sessions))
                await asyncio.sleep(0.01)
            assert 1 < most <= 21
            assert set(results) <= {Status.ESME_ROK, Status.ESME_RBINDFAIL}
            assert honest.slowest < PATIENCE
            await until(lambda: len(carrier.sessions) == 1)
            late = RawClient(carrier.port)  # and now there is room again
            async with late:
                assert (await late.ask(BIND))[1] == 0

    run_scenario(scenario())


def test_one_address_and_one_client_get_no_more_sessions_than_allowed(caplog):
    caplog.set_level(logging.INFO, "smpp")

    async def scenario():
        async with server(max_connections_per_address=3, max_binds_per_system_id=2) as carrier:
            sessions = [await connect(carrier.port) for _ in range(2)]
            with pytest.raises(BindRefused, match="ESME_RBINDFAIL"):
                await connect(carrier.port)
            await until(lambda: "one too many" in caplog.text)
            async with RawClient(carrier.port), RawClient(carrier.port) as fourth:
                assert await fourth.at_end()
            assert "too many connections from 127.0.0.1" in caplog.text
            assert [(await one.submit(HELLO)).status for one in sessions] == [0, 0]
            await sessions[0].close()
            await until(lambda: len(carrier.sessions) == 1)
            other = await connect(carrier.port)
            await other.close()
            await sessions[1].close()

    run_scenario(scenario())


def test_who_dribbles_is_silent_or_idle_is_shown_the_door(caplog):
    """Before the bind by the bind's time-out, later because octets that never become a PDU are no sign of life."""
    caplog.set_level(logging.INFO, "smpp")

    async def dribble(client: RawClient, octets: bytes) -> None:
        with contextlib.suppress(OSError):
            for octet in octets:
                client.writer.write(bytes((octet,)))
                await asyncio.sleep(0.03)

    async def scenario():
        times = {"bind_timeout_seconds": 0.3, "enquire_link_seconds": 0.2, "response_timeout_seconds": 0.3}
        async with server(**times) as carrier, undisturbed(carrier):
            unbound, bound, gone = clients = [RawClient(carrier.port) for _ in range(3)]
            async with unbound, bound, gone:
                await bound.bind()
                await gone.bind()  # half open: it never says a word again
                writing = [dribble(unbound, BIND * 3), dribble(bound, _with_length(encoded_submit(2), 60_000) * 3)]
                tasks = [asyncio.create_task(one) for one in writing]
                for client in clients:
                    assert await client.at_end()
                for task in tasks:
                    task.cancel()
        async with server(**times, inactivity_timeout_seconds=0.4) as carrier:
            idle = await connect(carrier.port)  # answers enquire_link all the time
            await until(lambda: idle.closed)
            assert idle.close_reason == "the peer unbound"

    run_scenario(scenario())
    for reason in ("no bind within 0.3 s", "no sign of life", "no message for 0.4 s"):
        assert reason in caplog.text


def test_a_flood_that_reads_no_answers_costs_bounded_memory_only(monkeypatch):
    monkeypatch.setattr(link, "MAX_UNSENT_OCTETS", 100_000)

    async def scenario():
        async with server() as carrier, undisturbed(carrier) as honest:
            async with RawClient(carrier.port, receive_buffer=4096) as greedy:
                await greedy.bind()
                greedy.writer.transport.pause_reading()
                [flooded] = [one for one in carrier.sessions if one.system_id == "raw"]
                sending = flooded._transport.get_extra_info("socket")
                sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                flood, most = encoded_submit(2) * 100, 0
                deadline = time.monotonic() + 20
                while not flooded.closed:
                    assert time.monotonic() < deadline
                    if greedy.writer.transport.get_write_buffer_size() < 2**20:
                        greedy.writer.write(flood)
                    most = max(most, flooded._out_octets)
                    await asyncio.sleep(0)
                assert 0 < most <= 2 * link.MAX_UNSENT_OCTETS
                assert "does not read" in flooded.close_reason
            assert honest.slowest < PATIENCE

    run_scenario(scenario())


def test_one_clients_submits_in_work_are_bounded_in_octets_too():
    async def scenario():
        async with server(never_answer, window=1000) as carrier, RawClient(carrier.port) as client:
            await client.bind()
            heavy = wire.Submit("Shop", "61400009999", wire.EncodedPart(4, 0, b"x" * 60_000))
            pdu = wire.encode_submit(heavy, wire.Address(5, 0, "Shop"), wire.Address(1, 1, "61400009999"), 5)
            fit = MAX_OCTETS_IN_WORK // len(pdu)
            client.writer.write(pdu * fit)
            assert await client.ask(pdu) == (0x80000004, Status.ESME_RTHROTTLED, 5)
            [session] = carrier.sessions
            assert session._in_work == fit

    run_scenario(scenario())


def test_a_carriers_flood_is_told_to_come_later_and_kept_within_bounds(monkeypatch, caplog):
    monkeypatch.setattr(client_module, "MAX_INBOX_OCTETS", 50_000)
    heavy = wire.encode_deliver(Deliver("+61400000000", "Shop", b"x" * 1000), 7)

    async def scenario():
        inbox = Inbox()
        inbox.gate.clear()
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, inbox)
            await carrier.connected.wait()
            carrier.writer.write(heavy)
            await until(lambda: session._delivering is not None)
            carrier.writer.write(heavy * 100)
            refusals = [await _answer(carrier.reader) for _ in range(2)]
            assert refusals == [(0x80000005, Status.ESME_RMSGQFUL, 7)] * 2
            assert session._inbox_octets <= 50_000
            inbox.gate.set()
            await until(lambda: sum(map(len, inbox.batches)) > 40)
            assert (await _submit_beside(session, carrier)).status == 0
            carrier.writer.transport.abort()
            await session.close(0)

    run_scenario(scenario())
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING and record.name == "smpp"]
    assert 0 < len(warnings) <= client_module.MAX_WARNINGS + 1


async def _answer(reader: asyncio.StreamReader) -> tuple[int, int, int]:
    length, *rest = wire.HEADER.unpack(await asyncio.wait_for(reader.readexactly(16), 5))
    await reader.readexactly(length - 16)
    return tuple(rest)


async def _submit_beside(session: ClientSession, carrier: RawCarrier):
    """A submit on the same session is still answered."""
    future = session.submit(HELLO)
    while (answer := await _answer(carrier.reader))[0] != wire.SUBMIT_SM:
        assert answer[0] == 0x80000005
    carrier.writer.write(wire.encode_message_id(wire.SUBMIT_SM, answer[2], 0, "id"))
    return await asyncio.wait_for(future, 5)


def test_a_delivery_before_the_bind_is_answered_is_refused_and_never_stored():
    async def scenario():
        inbox = Inbox()
        async with hostile_carrier(DELIVER) as (port, writers):
            session = await connect(port, inbox)
            writers[0].transport.abort()
            await session.close(0)
        assert inbox.batches == []

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (wire.encode_bind_answer(9, 1, Status.ESME_RBINDFAIL, ""), BindRefused, "ESME_RBINDFAIL"),
        (wire.encode(wire.GENERIC_NACK, 1, 0x500), BindRefused, "0x00000500"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ConnectionFailed, "octets"),
        (wire.encode_bind_answer(wire.BIND_RECEIVER, 1, 0, "x"), ConnectionFailed, "no answer within"),
        (b"\0\0\0\x10\x80", ConnectionFailed, "no answer within"),
        (wire.encode(wire.UNBIND, 1), ConnectionFailed, "unbound"),
    ],
)
def test_a_carrier_that_answers_the_bind_strangely_is_named_with_what_it_did(answer, error, words):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async def scenario():
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        config = ClientConfig("127.0.0.1", port, "relay", "secret", response_timeout_seconds=0.2)
        with pytest.raises(error, match=words):
            await ClientSession.connect(config, Inbox().take, print)
        listener.close()

    run_scenario(scenario())


def test_what_cannot_be_delivered_is_said_by_the_future_and_never_raised():
    async def scenario():
        async with server() as carrier:
            session = await connect(carrier.port)
            for odd in (
                Deliver("x" * 21, "Shop", b""), Deliver("1", "Shop", b"", 300), Deliver("1", "Shop", b"", 0, -1),
                Deliver("1", "Shop", b"x" * 70_000), Deliver("1", "Shop", b"", tlvs={70_000: b""}),
            ):  # fmt: skip
                with pytest.raises(PduError):
                    await carrier.sessions[0].deliver(odd)
            assert await carrier.sessions[0].deliver(Deliver("1", "Shop", b"fits")) == 0
            await session.close()

    run_scenario(scenario())
