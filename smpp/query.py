"""query_sm: asking a carrier what became of a message (SMPP 3.4, 4.8)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from smpp import pdu as wire
from smpp.pdu import PduError, Status
from smpp.receipts import BY_STATE, STATE_OF, ReceiptStatus

MAX_ID_OCTETS: Final = 64
_QUARTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Query:
    """A query_sm: the carrier's id of a message, and the sender with which it was submitted."""

    carrier_id: str
    source: str


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The answer to a query_sm: `status` 0 is an answer, and then `state` is what became of the message.

    `error_code` is the network's own, 0 for none. `done_at` is UTC, None while the message is on its way or when the
    carrier gave no readable time.
    """

    status: int
    carrier_id: str = ""
    state: ReceiptStatus = ReceiptStatus.UNKNOWN
    error_code: int = 0
    done_at: datetime | None = None


def encode_query(carrier_id: str, source: wire.Address, sequence: int) -> bytes:
    """Encode a query_sm; raises PduError when a field does not fit."""
    for name, text, limit, status in (
        ("The message id", carrier_id, MAX_ID_OCTETS, Status.ESME_RINVMSGID),
        ("The sender", source.text, 20, Status.ESME_RINVSRCADR),
    ):
        if len(text) > limit or not text.isascii() or "\0" in text:
            raise PduError(f"{name} {text!r} must have at most {limit} ASCII characters.", status)
    body = carrier_id.encode() + b"\0" + bytes((source.ton, source.npi)) + source.text.encode() + b"\0"
    return wire.encode(wire.QUERY_SM, sequence, body=body)


def decode_query(pdu: bytes) -> Query:
    """Decode a whole query_sm; raises PduError with the status to answer when it is broken."""
    carrier_id, end, rest = pdu[16:].partition(b"\0")
    source, source_end, left = rest[2:].partition(b"\0")
    if not (end and source_end) or left or len(carrier_id) > MAX_ID_OCTETS or len(source) > 20:
        raise PduError("A query is cut short or too long.", Status.ESME_RINVCMDLEN)
    text = source.decode("latin-1")
    return Query(carrier_id.decode("latin-1"), wire.international(text, rest[0]))


def encode_query_answer(answer: QueryAnswer, sequence: int) -> bytes:
    """Encode a query_sm_resp; it has no body when the status is an error, as with the other answers."""
    command = wire.QUERY_SM | wire.RESPONSE
    if answer.status:
        return wire.encode(command, sequence, answer.status)
    date = f"{answer.done_at.astimezone(UTC):%y%m%d%H%M%S}000+" if answer.done_at else ""
    body = answer.carrier_id.encode("ascii", "replace") + b"\0" + date.encode() + b"\0"
    return wire.encode(command, sequence, body=body + bytes((STATE_OF[answer.state], answer.error_code & 0xFF)))


def decode_query_answer(status: int, pdu: bytes) -> QueryAnswer:
    """Read a query_sm_resp; never raises: what is cut short or means nothing leaves the state UNKNOWN."""
    carrier_id, _, rest = pdu[16:].partition(b"\0")
    date, _, end = rest.partition(b"\0")
    if status or len(end) < 2:
        return QueryAnswer(status or Status.ESME_RQUERYFAIL)
    state = BY_STATE.get(end[0], ReceiptStatus.UNKNOWN)
    return QueryAnswer(0, carrier_id.decode("latin-1"), state, end[1], _moment(date.decode("latin-1")))


def _moment(text: str) -> datetime | None:
    """Read an absolute time of SMPP 3.4, 7.1.1: YYMMDDhhmmss, tenths, quarters of an hour from UTC, + or -."""
    digits, sign = text[:15], text[15:]
    if not (len(digits) == 15 and digits.isascii() and digits.isdigit() and sign in ("+", "-")):
        return None
    offset = int(digits[13:]) * (1 if sign == "+" else -1)
    try:
        local = datetime.strptime(digits[:12], "%y%m%d%H%M%S").replace(tzinfo=timezone(offset * _QUARTER))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
