"""What hostile and clumsy peers can do to the server: nothing, to others."""

import asyncio
import socket
import struct

import pytest

from smpp import pdu as wire
from smpp.client import BindRefused, ClientConfig, ClientSession
from smpp.pdu import BindRequest, Deliver, Status, Submit, SubmitAnswer
from smpp.server import MAX_BAD_PDUS
from tests.loops import run_scenario
from tests.smpp.test_client import HELLO, PART, Inbox, connect, never_answer, server, until


class RawClient:
    """A client written byte by byte."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.port = port
        self.receive_buffer = receive_buffer

    async def __aenter__(self) -> "RawClient":
        connection = socket.socket()
        if self.receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, octets: bytes) -> tuple[int, int, int]:
        """Send and read one answer: (command, status, sequence)."""
        self.writer.write(octets)
        length, *rest = wire.HEADER.unpack(await asyncio.wait_for(self.reader.readexactly(16), 5))
        await self.reader.readexactly(length - 16)
        return tuple(rest)

    async def bind(self, command: int = wire.BIND_TRANSCEIVER) -> None:
        assert (await self.ask(wire.encode_bind(command, 1, "raw", "secret", "")))[1] == 0

    async def at_end(self) -> bool:
        """Whether the server ends the connection; it says so with a reset where octets of ours were left unread."""
        try:
            await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionResetError:
            return True
        return self.reader.at_eof()


def encoded_submit(sequence: int, destination: str = "61400009999") -> bytes:
    return wire.encode_submit(
        Submit("Shop", destination, PART), wire.Address(5, 0, "Shop"), wire.Address(1, 1, destination), sequence
    )


def test_the_password_is_really_checked_and_the_request_tells_who_asks():
    seen: list[BindRequest] = []

    async def check(request):
        seen.append(request)
        return Status.ESME_ROK if request.password == "secret" else Status.ESME_RINVPASWD

    async def scenario():
        async with server(authenticate=check) as carrier:
            session = await connect(carrier.port)
            assert carrier.sessions[0].system_id == "relay"
            config = ClientConfig("127.0.0.1", carrier.port, "relay", "secre", system_type="T", bind="receiver")
            with pytest.raises(BindRefused, match="ESME_RINVPASWD"):
                await ClientSession.connect(config, Inbox().take, print)
            assert len(carrier.sessions) == 1
            await session.close()
        assert [(r.system_id, r.password, r.system_type, r.bind, r.interface_version) for r in seen] == [
            ("relay", "secret", "", "transceiver", 0x34),
            ("relay", "secre", "T", "receiver", 0x34),
        ]
        assert seen[0].peer.startswith("127.0.0.1:")

    run_scenario(scenario())


def test_a_check_that_fails_refuses_the_bind_with_a_system_error():
    async def crash(_request):
        raise RuntimeError("no database")

    async def scenario():
        async with server(authenticate=crash) as carrier:
            with pytest.raises(BindRefused, match="ESME_RSYSERR"):
                await connect(carrier.port)

    run_scenario(scenario())


def test_a_receiver_may_not_submit_and_a_transmitter_is_not_delivered_to():
    async def scenario():
        async with server() as carrier:
            receiver = await connect(carrier.port, bind="receiver")
            assert (await receiver.submit(HELLO)).status == Status.ESME_RINVBNDSTS
            assert carrier.sessions[0].can_receive
            await receiver.close()
            await until(lambda: not carrier.sessions)
            transmitter = await connect(carrier.port, bind="transmitter")
            assert (await transmitter.submit(HELLO)).status == 0
            assert not carrier.sessions[0].can_receive
            await transmitter.close()

    run_scenario(scenario())


def test_a_submit_before_or_a_second_bind_is_refused():
    async def scenario():
        async with server() as carrier, RawClient(carrier.port) as client:
            assert await client.ask(encoded_submit(7)) == (0x80000004, Status.ESME_RINVBNDSTS, 7)
            await client.bind()
            again = wire.encode_bind(wire.BIND_TRANSCEIVER, 8, "raw", "secret", "")
            assert await client.ask(again) == (0x80000009, Status.ESME_RALYBND, 8)
            assert await client.ask(encoded_submit(9)) == (0x80000004, 0, 9)

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (wire.encode(wire.SUBMIT_SM, 5, body=b"cut"), (0x80000004, Status.ESME_RINVCMDLEN, 5)),
        (encoded_submit(5).replace(b"Shop", b"Sh\xffp"), (0x80000004, Status.ESME_RINVSRCADR, 5)),
        (wire.encode(wire.QUERY_SM, 5, body=b"x\0\0\0\0"), (0x80000003, Status.ESME_RINVCMDID, 5)),
        (wire.encode(0x1234, 5), (wire.GENERIC_NACK, Status.ESME_RINVCMDID, 5)),
        (wire.encode(wire.ENQUIRE_LINK, 5), (0x80000015, 0, 5)),
        (wire.encode(wire.UNBIND, 5), (0x80000006, 0, 5)),
    ],
)
def test_each_odd_pdu_has_its_answer_in_the_standard(pdu, answer):
    async def scenario():
        async with server() as carrier, RawClient(carrier.port) as client:
            await client.bind()
            assert await client.ask(pdu) == answer

    run_scenario(scenario())


@pytest.mark.parametrize(
    "attack",
    [
        b"GET / HTTP/1.1\r\nHost: carrier\r\n\r\n",
        struct.pack(">4I", 0, 9, 0, 1),
        struct.pack(">4I", 15, 9, 0, 1),
        struct.pack(">4I", 0xFFFFFFFF, 9, 0, 1),
        struct.pack(">4I", 513, 9, 0, 1),
        wire.encode(wire.SUBMIT_SM, 1, body=b"\xff" * 100) * (MAX_BAD_PDUS + 1),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    ],
)
def test_an_attack_ends_its_own_connection_and_no_other(attack):
    async def scenario():
        async with server() as carrier:
            honest = await connect(carrier.port)
            async with RawClient(carrier.port) as attacker:
                attacker.writer.write(attack)
                assert await attacker.at_end()
            assert (await honest.submit(HELLO)).status == 0
            assert len(carrier.sessions) == 1
            await honest.close()

    run_scenario(scenario())


def test_random_octets_never_hurt_the_server():
    async def scenario():
        import random

        chance = random.Random(4)
        async with server() as carrier:
            honest = await connect(carrier.port)
            for _ in range(60):
                async with RawClient(carrier.port) as client:
                    await client.bind()
                    body = chance.randbytes(chance.randrange(120))
                    command = chance.choice([wire.SUBMIT_SM, wire.DELIVER_SM, 0x80000005, 0x80000004, 9, 0x103])
                    client.writer.write(wire.encode(command, chance.randrange(2**32), body=body))
                    client.writer.write(chance.randbytes(40))
            assert (await honest.submit(HELLO)).status == 0
            await honest.close()

    run_scenario(scenario())


def test_who_does_not_bind_is_cut_off_and_crowds_are_limited():
    async def scenario():
        async with server(bind_timeout_seconds=0.3, max_unbound=5) as carrier:
            honest = await connect(carrier.port)
            crowd = [await asyncio.open_connection("127.0.0.1", carrier.port) for _ in range(8)]
            crowd[0][1].write(b"\x00\x00\x00\x30\x00")
            for reader, _ in crowd[5:]:
                assert await asyncio.wait_for(reader.read(), 0.25) == b""
            for reader, _ in crowd[:5]:
                assert await asyncio.wait_for(reader.read(), 5) == b""
            assert (await honest.submit(HELLO)).status == 0
            await honest.close()
            for _, writer in crowd:
                writer.close()

    run_scenario(scenario())


def test_a_client_over_its_window_is_throttled():
    async def scenario():
        async with server(never_answer, window=3) as carrier:
            session = await connect(carrier.port, window=10)
            futures = [session.submit(HELLO) for _ in range(5)]
            await until(lambda: sum(future.done() for future in futures) == 2)
            assert [future.result().status for future in futures[3:]] == [Status.ESME_RTHROTTLED] * 2
            await session.close(0)
            for future in futures[:3]:
                future.exception()

    run_scenario(scenario())


def test_a_failing_application_answers_a_system_error():
    async def crash(_session, _submit):
        raise RuntimeError("no database")

    async def scenario():
        async with server(crash) as carrier:
            session = await connect(carrier.port)
            assert await session.submit(HELLO) == SubmitAnswer(Status.ESME_RSYSERR)
            await session.close()

    run_scenario(scenario())


def test_long_payloads_travel_as_an_optional_parameter():
    async def scenario():
        inbox = Inbox()
        async with server() as carrier:
            session = await connect(carrier.port, inbox)
            assert await carrier.sessions[0].deliver(Deliver("+614", "Shop", b"x" * 300)) == 0
            assert inbox.batches[0][0].payload == b"x" * 300
            await session.close()

    run_scenario(scenario())


def test_sessions_are_reported_when_bound_and_when_over():
    events = []

    async def scenario():
        async with server(
            on_bound=lambda session: events.append(("bound", session.system_id)),
            on_closed=lambda session: events.append(("closed", session.close_reason)),
        ) as carrier:
            session = await connect(carrier.port)
            await session.close()
            await until(lambda: len(events) == 2)
        assert events == [("bound", "relay"), ("closed", "the peer unbound")]

    run_scenario(scenario())
