import pytest
from hypothesis import given
from hypothesis import strategies as st
from smsutil.codecs import GSM_BASIC_CHARSET, GSM_EXT_CHARSET

from smpp.text import (
    GSM_7,
    UCS_2,
    Concatenation,
    Segments,
    TextTooLong,
    decode_payload,
    encode_parts,
    segment,
)

gsm_text = st.text(st.sampled_from((GSM_BASIC_CHARSET + GSM_EXT_CHARSET).replace("\x1b", "")), max_size=900)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
pairs_and_plain = st.text(st.sampled_from("a€é😀語"), min_size=60, max_size=300)


def rebuilt(text: str) -> str:
    return "".join(decode_payload(*part)[0] for part in encode_parts(text, 7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments(GSM_7, 0, 0, 1, 160)),
        ("a" * 160, Segments(GSM_7, 160, 160, 1, 0)),
        ("a" * 161, Segments(GSM_7, 161, 161, 2, 145)),
        ("a" * 306, Segments(GSM_7, 306, 306, 2, 0)),
        ("a" * 307, Segments(GSM_7, 307, 307, 3, 152)),
        ("€" * 80, Segments(GSM_7, 80, 160, 1, 0)),
        # 76 pairs fill 152 septets; the 153rd is left empty rather than split a pair.
        ("€" * 81, Segments(GSM_7, 81, 162, 2, 143)),
        ("a" * 152 + "€" + "b" * 10, Segments(GSM_7, 163, 164, 2, 141)),
        ("é" * 70, Segments(GSM_7, 70, 70, 1, 90)),
        ("ç" * 70, Segments(UCS_2, 70, 70, 1, 0)),
        ("ç" * 71, Segments(UCS_2, 71, 71, 2, 63)),
        ("😀" * 35, Segments(UCS_2, 35, 70, 1, 0)),
        # 33 pairs fill 66 of 67 units; the odd unit is left empty.
        ("😀" * 36, Segments(UCS_2, 36, 72, 2, 61)),
        ("\x1b", Segments(UCS_2, 1, 1, 1, 69)),
    ],
)
def test_a_text_is_counted_by_the_published_rules(text, expected):
    assert segment(text) == expected


def test_an_escape_pair_is_never_split():
    first, second = encode_parts("a" * 152 + "€" + "b" * 10, 1)
    assert first.payload[6:] == b"a" * 152
    assert second.payload[6:] == b"\x1b\x65" + b"b" * 10


def test_a_surrogate_pair_is_never_split():
    first, second = encode_parts("😀" * 36, 1)
    assert first.payload[6:].decode("utf-16-be") == "😀" * 33
    assert second.payload[6:].decode("utf-16-be") == "😀" * 3


def test_long_texts_carry_a_concatenation_header_and_short_ones_do_not():
    (short,) = encode_parts("Hello", 300)
    assert short == (0, 0, b"Hello")
    parts = encode_parts("x" * 400, 300)
    assert [part.payload[:6] for part in parts] == [bytes((5, 0, 3, 300 & 0xFF, 3, n)) for n in (1, 2, 3)]
    assert {part.esm_class for part in parts} == {0x40}
    assert decode_payload(*parts[1]) == ("x" * 153, Concatenation(44, 3, 2))


def test_ucs2_is_sent_big_endian_under_data_coding_8():
    assert encode_parts("Ж", 1) == [(8, 0, b"\x04\x16")]


def test_255_parts_are_the_limit_and_the_refusal_names_it():
    assert len(encode_parts("a" * 153 * 255, 1)) == 255
    with pytest.raises(TextTooLong, match="256 parts; one SMS can have at most 255"):
        encode_parts("a" * (153 * 255 + 1), 1)
    assert segment("a" * (153 * 255 + 1)).parts == 256


def test_half_a_surrogate_pair_is_replaced_and_two_halves_are_joined():
    assert rebuilt("a\ud800b") == "a\ufffdb"
    assert segment("\ud83d\ude00") == segment("😀")
    assert rebuilt("\ud83d\ude00") == "😀"


@given(gsm_text)
def test_every_gsm_text_survives_the_way_and_is_sent_in_the_parts_counted(text):
    counted, parts = segment(text), encode_parts(text, 200)
    assert counted.encoding == GSM_7
    assert counted.units == len(text) + sum(character in GSM_EXT_CHARSET for character in text)
    assert counted.parts == len(parts)
    assert all(len(part.payload) <= 160 and part.data_coding == 0 for part in parts)
    assert rebuilt(text) == text


@given(st.one_of(any_text, pairs_and_plain))
def test_every_text_survives_the_way_and_is_sent_in_the_parts_counted(text):
    counted, parts = segment(text), encode_parts(text, 200)
    assert counted.parts == len(parts)
    assert all(len(part.payload) <= (160 if part.data_coding == 0 else 140) for part in parts)
    assert rebuilt(text) == text
    if counted.encoding == UCS_2:
        assert counted.units == len(text.encode("utf-16-be")) // 2


@given(st.text(max_size=300))
def test_even_broken_unicode_is_counted_and_encoded(text):
    assert segment(text).parts == len(encode_parts(text, 1))


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=200))
def test_no_payload_of_a_carrier_raises(data_coding, esm_class, payload):
    text, _ = decode_payload(data_coding, esm_class, payload)
    assert isinstance(text, str)


@pytest.mark.parametrize(
    ("data_coding", "payload", "text"),
    [
        (0x00, b"\x00\x1b\x65\x02", "@€$"),
        (0x00, b"\x1bo", "o"),
        (0x00, b"\x1b\x1b", " "),
        (0x00, b"a\x1b", "a "),
        (0x00, b"\xe9", "\ufffd"),
        (0x01, b"@A", "@A"),
        (0x03, b"\xe9", "é"),
        (0x04, b"\xff", "ÿ"),
        (0x06, b"\xb1", "Б"),
        (0x10, b"\x00", "@"),
        (0x18, b"\x04\x16", "Ж"),
        (0xF1, b"\x00", "@"),
        (0xF5, b"\xe9", "é"),
    ],
)
def test_data_codings_of_carriers_are_read(data_coding, payload, text):
    assert decode_payload(data_coding, 0, payload) == (text, None)


def test_sixteen_bit_references_are_read_and_broken_headers_are_text():
    assert decode_payload(0, 0x40, b"\x06\x08\x04\x01\x02\x03\x02hi") == ("hi", Concatenation(258, 3, 2))
    assert decode_payload(0, 0x40, b"zhi") == ("zhi", None)
    assert decode_payload(0, 0x40, b"") == ("", None)


def test_gsm_7_that_is_called_ascii_is_seen_by_what_no_ascii_text_has():
    assert decode_payload(1, 0, b"JOIN now \x00 \x015") == ("JOIN now @ £5", None)
    assert decode_payload(1, 0, b"a@b.example $5 [x]\r\n\tok") == ("a@b.example $5 [x]\r\n\tok", None)
