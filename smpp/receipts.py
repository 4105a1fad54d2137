"""Delivery receipts: what a carrier says became of a message.

SMPP 3.4, appendix B leaves the text form to the carrier; nearly all write "id:… sub:… dlvrd:… submit date:… done date:…
stat:… err:… text:…" with their own capitals and spaces. The optional parameters receipted_message_id, message_state and
network_error_code (5.3.2) say the same without doubt and win when both are there.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from smpp.pdu import Deliver
from smpp.text import decode_payload, split_header

TLV_RECEIPTED_MESSAGE_ID: Final = 0x001E
TLV_NETWORK_ERROR_CODE: Final = 0x0423
TLV_MESSAGE_STATE: Final = 0x0427
ESM_CLASS_RECEIPT: Final = 0x04
_ESM_CLASS_TYPE: Final = 0x3C
_RECEIPT_TYPES: Final = {0x04, 0x20}  # SMSC delivery receipt, intermediate notification (5.2.12)


class ReceiptStatus(StrEnum):
    """The states of a message by their short names in receipts (appendix B, table B-2)."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVRD"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIV"
    ACCEPTED = "ACCEPTD"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTD"

    @property
    def final(self) -> bool:
        """Whether nothing else can follow for the message."""
        return self not in (ReceiptStatus.ENROUTE, ReceiptStatus.ACCEPTED, ReceiptStatus.UNKNOWN)


class Receipt(NamedTuple):
    """One receipt. `carrier_id` is "" when the carrier sent none; `done_at` is UTC; `raw` is the text as received."""

    carrier_id: str
    status: ReceiptStatus
    error_code: str
    done_at: datetime | None
    raw: str


BY_STATE: Final = {
    1: ReceiptStatus.ENROUTE,
    2: ReceiptStatus.DELIVERED,
    3: ReceiptStatus.EXPIRED,
    4: ReceiptStatus.DELETED,
    5: ReceiptStatus.UNDELIVERABLE,
    6: ReceiptStatus.ACCEPTED,
    7: ReceiptStatus.UNKNOWN,
    8: ReceiptStatus.REJECTED,
}
STATE_OF: Final = {status: state for state, status in BY_STATE.items()}
# Carriers abbreviate differently ("DELIVERED", "UNDELIVERED", "FAILED"); four letters tell them all apart.
_BY_PREFIX: Final = {status.value[:4]: status for status in ReceiptStatus} | {"FAIL": ReceiptStatus.UNDELIVERABLE}
# The form of appendix B itself, in which most receipts come: read at one go.
_USUAL: Final = re.compile(
    r"id:([^\s:]*) sub:[0-9]* dlvrd:[0-9]* submit date:[0-9]* done date:([0-9]*) stat:(\w*) err:([^\s:]*) text:",
    re.IGNORECASE,
)
# An empty value ("id: sub:001") does not swallow the next field's name; an id may have colons of its own.
_FIELD: Final = re.compile(
    r"\b(id|stat|err|done[ _]?date)\s*:\s*((?!(?:sub|dlvrd|(?:submit|done)[ _]?date|stat|err|text)\s*:)\S*)",
    re.IGNORECASE,
)
_FIELD_OCTETS: Final = re.compile(rb"\b(?:id|stat)[ \t]*:", re.IGNORECASE)
_TEXT: Final = re.compile(r"\btext\s*:", re.IGNORECASE)
# YYMMDDhhmm (appendix B), with seconds, or with the whole year.
_DATE_LENGTHS: Final = (10, 12, 14)
_LONGEST_DATE: Final = 14


def parse_receipt(deliver: Deliver) -> Receipt | None:
    """Read a deliver_sm as a receipt; None when it is an ordinary inbound message. Never raises.

    A receipt is what esm_class says is one, or what names a receipted message id. Dates carry no zone and are read as
    UTC; an unreadable date is None, an unreadable state UNKNOWN.
    """
    tlvs = deliver.tlvs
    if deliver.esm_class & _ESM_CLASS_TYPE not in _RECEIPT_TYPES and TLV_RECEIPTED_MESSAGE_ID not in tlvs:
        return None
    raw = _text(deliver)
    usual = _USUAL.match(raw)
    carrier_id, done_date, word, error_code = usual.groups() if usual else _fields(raw)
    if not tlvs:
        return Receipt(carrier_id, _status(b"", word), error_code, _date(done_date), raw)
    named_id = tlvs.get(TLV_RECEIPTED_MESSAGE_ID, b"").partition(b"\0")[0].decode("latin-1").strip()
    return Receipt(
        carrier_id=named_id or carrier_id,
        status=_status(tlvs.get(TLV_MESSAGE_STATE, b""), word),
        error_code=error_code or _network_error(tlvs.get(TLV_NETWORK_ERROR_CODE, b"")),
        done_at=_date(done_date),
        raw=raw,
    )


def _text(deliver: Deliver) -> str:
    """Read the text form, whatever alphabet data_coding claims: some carriers repeat there that of the message.

    Under data_coding 0 carriers write receipts in ASCII, not in GSM-7: an "_" of an id must stay one.
    """
    if not deliver.data_coding or _FIELD_OCTETS.search(deliver.payload):
        text = split_header(deliver.esm_class, deliver.payload)[0].decode("latin-1")
    else:
        text = decode_payload(deliver.data_coding, deliver.esm_class, deliver.payload)[0]
    return text.replace("\0", "")


def format_receipt(receipt: Receipt, *, source: str, destination: str, submitted_at: datetime, text: str) -> Deliver:
    """Write the deliver_sm with which a carrier says `receipt`, in text and in optional parameters.

    `source` is the number the message went to, `destination` its sender; of `text` the first 20 characters are quoted.
    Times are in minutes, as appendix B has them: some clients give up their session over a digit more.
    """
    done_at = receipt.done_at or submitted_at
    delivered = "001" if receipt.status is ReceiptStatus.DELIVERED else "000"
    line = (
        f"id:{receipt.carrier_id} sub:001 dlvrd:{delivered} submit date:{submitted_at:%y%m%d%H%M}"
        f" done date:{done_at:%y%m%d%H%M} stat:{receipt.status} err:{receipt.error_code} text:{text[:20]}"
    )
    return Deliver(
        source=source,
        destination=destination,
        payload=line.encode("ascii", "replace"),
        esm_class=ESM_CLASS_RECEIPT,
        tlvs={
            TLV_RECEIPTED_MESSAGE_ID: receipt.carrier_id.encode() + b"\0",
            TLV_MESSAGE_STATE: bytes((STATE_OF[receipt.status],)),
        },
    )


def _fields(raw: str) -> tuple[str, str, str, str]:
    """Find id, date, state and error before the quoted text, which may itself contain anything; the first of each."""
    end = _TEXT.search(raw)
    found = _FIELD.findall(raw[: end.start()] if end else raw)
    fields = {_field_name(name): value for name, value in reversed(found)}
    return fields.get("id", ""), fields.get("donedate", ""), fields.get("stat", ""), fields.get("err", "")


@lru_cache(maxsize=64)
def _field_name(name: str) -> str:
    """One form of the few ways in which carriers write a field's name."""
    return re.sub("[ _]", "", name.lower())


def _status(state: bytes, word: str) -> ReceiptStatus:
    if len(state) == 1 and state[0] in BY_STATE:
        return BY_STATE[state[0]]
    return _BY_PREFIX.get(word.upper()[:4], ReceiptStatus.UNKNOWN)


def _network_error(value: bytes) -> str:
    """Read network_error_code: one octet for the kind of network, two for its number."""
    return f"{int.from_bytes(value[1:], 'big'):03d}" if len(value) == 3 else ""


@lru_cache(maxsize=4096)
def _date(digits: str) -> datetime | None:
    # By hand, and the same minute once: strptime takes longer than all else that is read of a receipt.
    if len(digits) not in _DATE_LENGTHS or not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits if len(digits) == _LONGEST_DATE else f"20{digits}"
    month, day, hour, minute, *second = (int(digits[at : at + 2]) for at in range(4, len(digits), 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, sum(second), tzinfo=UTC)
    except ValueError:
        return None
