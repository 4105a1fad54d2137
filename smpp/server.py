"""The carrier's side of SMPP: clients bind with a checked password, submit, and are delivered to.

    async with SmppServer("127.0.0.1", 0, authenticate=check, on_submit=take) as server:
        print(server.port)

One bad peer never hurts another: lengths, time-outs, the number of connections, the submits in work and the unread
answers of each are limited, and what cannot be read is answered with the standard's error or ends that one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from smpp import pdu as wire
from smpp.link import AnswerLost, Link, NotSent, logger
from smpp.pdu import BindRequest, Deliver, PduError, Status, Submit, SubmitAnswer
from smpp.query import Query, QueryAnswer, decode_query, encode_query_answer

__all__ = [
    "AnswerLost",
    "BindRequest",
    "Deliver",
    "NotSent",
    "Query",
    "QueryAnswer",
    "ServerSession",
    "SmppServer",
    "Submit",
    "SubmitAnswer",
]

_Answer = TypeVar("_Answer", SubmitAnswer, QueryAnswer)
Authenticate = Callable[[BindRequest], Awaitable[int]]
OnSubmit = Callable[["ServerSession", Submit], Awaitable[SubmitAnswer]]
OnQuery = Callable[["ServerSession", Query], Awaitable[QueryAnswer]]
OnSession = Callable[["ServerSession"], None]

MAX_UNBOUND_PDU: Final = 512  # no bind is longer
MAX_BAD_PDUS: Final = 20  # in a row
MAX_OCTETS_IN_WORK: Final = 4 * 1024 * 1024  # of one session: 1,000 submits of 64 KiB would be 64 MiB
# Requests of SMPP 3.4 that this server knows but does not offer; they are answered in their own form.
_NOT_OFFERED: Final = {
    wire.QUERY_SM,
    wire.REPLACE_SM,
    wire.CANCEL_SM,
    wire.SUBMIT_MULTI,
    wire.DATA_SM,
}


class ServerSession(Link[int]):
    """One connection from a client. `bind` is "" until it is bound, then how; `system_id` is who it is."""

    def __init__(self, server: "SmppServer") -> None:
        super().__init__(
            window=server.deliver_window,
            enquire_link_seconds=server.enquire_link_seconds,
            response_timeout_seconds=server.response_timeout_seconds,
        )
        self._server = server
        self._in_work = 0
        self._octets_in_work = 0
        self._bad = 0
        self._last_message = self._loop.time()
        self._binding: asyncio.Task[None] | None = None
        self._max_pdu = MAX_UNBOUND_PDU
        self.system_id = ""
        self.bind = ""

    @property
    def can_receive(self) -> bool:
        """Whether deliver_sm may be sent here: bound as receiver or transceiver, and not on the way out."""
        return self.bind in ("receiver", "transceiver") and not self.closed and not self._draining

    def deliver(self, deliver: Deliver) -> "asyncio.Future[int]":
        """Send one deliver_sm; never raises.

        The future resolves to the client's command_status (0 is acknowledged), or raises NotSent, AnswerLost, or
        PduError when a field does not fit.
        """
        return self._request(lambda sequence: wire.encode_deliver(deliver, sequence))

    @property
    def address(self) -> str:
        """The client's IP address."""
        return self.peer.rpartition(":")[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or turn it away when there are too many (called by asyncio)."""
        super().connection_made(transport)
        self._server._opened(self)
        self._loop.call_later(self._server.bind_timeout_seconds, self._end_unless_bound)

    def _end_unless_bound(self) -> None:
        if not self.bind:
            self._shut(f"no bind within {self._server.bind_timeout_seconds:g} s")

    def _received(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        self._last_message = self._loop.time()
        if command == wire.SUBMIT_SM:
            self._take_submit(sequence, pdu)
        elif command == wire.DELIVER_SM | wire.RESPONSE:
            self._answered(sequence, status)
        elif command in wire.BIND_NAMES:
            self._take_bind(command, sequence, pdu)
        elif command == wire.QUERY_SM and self._server.on_query is not None:
            self._take_query(sequence, pdu, self._server.on_query)
        elif not command & wire.RESPONSE:
            self._refuse_unknown(command, sequence)

    def _nacked(self, sequence: int, status: int) -> int:
        return status

    def _tick(self) -> None:
        limit = self._server.inactivity_timeout_seconds
        if self.bind and limit is not None and self._loop.time() - self._last_message > limit and not self._busy():
            self._write(wire.encode(wire.UNBIND, self._next_sequence()))
            self._flush()
            self._shut(f"no message for {limit:g} s")
        super()._tick()

    def _take_bind(self, command: int, sequence: int, pdu: bytes) -> None:
        if self.bind or self._binding is not None:
            self._write(wire.encode_bind_answer(command, sequence, Status.ESME_RALYBND, ""))
            return
        try:
            request = wire.decode_bind(command, pdu, self.peer)
        except PduError as error:
            self._write(wire.encode_bind_answer(command, sequence, error.status, ""))
            self._count_bad(str(error))
            return
        self._binding = self._loop.create_task(self._check_bind(command, sequence, request))

    async def _check_bind(self, command: int, sequence: int, request: BindRequest) -> None:
        try:
            status = await self._server.authenticate(request)
        except Exception:
            logger.exception("%s: the bind of %r could not be checked", self.peer, request.system_id)
            status = Status.ESME_RSYSERR
        reason = f"was refused with {wire.status_name(status)}"
        if not status and self._server._has_enough_binds(request.system_id):
            status, reason = Status.ESME_RBINDFAIL, "is one too many for this system_id"
        self._write(wire.encode_bind_answer(command, sequence, status, self._server.system_id))
        if status:
            self._flush()
            self._shut(f"the bind of {request.system_id!r} {reason}")
        elif not self.closed:
            self.system_id, self.bind = request.system_id, request.bind
            self._max_pdu = wire.MAX_PDU_OCTETS
            self._server._bound(self)

    def _take_submit(self, sequence: int, pdu: bytes) -> None:
        answer = partial(self._answer_submit, sequence)
        if status := self._unready(len(pdu)):
            answer(SubmitAnswer(status))
            return
        try:
            submit = wire.decode_submit(pdu)
        except PduError as error:
            answer(SubmitAnswer(error.status))
            self._note_broken(error)
            return
        self._bad = 0
        self._work(self._server.on_submit(self, submit), len(pdu), answer, SubmitAnswer)

    def _take_query(self, sequence: int, pdu: bytes, on_query: OnQuery) -> None:
        def answer(found: QueryAnswer) -> None:
            self._write(encode_query_answer(found, sequence))

        if status := self._unready(len(pdu)):
            answer(QueryAnswer(status))
            return
        try:
            query = decode_query(pdu)
        except PduError as error:
            answer(QueryAnswer(error.status))
            self._note_broken(error)
            return
        self._bad = 0
        self._work(on_query(self, query), len(pdu), answer, QueryAnswer)

    def _unready(self, octets: int) -> int:
        """The status with which a request cannot even be looked at now; 0 = it can."""
        if self.bind not in ("transmitter", "transceiver"):
            self._count_bad("a request without a bind for it")
            return Status.ESME_RINVBNDSTS
        is_full = self._in_work >= self._server.window or self._octets_in_work + octets > MAX_OCTETS_IN_WORK
        return Status.ESME_RTHROTTLED if is_full or self._draining else Status.ESME_ROK

    def _work(
        self,
        work: Awaitable[_Answer],
        octets: int,
        answer: Callable[[_Answer], None],
        refusal: Callable[[int], _Answer],
    ) -> None:
        """Answer once the application is done; `octets` of its memory are this peer's until then."""

        def finish(done: "asyncio.Future[_Answer]") -> None:
            self._in_work -= 1
            self._octets_in_work -= octets
            if done.cancelled():
                answer(refusal(Status.ESME_RSYSERR))
            elif error := done.exception():
                logger.error("%s: a request failed", self.peer, exc_info=error)
                answer(refusal(Status.ESME_RSYSERR))
            else:
                answer(done.result())

        self._in_work += 1
        self._octets_in_work += octets
        asyncio.ensure_future(work).add_done_callback(finish)

    def _answer_submit(self, sequence: int, answer: SubmitAnswer) -> None:
        self._write(wire.encode_message_id(wire.SUBMIT_SM, sequence, answer.status, answer.carrier_id))

    def _note_broken(self, error: PduError) -> None:
        """Count what could not be read. A field that does not fit is a customer's mistake, not an attack."""
        if error.status == Status.ESME_RINVCMDLEN:
            self._count_bad(str(error))

    def _refuse_unknown(self, command: int, sequence: int) -> None:
        answer = command | wire.RESPONSE if command in _NOT_OFFERED else wire.GENERIC_NACK
        self._write(wire.encode(answer, sequence, Status.ESME_RINVCMDID))
        self._count_bad(f"command 0x{command:08X} is not offered")

    def _count_bad(self, what: str) -> None:
        self._bad += 1
        if self._bad >= MAX_BAD_PDUS:
            self._flush()
            self._shut(f"{self._bad} PDUs in a row could not be taken, the last because: {what}")

    def _busy(self) -> bool:
        return bool(self._open) or self._in_work > 0

    def _ended(self, reason: str) -> None:
        if self._binding is not None:
            self._binding.cancel()
        self._server._closed(self, reason)


class SmppServer:
    """Listens for clients. `port` 0 takes a free port; `server.port` tells which.

    `authenticate` returns 0 or the command_status with which the bind is refused. `on_submit` returns an awaitable of
    the answer: a coroutine, or a plain future when thousands a second are taken. `on_bound` and `on_closed` are called
    when a session becomes bound and when a bound session is over. `window` is how many submits one session may have in
    work (more are answered ESME_RTHROTTLED), `deliver_window` how many deliver_sm it is sent without an answer. Without
    `on_query` queries are refused. A session that carries no message for `inactivity_timeout_seconds` is unbound, even
    when it answers enquire_link. `max_connections_per_address` and `max_binds_per_system_id` limit what one host may
    open (more are closed) and one client bind (more are answered ESME_RBINDFAIL); None is no such limit.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        authenticate: Authenticate,
        on_submit: OnSubmit,
        on_query: OnQuery | None = None,
        on_bound: OnSession | None = None,
        on_closed: OnSession | None = None,
        system_id: str = "relay",
        window: int = 1000,
        deliver_window: int = 100,
        enquire_link_seconds: float = 30,
        response_timeout_seconds: float = 30,
        bind_timeout_seconds: float = 10,
        inactivity_timeout_seconds: float | None = None,
        max_connections: int = 500,
        max_unbound: int = 100,
        max_connections_per_address: int | None = None,
        max_binds_per_system_id: int | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.authenticate = authenticate
        self.on_submit = on_submit
        self.on_query = on_query
        self.system_id = system_id
        self.window = window
        self.deliver_window = deliver_window
        self.enquire_link_seconds = enquire_link_seconds
        self.response_timeout_seconds = response_timeout_seconds
        self.bind_timeout_seconds = bind_timeout_seconds
        self.inactivity_timeout_seconds = inactivity_timeout_seconds
        self._on_bound = on_bound
        self._on_closed = on_closed
        self._max_connections = max_connections
        self._max_unbound = max_unbound
        self._max_per_address = max_connections_per_address
        self._max_per_system_id = max_binds_per_system_id
        self._sessions: set[ServerSession] = set()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Start listening; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: ServerSession(self), self.host, self.port, backlog=512)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self, drain_seconds: float = 2.0) -> None:
        """Stop listening and unbind every session, waiting up to `drain_seconds` for open answers."""
        if self._listener is not None:
            self._listener.close()
        await asyncio.gather(*(session.close(drain_seconds) for session in tuple(self._sessions)))

    async def __aenter__(self) -> "SmppServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def sessions(self) -> list[ServerSession]:
        """The sessions that are bound now."""
        return [session for session in self._sessions if session.bind and not session.closed]

    def _opened(self, session: ServerSession) -> None:
        self._sessions.add(session)
        unbound = sum(not other.bind for other in self._sessions)
        if len(self._sessions) > self._max_connections or unbound > self._max_unbound:
            session._shut("too many connections")
        elif self._max_per_address is not None:
            same = sum(other.address == session.address for other in self._sessions)
            if same > self._max_per_address:
                session._shut(f"too many connections from {session.address}")

    def _has_enough_binds(self, system_id: str) -> bool:
        limit = self._max_per_system_id
        return limit is not None and sum(other.system_id == system_id for other in self.sessions) >= limit

    def _bound(self, session: ServerSession) -> None:
        logger.info("%s: %s bound as %s", session.peer, session.system_id, session.bind)
        if self._on_bound is not None:
            self._on_bound(session)

    def _closed(self, session: ServerSession, reason: str) -> None:
        self._sessions.discard(session)
        logger.info("%s: session of %s over: %s", session.peer, session.system_id or "nobody", reason)
        if session.bind and self._on_closed is not None:
            self._on_closed(session)
