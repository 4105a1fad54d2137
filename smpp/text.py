"""How a text becomes parts of an SMS: the one rule by which the portal counts, prices and sends.

Sources: 3GPP TS 23.038 (alphabets) and 23.040, 9.2.3.24.1 (concatenation). A text of GSM-7 characters fills 160 septets
alone and 153 a part when concatenated; an extension character (such as the euro sign) costs two. Any other text is
UCS-2: 70 UTF-16 code units alone, 67 a part. An escape pair and a surrogate pair are never split over two parts.

`smsutil` supplies the alphabet and its encoder. Three of its answers are wrong for us and are not used: it takes the
bare escape character for text (a handset would swallow the character after it), calls an empty text UCS-2, and its
decoder raises TypeError on octets above 0x7F and shows a space too many for an unknown extension.
"""

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import smsutil  # noqa: F401  (registers the gsm0338 encoder)
from smsutil.codecs import GSM_BASIC_CHARSET, ext_pairs

GSM_7 = "GSM-7"
UCS_2 = "UCS-2"
MAX_PARTS = 255  # the part count of a concatenation header is one octet

ESM_CLASS_UDHI = 0x40
DATA_CODING_GSM = 0x00
DATA_CODING_UCS2 = 0x08

_SINGLE_OCTETS = {GSM_7: 160, UCS_2: 140}
_MULTI_OCTETS = {GSM_7: 153, UCS_2: 134}
_OCTETS_PER_UNIT = {GSM_7: 1, UCS_2: 2}
_ESCAPE = 0x1B
_ALPHABETS = {
    0x00: GSM_7, 0x01: "ascii", 0x03: "latin-1", 0x06: "iso8859-5", 0x07: "iso8859-8", 0x08: "utf-16-be",
}  # fmt: skip
# Some senders call GSM-7 "ASCII" (data_coding 1): letters of the one are control characters of the other.
_GSM_ONLY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXTENSION = {pair[1]: chr(code) for pair, code in ext_pairs.items()} | {_ESCAPE: " "}


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs on the air; an empty text is one part. `units` are septets (GSM-7) or UTF-16 units (UCS-2)."""

    encoding: str
    characters: int
    units: int
    parts: int
    units_left: int


class EncodedPart(NamedTuple):
    """One part ready for submit_sm; `payload` includes the concatenation header when `esm_class` says so."""

    data_coding: int
    esm_class: int
    payload: bytes


class Concatenation(NamedTuple):
    """Which piece of a long message a part is; `sequence` counts from 1 to `total`."""

    reference: int
    total: int
    sequence: int


class TextTooLong(ValueError):
    """The text needs more parts than a concatenation header can count."""


@lru_cache(maxsize=512)
def segment(text: str) -> Segments:
    """Count `text` as it would be sent. Never raises: a text beyond 255 parts is counted, it just cannot be sent.

    Whoever sends a text asks several times, and many send the same one.
    """
    text = _without_lone_surrogates(text)
    encoding, octets = _encode(text)
    chunks = _split(encoding, octets)
    limit = (_SINGLE_OCTETS if len(chunks) == 1 else _MULTI_OCTETS)[encoding]
    per_unit = _OCTETS_PER_UNIT[encoding]
    return Segments(
        encoding=encoding,
        characters=len(text),
        units=len(octets) // per_unit,
        parts=len(chunks),
        units_left=(limit - len(chunks[-1])) // per_unit,
    )


def encode_parts(text: str, reference: int) -> list[EncodedPart]:
    """Encode `text` into the parts that `segment` counted.

    `reference` ties the parts of one message together; its lowest 8 bits are used. GSM-7 is sent as one octet a septet
    under data_coding 0, the form carriers expect over SMPP; UCS-2 as UTF-16BE under data_coding 8. Half a surrogate
    pair, which no handset can show, is sent as U+FFFD.

    Raises TextTooLong above 255 parts.
    """
    encoding, octets = _encode(_without_lone_surrogates(text))
    chunks = _split(encoding, octets)
    data_coding = DATA_CODING_GSM if encoding == GSM_7 else DATA_CODING_UCS2
    if len(chunks) == 1:
        return [EncodedPart(data_coding, 0, octets)]
    if len(chunks) > MAX_PARTS:
        raise TextTooLong(
            f"The text needs {len(chunks)} parts; one SMS can have at most {MAX_PARTS}. Shorten the text."
        )
    head = bytes((5, 0, 3, reference & 0xFF, len(chunks)))
    return [
        EncodedPart(data_coding, ESM_CLASS_UDHI, head + bytes((number,)) + chunk)
        for number, chunk in enumerate(chunks, start=1)
    ]


def decode_payload(data_coding: int, esm_class: int, payload: bytes) -> tuple[str, Concatenation | None]:
    """Read what a carrier or a client sent: its text, and which piece it is when it is part of a long message.

    Never raises. A user data header that does not fit the payload is taken for text, an octet outside the alphabet
    becomes U+FFFD, and binary data (data_coding 2, 4 and the like) is read as Latin-1 so that no octet is lost.
    """
    octets, concatenation = split_header(esm_class, payload)
    alphabet = _alphabet(data_coding)
    if alphabet == GSM_7 or (alphabet == "ascii" and _GSM_ONLY.search(octets)):
        return _decode_gsm(octets), concatenation
    return octets.decode(alphabet, "replace"), concatenation


def split_header(esm_class: int, payload: bytes) -> tuple[bytes, Concatenation | None]:
    """Take off the user data header: the text's own octets, and which piece of a long message they are, if any."""
    if not (esm_class & ESM_CLASS_UDHI and payload and payload[0] < len(payload)):
        return payload, None
    return payload[payload[0] + 1 :], _read_concatenation(payload[1 : payload[0] + 1])


def _without_lone_surrogates(text: str) -> str:
    if not _SURROGATE.search(text):
        return text
    joined = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")
    return _SURROGATE.sub("\ufffd", joined)


def _encode(text: str) -> tuple[str, bytes]:
    if "\x1b" not in text:
        try:
            return GSM_7, text.encode("gsm0338")
        except UnicodeEncodeError:
            pass
    return UCS_2, text.encode("utf-16-be")


def _split(encoding: str, octets: bytes) -> list[bytes]:
    if len(octets) <= _SINGLE_OCTETS[encoding]:
        return [octets]
    limit, chunks, start = _MULTI_OCTETS[encoding], [], 0
    while start < len(octets):
        end = start + limit
        if end < len(octets):
            end -= _half_pair(encoding, octets, end)
        chunks.append(octets[start:end])
        start = end
    return chunks


def _half_pair(encoding: str, octets: bytes, end: int) -> int:
    """Return how many octets before `end` are the first half of a pair whose second half is behind it."""
    if encoding == GSM_7:
        return 1 if octets[end - 1] == _ESCAPE else 0
    return 2 if 0xD8 <= octets[end - 2] <= 0xDB else 0


def _read_concatenation(header: bytes) -> Concatenation | None:
    position = 0
    while position + 2 <= len(header):
        kind, size = header[position], header[position + 1]
        value = header[position + 2 : position + 2 + size]
        if kind == 0x00 and len(value) == 3:
            return Concatenation(value[0], value[1], value[2])
        if kind == 0x08 and len(value) == 4:
            return Concatenation(value[0] << 8 | value[1], value[2], value[3])
        position += 2 + size
    return None


def _alphabet(data_coding: int) -> str:
    """Map data_coding to GSM_7 or a Python codec (SMPP 3.4, 5.2.19; 3GPP TS 23.038, 4 for the message classes)."""
    if data_coding in _ALPHABETS:
        return _ALPHABETS[data_coding]
    if data_coding & 0xF0 == 0xF0:
        return "latin-1" if data_coding & 0x04 else GSM_7
    if 0x10 <= data_coding <= 0x3F:
        return {0x00: GSM_7, 0x08: "utf-16-be"}.get(data_coding & 0x0C, "latin-1")
    return "latin-1"


def _decode_gsm(octets: bytes) -> str:
    if b"\x1b" not in octets:
        return codecs.charmap_decode(octets, "replace", GSM_BASIC_CHARSET)[0]
    characters, escaped = [], False
    for code in octets:
        if escaped:
            characters.append(_EXTENSION.get(code) or _basic(code))
            escaped = False
        elif code == _ESCAPE:
            escaped = True
        else:
            characters.append(_basic(code))
    return "".join(characters) + (" " if escaped else "")


def _basic(code: int) -> str:
    return GSM_BASIC_CHARSET[code] if code < 0x80 else "\ufffd"
