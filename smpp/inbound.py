"""Inbound messages as deliver_sm brings them: their text, and which piece of a long message they are.

Long messages come in pieces that name each other in one of two ways: by a header in front of the text (3GPP TS 23.040,
9.2.3.24.1 and .8, references of 8 and of 16 bits) or by the optional parameters sar_msg_ref_num, sar_total_segments and
sar_segment_seqnum (SMPP 3.4, 5.3.2.22 to .24). A phone may split a character over two pieces, so a long message is
decoded from all its octets at once (`join_text`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from smpp.pdu import Deliver
from smpp.text import Concatenation, decode_payload, split_header

TLV_SAR_REFERENCE: Final = 0x020C
TLV_SAR_TOTAL: Final = 0x020E
TLV_SAR_SEQUENCE: Final = 0x020F


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole message (`reference` "", `total` 1) or one of its pieces; `octets` are its text without any header."""

    text: str
    octets: bytes
    data_coding: int
    reference: str = ""
    total: int = 1
    sequence: int = 1


def read_piece(deliver: Deliver) -> Piece:
    """Read an inbound message; never raises. What a piece's numbers cannot mean is taken for a whole message."""
    octets, concatenation = split_header(deliver.esm_class, deliver.payload)
    reference = f"{concatenation.reference}" if concatenation else ""
    if concatenation is None and (concatenation := _read_sar(deliver.tlvs)) is not None:
        reference = f"sar-{concatenation.reference}"
    text = join_text([(deliver.data_coding, octets)])
    if concatenation is None or not 1 <= concatenation.sequence <= concatenation.total or concatenation.total == 1:
        return Piece(text, octets, deliver.data_coding)
    return Piece(text, octets, deliver.data_coding, reference, concatenation.total, concatenation.sequence)


def join_text(pieces: Sequence[tuple[int, bytes]]) -> str:
    """Decode the (data_coding, octets) of neighbouring pieces in their order, without what no database can store.

    Pieces of one alphabet are decoded together; a sender may change it in between, for a last piece without accents.
    """
    runs: list[tuple[int, bytes]] = []
    for data_coding, octets in pieces:
        if runs and runs[-1][0] == data_coding:
            runs[-1] = data_coding, runs[-1][1] + octets
        else:
            runs.append((data_coding, octets))
    return "".join(decode_payload(data_coding, 0, octets)[0] for data_coding, octets in runs).replace("\0", "")


def _read_sar(tlvs: Mapping[int, bytes]) -> Concatenation | None:
    values = [tlvs.get(tag) for tag in (TLV_SAR_REFERENCE, TLV_SAR_TOTAL, TLV_SAR_SEQUENCE)]
    if None in values:
        return None
    reference, total, sequence = (int.from_bytes(value or b"", "big") for value in values)
    return Concatenation(reference, total, sequence)
