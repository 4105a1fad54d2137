"""The carrier's side of SMPP: clients bind with a checked password, submit, and are delivered to.

    async with SmppServer("127.0.0.1", 0, authenticate=check, on_submit=take) as server:
        print(server.port)

One bad peer never hurts another: lengths, time-outs, the number of connections, the submits in work and the unread
answers of each are limited, and what cannot be read is answered with the standard's error or ends that one connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from smpp import pdu as wire
from smpp.link import AnswerLost, Link, NotSent, logger
from smpp.pdu import BindRequest, Deliver, PduError, Status, Submit, SubmitAnswer

__all__ = ["AnswerLost", "BindRequest", "Deliver", "NotSent", "ServerSession", "SmppServer", "Submit", "SubmitAnswer"]

Authenticate = Callable[[BindRequest], Awaitable[int]]
OnSubmit = Callable[["ServerSession", Submit], Awaitable[SubmitAnswer]]
OnSession = Callable[["ServerSession"], None]

MAX_UNBOUND_PDU: Final = 512  # no bind is longer
MAX_BAD_PDUS: Final = 20
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
        self._bad = 0
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or turn it away when there are too many (called by asyncio)."""
        super().connection_made(transport)
        self._server._opened(self)
        self._loop.call_later(self._server.bind_timeout_seconds, self._end_unless_bound)

    def _end_unless_bound(self) -> None:
        if not self.bind:
            self._shut(f"no bind within {self._server.bind_timeout_seconds:g} s")

    def _received(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        if command == wire.SUBMIT_SM:
            self._take_submit(sequence, pdu)
        elif command == wire.DELIVER_SM | wire.RESPONSE:
            self._answered(sequence, status)
        elif command in wire.BIND_NAMES:
            self._take_bind(command, sequence, pdu)
        elif not command & wire.RESPONSE:
            self._refuse_unknown(command, sequence)

    def _nacked(self, status: int) -> int:
        return status

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
        self._write(wire.encode_bind_answer(command, sequence, status, self._server.system_id))
        if status:
            self._flush()
            self._shut(f"the bind of {request.system_id!r} was refused with {wire.status_name(status)}")
        elif not self.closed:
            self.system_id, self.bind = request.system_id, request.bind
            self._max_pdu = wire.MAX_PDU_OCTETS
            self._server._bound(self)

    def _take_submit(self, sequence: int, pdu: bytes) -> None:
        if self.bind not in ("transmitter", "transceiver"):
            self._answer_submit(sequence, SubmitAnswer(Status.ESME_RINVBNDSTS))
            self._count_bad("a submit without a bind for it")
            return
        if self._in_work >= self._server.window or self._draining:
            self._answer_submit(sequence, SubmitAnswer(Status.ESME_RTHROTTLED))
            return
        try:
            submit = wire.decode_submit(pdu)
        except PduError as error:
            self._answer_submit(sequence, SubmitAnswer(error.status))
            self._count_bad(str(error))
            return
        self._in_work += 1
        future = asyncio.ensure_future(self._server.on_submit(self, submit))
        future.add_done_callback(lambda done: self._finish_submit(sequence, done))

    def _finish_submit(self, sequence: int, done: "asyncio.Future[SubmitAnswer]") -> None:
        self._in_work -= 1
        if done.cancelled():
            answer = SubmitAnswer(Status.ESME_RSYSERR)
        elif error := done.exception():
            logger.error("%s: a submit failed", self.peer, exc_info=error)
            answer = SubmitAnswer(Status.ESME_RSYSERR)
        else:
            answer = done.result()
        self._answer_submit(sequence, answer)

    def _answer_submit(self, sequence: int, answer: SubmitAnswer) -> None:
        self._write(wire.encode_message_id(wire.SUBMIT_SM, sequence, answer.status, answer.carrier_id))

    def _refuse_unknown(self, command: int, sequence: int) -> None:
        answer = command | wire.RESPONSE if command in _NOT_OFFERED else wire.GENERIC_NACK
        self._write(wire.encode(answer, sequence, Status.ESME_RINVCMDID))
        self._count_bad(f"command 0x{command:08X} is not offered")

    def _count_bad(self, what: str) -> None:
        self._bad += 1
        if self._bad >= MAX_BAD_PDUS:
            self._flush()
            self._shut(f"{self._bad} PDUs could not be taken, the last because: {what}")

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
    work (more are answered ESME_RTHROTTLED), `deliver_window` how many deliver_sm it is sent without an answer.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        authenticate: Authenticate,
        on_submit: OnSubmit,
        on_bound: OnSession | None = None,
        on_closed: OnSession | None = None,
        system_id: str = "relay",
        window: int = 1000,
        deliver_window: int = 100,
        enquire_link_seconds: float = 30,
        response_timeout_seconds: float = 30,
        bind_timeout_seconds: float = 10,
        max_connections: int = 500,
        max_unbound: int = 100,
    ) -> None:
        self.host = host
        self.port = port
        self.authenticate = authenticate
        self.on_submit = on_submit
        self.system_id = system_id
        self.window = window
        self.deliver_window = deliver_window
        self.enquire_link_seconds = enquire_link_seconds
        self.response_timeout_seconds = response_timeout_seconds
        self.bind_timeout_seconds = bind_timeout_seconds
        self._on_bound = on_bound
        self._on_closed = on_closed
        self._max_connections = max_connections
        self._max_unbound = max_unbound
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
        unbound = sum(not other.bind for other in self._sessions)
        self._sessions.add(session)
        if len(self._sessions) > self._max_connections or unbound >= self._max_unbound:
            session._shut("too many connections")

    def _bound(self, session: ServerSession) -> None:
        logger.info("%s: %s bound as %s", session.peer, session.system_id, session.bind)
        if self._on_bound is not None:
            self._on_bound(session)

    def _closed(self, session: ServerSession, reason: str) -> None:
        self._sessions.discard(session)
        logger.info("%s: session of %s over: %s", session.peer, session.system_id or "nobody", reason)
        if session.bind and self._on_closed is not None:
            self._on_closed(session)
