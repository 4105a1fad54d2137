"""One SMPP connection, the same on both sides: framing, request window, keep-alive, time-outs and closing.

`smpp.client` and `smpp.server` add what their side says. Everything runs on one event loop, without locks. All PDUs
that arrive in one read are handled together, and all that are sent during one turn of the loop leave in one write; that
is what makes thousands of messages a second possible.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from smpp import pdu as wire
from smpp.pdu import Status

logger = logging.getLogger("smpp")

MAX_UNSENT_OCTETS: Final = 4 * 1024 * 1024  # a peer that does not read its answers may not fill our memory
GRACE_SECONDS: Final = 2.0  # how long a closing connection may still flush its last words

_ENQUIRE_LINK_ANSWER: Final = wire.ENQUIRE_LINK | wire.RESPONSE
_UNBIND_ANSWER: Final = wire.UNBIND | wire.RESPONSE
_OWN: Final = frozenset((wire.ENQUIRE_LINK, _ENQUIRE_LINK_ANSWER, wire.UNBIND, _UNBIND_ANSWER, wire.GENERIC_NACK))

Answer = TypeVar("Answer")


class NotSent(Exception):
    """The request was certainly never written to the connection; it may be sent again elsewhere."""


class AnswerLost(Exception):
    """The request may have reached the peer, but no answer came; sending it again could double it."""


class Link(asyncio.Protocol, Generic[Answer]):
    """A connection that can carry `window` unanswered requests of this side; `Answer` is what they resolve to."""

    def __init__(self, *, window: int, enquire_link_seconds: float, response_timeout_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._window = window
        self._enquire_after = enquire_link_seconds
        self._response_timeout = response_timeout_seconds
        self._max_pdu = wire.MAX_PDU_OCTETS
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._out: list[bytes] = []
        self._out_octets = 0
        self._writable = True
        self._sequence = 0
        self._open: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        self._unwritten: set[int] = set()
        self._overdue: set[int] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._last_received = self._loop.time()
        self._enquired_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._unbound: asyncio.Future[None] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self.close_reason: str | None = None
        self.peer = ""

    # --- what the sides fill in ------------------------------------------------------------------------------------

    def _received(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        """Handle a PDU that is not one of the link's own."""
        raise NotImplementedError

    def _read_done(self) -> None:
        """Act once on everything that one read brought."""

    def _nacked(self, sequence: int, status: int) -> Answer:
        """Make the answer to a request that the peer met with generic_nack."""
        raise NotImplementedError

    def _ended(self, reason: str) -> None:
        """React to the end of the connection."""

    # --- the window ------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the connection is over or on its way out; nothing can be sent any more."""
        return self.close_reason is not None

    @property
    def free_slots(self) -> int:
        """How many requests may be sent now. A request whose answer timed out keeps its slot until the answer comes."""
        return 0 if self.closed or self._draining else self._window - self.unanswered

    @property
    def unanswered(self) -> int:
        """How many requests of this side wait for the peer's answer."""
        return len(self._open) + len(self._overdue)

    async def wait_for_slot(self) -> None:
        """Wait until a request may be sent; raises NotSent when the connection ends first."""
        while self.free_slots <= 0:
            if self.closed or self._draining:
                raise NotSent(self._refusal())
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _request(self, build: Callable[[int], bytes]) -> "asyncio.Future[Answer]":
        """Send the PDU that `build` makes for a sequence number; every outcome, refusals too, comes by the future."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        if self.free_slots <= 0:
            future.set_exception(NotSent(self._refusal()))
            return future
        sequence = self._next_sequence()
        try:
            pdu = build(sequence)
        except wire.PduError as error:
            future.set_exception(error)
            return future
        self._open[sequence] = (future, self._loop.time() + self._response_timeout)
        self._unwritten.add(sequence)
        self._write(pdu)
        return future

    def _refusal(self) -> str:
        if self._draining and not self.closed:
            return "the session is being closed"
        return self.close_reason or f"all {self._window} slots of the window are taken; wait for one first"

    def _answered(self, sequence: int, answer: Answer) -> None:
        entry = self._open.pop(sequence, None)
        if entry is None:
            self._overdue.discard(sequence)
        elif not entry[0].done():
            entry[0].set_result(answer)

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % wire.MAX_SEQUENCE + 1
        return self._sequence

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write(self, pdu: bytes) -> None:
        if self.closed:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(pdu)
        self._out_octets += len(pdu)
        if self._out_octets > MAX_UNSENT_OCTETS:
            self._shut(f"the peer does not read: {self._out_octets} octets wait for it")

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or not self._out or not self._writable or self.closed:
            return
        octets = b"".join(self._out)
        self._out.clear()
        self._out_octets = 0
        self._unwritten.clear()
        transport.write(octets)

    def pause_writing(self) -> None:
        """Hold PDUs back (called by asyncio): what stays on this side is certain not to have been sent."""
        self._writable = False

    def resume_writing(self) -> None:
        """Write what was held back (called by asyncio)."""
        self._writable = True
        self._flush()

    # --- reading ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timers (called by asyncio)."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (narrows the type; asyncio gives nothing else)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=0)
        host, port = (transport.get_extra_info("peername") or ("?", 0))[:2]
        self.peer = f"{host}:{port}"
        self._tick()

    def data_received(self, data: bytes) -> None:
        """Cut what arrived into PDUs and handle each (called by asyncio)."""
        if self.closed:
            return
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        while end - position >= 16:
            length, command, status, sequence = wire.HEADER.unpack_from(data, position)
            if not 16 <= length <= self._max_pdu:
                self._refuse_length(length, sequence)
                break
            if end - position < length:
                break
            self._dispatch(command, status, sequence, data[position : position + length])
            position += length
            if self.closed:
                break
        self._rest = data[position:]
        if position:  # octets that never become a PDU are no sign of life
            self._last_received = self._loop.time()
        self._read_done()
        if self._waiters:
            self._wake_waiters()

    def _dispatch(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        if command not in _OWN:
            self._received(command, status, sequence, pdu)
        elif command == wire.ENQUIRE_LINK:
            self._write(wire.encode(_ENQUIRE_LINK_ANSWER, sequence))
        elif command == wire.UNBIND:
            self._write(wire.encode(_UNBIND_ANSWER, sequence))
            self._flush()
            self._shut("the peer unbound")
        elif command == _UNBIND_ANSWER:
            if not self._unbound.done():
                self._unbound.set_result(None)
        elif command == wire.GENERIC_NACK:
            self._answered(sequence, self._nacked(sequence, status or Status.ESME_RUNKNOWNERR))
        # An answer to enquire_link has nothing to say: that something came is the sign of life.

    def _refuse_length(self, length: int, sequence: int) -> None:
        self._write(wire.encode(wire.GENERIC_NACK, sequence, Status.ESME_RINVCMDLEN))
        self._flush()
        self._shut(f"the peer sent a PDU of {length} octets; 16 to {self._max_pdu} are allowed")

    # --- time ------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.closed:
            return
        now = self._loop.time()
        self._expire_answers(now)
        if self._enquired_at is not None and self._last_received > self._enquired_at:
            self._enquired_at = None
        if self._enquired_at is not None:
            if now - self._enquired_at > self._response_timeout:
                self._shut(f"no sign of life for {now - self._last_received:.0f} s after enquire_link")
        elif now - self._last_received >= self._enquire_after:
            self._enquired_at = now
            self._write(wire.encode(wire.ENQUIRE_LINK, self._next_sequence()))
        interval = min(1.0, self._enquire_after / 4, self._response_timeout / 4)
        self._timer = self._loop.call_later(interval, self._tick)

    def _expire_answers(self, now: float) -> None:
        expired = []
        for sequence, (_, deadline) in self._open.items():
            if deadline > now:
                break
            expired.append(sequence)
        for sequence in expired:
            future, _ = self._open.pop(sequence)
            if sequence in self._unwritten:
                self._shut(f"the peer took nothing for {self._response_timeout:g} s")
            self._overdue.add(sequence)
            self._fail(future, sequence, f"no answer within {self._response_timeout:g} s")
        if len(self._overdue) >= self._window:
            self._shut(f"the peer left a whole window of {self._window} requests unanswered")

    def _fail(self, future: "asyncio.Future[Answer]", sequence: int, reason: str) -> None:
        if not future.done():
            future.set_exception(NotSent(reason) if sequence in self._unwritten else AnswerLost(reason))

    # --- the end ---------------------------------------------------------------------------------------------------

    async def close(self, drain_seconds: float = 5.0) -> None:
        """End the session cleanly: wait up to `drain_seconds` for open answers, unbind, close. Never raises.

        Requests are refused from the moment of the call; answers still missing at the end are AnswerLost.
        """
        self._draining = True
        self._wake_waiters()
        deadline = self._loop.time() + drain_seconds
        while not self.closed and self._busy() and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        if not self.closed:
            self._write(wire.encode(wire.UNBIND, self._next_sequence()))
            await asyncio.wait((self._unbound, self._lost), timeout=GRACE_SECONDS, return_when="FIRST_COMPLETED")
            self._shut("unbound by this side")
        await asyncio.wait((self._lost,), timeout=2 * GRACE_SECONDS)

    def _busy(self) -> bool:
        return bool(self._open)

    def _shut(self, reason: str) -> None:
        """Close the connection for `reason`, the first of which counts; what was not written yet never will be."""
        if self.closed:
            return
        self.close_reason = reason
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
            self._loop.call_later(GRACE_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits (called by asyncio)."""
        if self.close_reason is None:
            self._shut(f"the connection broke: {exc}" if exc else "the peer closed the connection")
        reason = self.close_reason or ""
        for sequence, (future, _) in self._open.items():
            self._fail(future, sequence, reason)
        self._open.clear()
        self._overdue.clear()
        self._wake_waiters()
        if not self._lost.done():
            self._lost.set_result(None)
        self._ended(reason)
