"""A bound session to a carrier: submits within a window, hands over receipts, and acknowledges them only when stored.

    session = await ClientSession.connect(config, on_deliver, on_close)
    await session.wait_for_slot()
    answer = await session.submit(Submit("Shop", "+61400000000", part))
    await session.close()

What becomes of a submit is one of: SubmitAnswer (the carrier's word), NotSent (send it again), AnswerLost (never send
it again blindly), or PduError (it cannot be sent at all). Reconnecting is the caller's business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

from smpp import pdu as wire
from smpp.link import AnswerLost, Link, NotSent, logger
from smpp.pdu import Address, Deliver, PduError, Status, Submit, SubmitAnswer, address, status_name
from smpp.query import QueryAnswer, decode_query_answer, encode_query

__all__ = [
    "AnswerLost",
    "BindRefused",
    "ClientConfig",
    "ClientSession",
    "ConnectionFailed",
    "Deliver",
    "DeliverRefused",
    "NotSent",
    "PduError",
    "QueryAnswer",
    "Submit",
    "SubmitAnswer",
]

OnDeliver = Callable[[list[Deliver]], Awaitable[None]]
OnClose = Callable[[str], None]

# deliver_sm waiting for on_deliver, and their octets; beyond it the carrier is asked to come back later.
MAX_INBOX: Final = 20_000
MAX_INBOX_OCTETS: Final = 16 * 1024 * 1024
_SUBMIT_ANSWER: Final = wire.SUBMIT_SM | wire.RESPONSE
_QUERY_ANSWER: Final = wire.QUERY_SM | wire.RESPONSE
MAX_WARNINGS: Final = 20  # of one session, on PDUs that cannot be read; more would only fill the log


class ConnectionFailed(Exception):
    """No session came about: the host was not reached, or it went away before it answered the bind."""


class BindRefused(Exception):
    """The carrier answered the bind with an error; `status` is its command_status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The carrier refused the bind with {status_name(status)}.")
        self.status = status


class DeliverRefused(Exception):
    """Raised by on_deliver to answer its whole batch with `status` instead of the temporary error."""

    def __init__(self, status: int) -> None:
        super().__init__(status_name(status))
        self.status = status


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How to reach and treat one carrier. `bind` is "transceiver", "transmitter" or "receiver".

    `window` is the most unanswered submits the carrier allows. The four TON/NPI fields overrule, when set, what
    `smpp.pdu.address` chooses by the look of an address.
    """

    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    bind: str = "transceiver"
    window: int = 50
    enquire_link_seconds: float = 15
    response_timeout_seconds: float = 30
    connect_timeout_seconds: float = 10
    source_ton: int | None = None
    source_npi: int | None = None
    destination_ton: int | None = None
    destination_npi: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings that could never work; raises ValueError naming the field."""
        if self.bind not in wire.BIND_COMMANDS:
            raise ValueError(f"bind is {self.bind!r}; it must be one of {', '.join(wire.BIND_COMMANDS)}.")
        if self.window < 1:
            raise ValueError(f"window is {self.window}; at least one submit must be allowed on its way.")
        wire.encode_bind(wire.BIND_COMMANDS[self.bind], 1, self.system_id, self.password, self.system_type)


class ClientSession(Link[SubmitAnswer | QueryAnswer]):
    """A bound session; make it with `connect`. Not safe across threads or event loops."""

    def __init__(self, config: ClientConfig, on_deliver: OnDeliver, on_close: OnClose) -> None:
        super().__init__(
            window=config.window,
            enquire_link_seconds=config.enquire_link_seconds,
            response_timeout_seconds=config.response_timeout_seconds,
        )
        self._config = config
        self._on_deliver = on_deliver
        self._on_close = on_close
        self._bind_status: asyncio.Future[int] = self._loop.create_future()
        self._inbox: list[tuple[int, Deliver]] = []
        self._inbox_octets = 0
        self._warnings = 0
        self._delivering: asyncio.Task[None] | None = None
        self._queries: set[int] = set()  # sequence numbers of queries: what answers them must be such an answer

    @classmethod
    async def connect(cls, config: ClientConfig, on_deliver: OnDeliver, on_close: OnClose) -> "ClientSession":
        """Connect and bind.

        `on_deliver` is awaited with all deliver_sm of one read at a time, batches strictly after each other; their
        deliver_sm_resp are written only after it returned. When it raises, the carrier is told ESME_RX_T_APPN (come
        back later) or the status of a DeliverRefused. `on_close` is called once with the reason when a session that
        was bound has ended, whoever ended it.

        Raises ConnectionFailed, or BindRefused with the carrier's status.
        """
        loop = asyncio.get_running_loop()
        where = f"{config.host}:{config.port}"
        try:
            async with asyncio.timeout(config.connect_timeout_seconds):
                _, session = await loop.create_connection(
                    lambda: cls(config, on_deliver, on_close), config.host, config.port
                )
        except TimeoutError as error:
            message = f"{where} did not answer within {config.connect_timeout_seconds:g} s."
            raise ConnectionFailed(message) from error
        except OSError as error:
            raise ConnectionFailed(f"{where} cannot be reached: {error}.") from error
        try:
            await session._bind(where)
        except BaseException:
            session._shut("the bind failed")
            raise
        return session

    def submit(self, submit: Submit) -> "asyncio.Future[SubmitAnswer]":
        """Send one submit_sm; never raises and never waits: every outcome comes by the future.

        The future resolves to SubmitAnswer, or raises NotSent (also when the window is full or the session over),
        AnswerLost, or PduError when a field does not fit.
        """
        future = self._request(
            lambda sequence: wire.encode_submit(
                submit, self._source(submit.source), self._destination(submit.destination), sequence
            )
        )
        return cast("asyncio.Future[SubmitAnswer]", future)

    async def query(self, carrier_id: str, source: str) -> QueryAnswer:
        """Ask what became of a message, by the carrier's id and the sender it was submitted with (query_sm).

        Takes a slot of the window, waiting for one. A status other than 0 is the carrier's refusal: ESME_RINVMSGID or
        ESME_RQUERYFAIL where it does not know the message, ESME_RINVCMDID where it answers no queries. Asking again
        does no harm. Raises NotSent, AnswerLost, or PduError when a field does not fit.
        """
        await self.wait_for_slot()

        def build(sequence: int) -> bytes:
            pdu = encode_query(carrier_id, self._source(source), sequence)
            self._queries.add(sequence)
            return pdu

        return cast(QueryAnswer, await self._request(build))

    def _source(self, text: str) -> Address:
        found, config = _sender(text), self._config
        if config.source_ton is None and config.source_npi is None:
            return found
        return _overruled(found, config.source_ton, config.source_npi)

    def _destination(self, text: str) -> Address:
        digits, config = text.removeprefix("+"), self._config
        found = Address(1, 1, digits) if digits.isdigit() else address(text)
        if config.destination_ton is None and config.destination_npi is None:
            return found
        return _overruled(found, config.destination_ton, config.destination_npi)

    async def _bind(self, where: str) -> None:
        config = self._config
        sequence = self._next_sequence()
        command = wire.BIND_COMMANDS[config.bind]
        self._write(wire.encode_bind(command, sequence, config.system_id, config.password, config.system_type))
        await asyncio.wait(
            (self._bind_status, self._lost), timeout=config.response_timeout_seconds, return_when="FIRST_COMPLETED"
        )
        if not self._bind_status.done():
            what = self.close_reason or f"no answer within {config.response_timeout_seconds:g} s"
            raise ConnectionFailed(f"{where} did not answer the bind: {what}.")
        if status := self._bind_status.result():
            raise BindRefused(status)

    def _received(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        if command == _SUBMIT_ANSWER:
            if sequence not in self._queries:
                self._answered(sequence, SubmitAnswer(status, wire.decode_message_id(pdu)))
        elif command == wire.DELIVER_SM:
            self._take_deliver(sequence, pdu)
        elif command == _QUERY_ANSWER:
            if sequence in self._queries:
                self._queries.discard(sequence)
                self._answered(sequence, decode_query_answer(status, pdu))
        elif command == wire.BIND_COMMANDS[self._config.bind] | wire.RESPONSE:
            if not self._bind_status.done():
                self._bind_status.set_result(status)
        elif not command & wire.RESPONSE and command not in (wire.ALERT_NOTIFICATION, wire.OUTBIND):
            self._write(wire.encode(wire.GENERIC_NACK, sequence, Status.ESME_RINVCMDID))

    def _nacked(self, sequence: int, status: int) -> SubmitAnswer | QueryAnswer:
        if not self._bind_status.done():
            self._bind_status.set_result(status)
        if sequence in self._queries:
            self._queries.discard(sequence)
            return QueryAnswer(status)
        return SubmitAnswer(status)

    def _take_deliver(self, sequence: int, pdu: bytes) -> None:
        try:
            if not self._is_bound:
                raise PduError("It came before the bind was answered.", Status.ESME_RINVBNDSTS)
            if len(self._inbox) >= MAX_INBOX or self._inbox_octets + len(pdu) > MAX_INBOX_OCTETS:
                raise PduError("Too many deliver_sm wait.", Status.ESME_RMSGQFUL)
            self._inbox.append((sequence, wire.decode_deliver(pdu)))
            self._inbox_octets += len(pdu)
        except PduError as error:
            self._warn("a deliver_sm is refused: %s", error)
            self._write(wire.encode_message_id(wire.DELIVER_SM, sequence, error.status))

    def _warn(self, text: str, detail: object) -> None:
        self._warnings += 1
        if self._warnings <= MAX_WARNINGS:
            logger.warning(f"%s: {text}", self.peer, detail)
        if self._warnings == MAX_WARNINGS:
            logger.warning("%s: further such PDUs of this session are not told", self.peer)

    @property
    def _is_bound(self) -> bool:
        return self._bind_status.done() and self._bind_status.result() == Status.ESME_ROK

    def _read_done(self) -> None:
        if self._inbox and self._delivering is None:
            self._delivering = self._loop.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        try:
            while self._inbox:
                batch, self._inbox, self._inbox_octets = self._inbox, [], 0
                status = await self._outcome([deliver for _, deliver in batch])
                self._write(b"".join(wire.encode_message_id(wire.DELIVER_SM, one, status) for one, _ in batch))
        finally:
            self._delivering = None

    async def _outcome(self, delivers: list[Deliver]) -> int:
        try:
            await self._on_deliver(delivers)
        except DeliverRefused as refusal:
            return refusal.status
        except Exception:
            logger.exception("%s: %d deliver_sm were not taken and will come again", self.peer, len(delivers))
            return Status.ESME_RX_T_APPN
        return Status.ESME_ROK

    def _busy(self) -> bool:
        return bool(self._open) or self._delivering is not None

    def _ended(self, reason: str) -> None:
        if self._is_bound:
            self._on_close(reason)


@lru_cache(maxsize=1024)
def _sender(text: str) -> Address:
    return address(text)


def _overruled(found: Address, ton: int | None, npi: int | None) -> Address:
    return Address(found.ton if ton is None else ton, found.npi if npi is None else npi, found.text)
