"""The PDUs this layer speaks, as plain values, over the `smpp34` codec.

`smpp34` encodes and decodes submit_sm and deliver_sm in about a microsecond but checks neither the lengths nor the
characters of addresses (SMPP 3.4, 4.4.1), and has no codec for binds in Python; both are done here.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from smpp34 import DeliverSm, SmppError, SubmitSm, Tlv, decode

from smpp.text import EncodedPart

_Message = TypeVar("_Message", SubmitSm, DeliverSm)

HEADER: Final = struct.Struct(">4I")  # command_length, command_id, command_status, sequence_number
MAX_PDU_OCTETS: Final = 65_536
MAX_PAYLOAD_OCTETS: Final = 64_000  # with its optional parameters; the rest of a PDU has room beside it
MAX_SHORT_MESSAGE: Final = 254
MAX_SEQUENCE: Final = 0x7FFFFFFF
RESPONSE: Final = 0x80000000

GENERIC_NACK: Final = 0x80000000
BIND_RECEIVER: Final = 0x00000001
BIND_TRANSMITTER: Final = 0x00000002
QUERY_SM: Final = 0x00000003
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
REPLACE_SM: Final = 0x00000007
CANCEL_SM: Final = 0x00000008
BIND_TRANSCEIVER: Final = 0x00000009
OUTBIND: Final = 0x0000000B
ENQUIRE_LINK: Final = 0x00000015
SUBMIT_MULTI: Final = 0x00000021
ALERT_NOTIFICATION: Final = 0x00000102
DATA_SM: Final = 0x00000103

BIND_COMMANDS: Final = {
    "receiver": BIND_RECEIVER,
    "transmitter": BIND_TRANSMITTER,
    "transceiver": BIND_TRANSCEIVER,
}
BIND_NAMES: Final = {command: name for name, command in BIND_COMMANDS.items()}

TLV_SC_INTERFACE_VERSION: Final = 0x0210
TLV_MESSAGE_PAYLOAD: Final = 0x0424
INTERFACE_VERSION: Final = 0x34


class Status(IntEnum):
    """command_status values of SMPP 3.4, 5.1.3, by their names in the standard. Carriers add their own numbers."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RCANCELFAIL = 0x11
    ESME_RREPLACEFAIL = 0x13
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVESMCLASS = 0x43
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RQUERYFAIL = 0x67
    ESME_RINVPARLEN = 0xC2
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF


def status_name(status: int) -> str:
    """Name a command_status for people and logs; a carrier's own number is shown in hexadecimal."""
    return Status(status).name if status in Status._value2member_map_ else f"carrier status 0x{status:08X}"


class PduError(ValueError):
    """A PDU that cannot be sent or was received broken; the message names the field, `status` is SMPP's word for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Address(NamedTuple):
    """An SMPP address: type of number, numbering plan and the digits or letters themselves."""

    ton: int
    npi: int
    text: str


class Submit(NamedTuple):
    """A submit_sm. `source` and `destination` are E.164 with or without "+", a short code, or (source) a name.

    `registered_delivery` 0 asks for no receipt, 1 for one at the end, 2 for one on failure only. `validity_period` is
    SMPP's 16 characters ("000001000000000R" is one day) or empty for the carrier's own; `priority` is 0 to 3.
    `tlvs` are optional parameters as (tag, octets).
    """

    source: str
    destination: str
    part: EncodedPart
    registered_delivery: int = 1
    validity_period: str = ""
    priority: int = 0
    service_type: str = ""
    tlvs: tuple[tuple[int, bytes], ...] = ()


class SubmitAnswer(NamedTuple):
    """The answer to a submit_sm: `status` 0 is acceptance, and then `carrier_id` is the carrier's id of the message."""

    status: int
    carrier_id: str = ""


class Deliver(NamedTuple):
    """A deliver_sm: a receipt or an inbound message. A message_payload parameter is already read into `payload`."""

    source: str
    destination: str
    payload: bytes
    data_coding: int = 0
    esm_class: int = 0
    tlvs: Mapping[int, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BindRequest:
    """Who wants to bind and as what: `bind` is "transmitter", "receiver" or "transceiver"; `peer` is host:port."""

    system_id: str
    password: str
    system_type: str
    bind: str
    interface_version: int
    peer: str


def address(text: str) -> Address:
    """Choose TON and NPI by the look of an address, the way carriers read them.

    Letters make an alphanumeric sender (5/0), up to 6 digits a short code (3/0), anything longer or with "+" an
    international number (1/1) in digits only.
    """
    if not text:
        return Address(0, 0, "")
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return Address(5, 0, text)
    if digits is text and len(digits) <= 6:
        return Address(3, 0, digits)
    return Address(1, 1, digits)


def encode_submit(submit: Submit, source: Address, destination: Address, sequence: int) -> bytes:
    """Encode a submit_sm; raises PduError when a field does not fit SMPP 3.4, 4.4.1."""
    ton, npi, digits = destination
    _check_address("The recipient", digits, 20, Status.ESME_RINVDSTADR)
    if not digits:
        raise PduError("The recipient is empty.", Status.ESME_RINVDSTADR)
    frame = _frame if _is_kept(submit) else _frame.__wrapped__
    try:
        before, after = frame(source, ton, npi, *submit[2:])
    except PduError:
        raise
    except (ValueError, OverflowError, SmppError) as error:
        message = f"The message to {submit.destination} cannot be encoded: {error}."
        raise PduError(message, Status.ESME_RSYSERR) from error
    length = HEADER.size + len(before) + len(digits) + len(after)
    return b"%b%b%b%b" % (HEADER.pack(length, SUBMIT_SM, 0, sequence), before, digits.encode(), after)


def _is_kept(submit: Submit) -> bool:
    """Whether its frame is small enough to be remembered."""
    return not submit.tlvs and len(submit.part.payload) <= MAX_SHORT_MESSAGE


@lru_cache(maxsize=1024)
def _frame(
    source: Address, ton: int, npi: int, part: EncodedPart, registered_delivery: int, validity_period: str,
    priority: int, service_type: str, parameters: tuple[tuple[int, bytes], ...],
) -> tuple[bytes, bytes]:  # fmt: skip
    """The body of a submit_sm before and after the recipient: the messages of a batch differ in nothing else."""
    _check_address("The sender", source.text, 11 if source.ton == 5 else 20, Status.ESME_RINVSRCADR)
    _check_address("The service type", service_type, 5, Status.ESME_RINVSERTYP)
    if len(validity_period) not in (0, 16):
        raise PduError(f"The validity period {validity_period!r} must have 16 characters.", Status.ESME_RINVEXPIRY)
    data_coding, esm_class, payload = part
    payload, tlvs = _fitted(payload, parameters)
    pdu = SubmitSm(
        source.text,
        "",
        payload,
        service_type=service_type,
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        dest_addr_ton=ton,
        dest_addr_npi=npi,
        esm_class=esm_class,
        priority_flag=priority,
        validity_period=validity_period,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        tlvs=tlvs,
    ).encode()
    # Two texts that end with NUL, and type and plan of the source and of the recipient, stand before its digits.
    digits_at = HEADER.size + len(service_type) + len(source.text) + 6
    return pdu[HEADER.size : digits_at], pdu[digits_at:]


def decode_submit(pdu: bytes) -> Submit:
    """Decode a whole submit_sm; raises PduError with the status to answer when it is broken."""
    sm = _decode(pdu, SubmitSm)
    _check_address("The sender", sm.source_addr, 20, Status.ESME_RINVSRCADR)
    _check_address("The recipient", sm.destination_addr, 20, Status.ESME_RINVDSTADR)
    tlvs = tuple((tlv.tag, bytes(tlv.value)) for tlv in sm.tlvs)
    payload = sm.short_message or next((value for tag, value in tlvs if tag == TLV_MESSAGE_PAYLOAD), b"")
    return Submit(
        source=international(sm.source_addr, sm.source_addr_ton),
        destination=international(sm.destination_addr, sm.dest_addr_ton),
        part=EncodedPart(sm.data_coding, sm.esm_class, payload),
        registered_delivery=sm.registered_delivery,
        validity_period=sm.validity_period,
        priority=sm.priority_flag,
        service_type=sm.service_type,
        tlvs=tlvs,
    )


def encode_deliver(deliver: Deliver, sequence: int) -> bytes:
    """Encode a deliver_sm; raises PduError when a field does not fit."""
    source, target = address(deliver.source), address(deliver.destination)
    _check_address("The sender", source.text, 20, Status.ESME_RINVSRCADR)
    _check_address("The recipient", target.text, 20, Status.ESME_RINVDSTADR)
    try:
        payload, tlvs = _fitted(deliver.payload, deliver.tlvs.items())
        return DeliverSm(
            source.text,
            target.text,
            payload,
            source_addr_ton=source.ton,
            source_addr_npi=source.npi,
            dest_addr_ton=target.ton,
            dest_addr_npi=target.npi,
            esm_class=deliver.esm_class,
            data_coding=deliver.data_coding,
            tlvs=tlvs,
            sequence_number=sequence,
        ).encode()
    except PduError:
        raise
    except (ValueError, OverflowError, SmppError) as error:
        raise PduError(f"The message from {deliver.source} cannot be encoded: {error}.", Status.ESME_RSYSERR) from error


def decode_deliver(pdu: bytes) -> Deliver:
    """Decode a whole deliver_sm; raises PduError with the status to answer when it is broken."""
    sm = _decode(pdu, DeliverSm)
    tlvs = {tlv.tag: bytes(tlv.value) for tlv in sm.tlvs}
    return Deliver(
        source=international(sm.source_addr, sm.source_addr_ton),
        destination=international(sm.destination_addr, sm.dest_addr_ton),
        payload=sm.short_message or tlvs.get(TLV_MESSAGE_PAYLOAD, b""),
        data_coding=sm.data_coding,
        esm_class=sm.esm_class,
        tlvs=tlvs,
    )


def _fitted(payload: bytes, parameters: Iterable[tuple[int, bytes]]) -> tuple[bytes, list[Tlv]]:
    """Put the payload where it fits; the codec would write a length of 16 bits over whatever it is given."""
    tlvs = [Tlv(tag, value) for tag, value in parameters]
    if sum(len(tlv.value) for tlv in tlvs) + len(payload) > MAX_PAYLOAD_OCTETS:
        raise PduError(f"The payload has {len(payload)} octets; {MAX_PAYLOAD_OCTETS} fit.", Status.ESME_RINVMSGLEN)
    if len(payload) <= MAX_SHORT_MESSAGE:
        return payload, tlvs
    return b"", [*tlvs, Tlv(TLV_MESSAGE_PAYLOAD, payload)]


def encode(command: int, sequence: int, status: int = 0, body: bytes = b"") -> bytes:
    """Encode any PDU from its header fields and a ready body."""
    return HEADER.pack(16 + len(body), command, status, sequence) + body


def encode_message_id(command: int, sequence: int, status: int, message_id: str = "") -> bytes:
    """Encode submit_sm_resp or deliver_sm_resp; SMPP 3.4, 4.4.2 leaves the body out when the status is an error."""
    body = b"" if status else message_id.encode("ascii", "replace") + b"\0"
    return encode(command | RESPONSE, sequence, status, body)


def decode_message_id(pdu: bytes) -> str:
    """Read the message id of a submit_sm_resp; empty when there is none."""
    return pdu[16:].partition(b"\0")[0].decode("latin-1")


def encode_bind(command: int, sequence: int, system_id: str, password: str, system_type: str) -> bytes:
    """Encode a bind request; raises PduError when a field is not ASCII or longer than this side accepts."""
    body = b""
    limits = (("system_id", system_id, 15), ("password", password, 64), ("system_type", system_type, 12))
    for name, value, limit in limits:
        if not value.isascii() or "\0" in value or len(value) > limit:
            raise PduError(f"The {name} must be at most {limit} ASCII characters.", Status.ESME_RBINDFAIL)
        body += value.encode() + b"\0"
    return encode(command, sequence, body=body + bytes((INTERFACE_VERSION, 0, 0, 0)))


def decode_bind(command: int, pdu: bytes, peer: str) -> BindRequest:
    """Decode a bind request; raises PduError when it is broken."""
    fields = pdu[16:].split(b"\0", 3)
    if len(fields) != 4 or len(fields[3]) < 4:
        raise PduError("The bind is cut short.", Status.ESME_RINVCMDLEN)
    system_id, password, system_type = (value.decode("latin-1") for value in fields[:3])
    return BindRequest(system_id, password, system_type, BIND_NAMES[command], fields[3][0], peer)


def encode_bind_answer(command: int, sequence: int, status: int, system_id: str) -> bytes:
    """Encode the answer to a bind, naming SMPP 3.4 as the version spoken."""
    if status:
        return encode(command | RESPONSE, sequence, status)
    version = struct.pack(">HHB", TLV_SC_INTERFACE_VERSION, 1, INTERFACE_VERSION)
    return encode(command | RESPONSE, sequence, body=system_id.encode("ascii", "replace") + b"\0" + version)


def _decode(pdu: bytes, kind: type[_Message]) -> _Message:
    try:
        decoded = decode(pdu)
    except (SmppError, ValueError) as error:
        raise PduError(f"A PDU cannot be read: {error}", Status.ESME_RINVCMDLEN) from error
    if not isinstance(decoded, kind):
        raise PduError("A PDU is not of the kind that its header says.", Status.ESME_RINVCMDID)
    return decoded


def international(text: str, ton: int) -> str:
    """The address as this layer writes it: an international number has its "+"."""
    return f"+{text}" if ton == 1 and text.isdigit() else text


def _check_address(name: str, text: str, limit: int, status: int) -> None:
    if not text.isascii() or not text.isprintable():
        raise PduError(f"{name} {text!r} may have printable ASCII characters only.", status)
    if len(text) > limit:
        raise PduError(f"{name} {text!r} has {len(text)} characters; at most {limit} fit.", status)
