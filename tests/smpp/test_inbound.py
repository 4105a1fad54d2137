"""Inbound messages as deliver_sm bring them (smpp/inbound.py)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.inbound import join_text, read_piece
from smpp.pdu import Deliver, decode_deliver, encode_deliver
from smpp.text import encode_parts

PHONE, NUMBER = "+61412345678", "+61480000001"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=400)


def deliver(payload: bytes, data_coding: int = 0, esm_class: int = 0, **tlvs: bytes) -> Deliver:
    tags = {"reference": 0x020C, "total": 0x020E, "sequence": 0x020F}
    found = {tags[name]: value for name, value in tlvs.items()}
    return Deliver(PHONE, NUMBER, payload, data_coding, esm_class, found)


@pytest.mark.parametrize(
    ("data_coding", "payload", "text"),
    [
        (0, b"Price \x1be5, \x00 home", "Price €5, @ home"), (1, b"ASCII", "ASCII"),
        (3, "Grüße".encode("latin-1"), "Grüße"),
        (8, "日本 🦊".encode("utf-16-be"), "日本 🦊"), (0xF1, b"Class 1", "Class 1"), (8, b"\0A\0\0\0B", "AB"),
        (8, b"\xd8\x3d\0!", "\ufffd!"), (0, b"", ""),
    ],
)  # fmt: skip
def test_each_alphabet_is_read(data_coding: int, payload: bytes, text: str):
    piece = read_piece(deliver(payload, data_coding))
    assert (piece.text, piece.reference, piece.total, piece.sequence) == (text, "", 1, 1)


def test_headers_of_8_and_of_16_bits_and_sar_name_the_piece():
    short = read_piece(deliver(b"\x05\x00\x03\x2a\x03\x02two", esm_class=0x40))
    long = read_piece(deliver(b"\x06\x08\x04\x01\x2a\x03\x02two", esm_class=0x40))
    sar = read_piece(deliver(b"two", reference=b"\x01\x2a", total=b"\x03", sequence=b"\x02"))
    assert [(one.reference, one.total, one.sequence, one.text, one.octets) for one in (short, long, sar)] == [
        ("42", 3, 2, "two", b"two"), ("298", 3, 2, "two", b"two"), ("sar-298", 3, 2, "two", b"two"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "esm_class"),
    [
        (b"\x05\x00\x03\x2a\x00\x01text", 0x40), (b"\x05\x00\x03\x2a\x02\x03text", 0x40),
        (b"\x05\x00\x03\x2a\x02\x00text", 0x40), (b"\x05\x00\x03\x2a\x01\x01text", 0x40), (b"text", 0),
        (b"\x06\x05\x04\x0b\x84\x23\xf0text", 0x40),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_make_a_whole_message(payload: bytes, esm_class: int):
    piece = read_piece(deliver(payload, esm_class=esm_class))
    assert (piece.text, piece.reference, piece.total, piece.sequence) == ("text", "", 1, 1)


def test_half_named_sar_makes_a_whole_message():
    assert read_piece(deliver(b"text", reference=b"\x01\x2a", total=b"\x03")).total == 1


def test_a_text_in_message_payload_is_read():
    text = "Long " * 100
    sent = Deliver(PHONE, NUMBER, text.encode("utf-16-be"), 8)
    assert read_piece(decode_deliver(encode_deliver(sent, 1))).text == text


@given(TEXT, st.integers(0, 255))
def test_what_the_portal_would_send_is_read_back_whole(text: str, reference: int):
    pieces = [
        read_piece(
            decode_deliver(encode_deliver(Deliver(PHONE, NUMBER, part.payload, part.data_coding, part.esm_class), 1))
        )
        for part in encode_parts(text, reference)
    ]
    assert {piece.total for piece in pieces} == {len(pieces)}
    assert [piece.sequence for piece in pieces] == list(range(1, len(pieces) + 1))
    assert join_text([(piece.data_coding, piece.octets) for piece in pieces]) == text


@given(
    TEXT, st.sampled_from([(8, "utf-16-be"), (0, "gsm0338"), (3, "latin-1")]), st.lists(st.integers(0, 900), max_size=6)
)
def test_octets_cut_anywhere_are_one_text_again(text: str, alphabet: tuple[int, str], cuts: list[int]):
    data_coding, codec = alphabet
    # Characters that the alphabet lacks become its question mark; the bare escape is no character.
    octets = text.replace("\x1b", "?").encode(codec, "replace")
    bounds = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    pieces = [octets[begin:end] for begin, end in pairwise(bounds)]
    assert join_text([(data_coding, piece) for piece in pieces]) == join_text([(data_coding, octets)])


@given(
    st.binary(max_size=300),
    st.integers(0, 255),
    st.integers(0, 255),
    st.dictionaries(st.sampled_from([0x020C, 0x020E, 0x020F]), st.binary(max_size=3)),
)
def test_nothing_that_a_carrier_sends_breaks_it(
    payload: bytes, data_coding: int, esm_class: int, tlvs: dict[int, bytes]
):
    piece = read_piece(Deliver(PHONE, NUMBER, payload, data_coding, esm_class, tlvs))
    assert "\0" not in piece.text
    piece.text.encode()
    assert 1 <= piece.sequence <= piece.total
    assert (piece.total > 1) == bool(piece.reference)
