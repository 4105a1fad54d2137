"""One message, two ways of writing its id: many a carrier repeats it in the receipt otherwise than in its answer.

SMPP 3.4 leaves the form of message ids to the carrier. Seen in practice: hexadecimal in submit_sm_resp and decimal in
the receipt (or the other way round), leading zeros dropped or added, and letters in the other case.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

WIDTHS: Final = (8, 10, 12, 16, 20)  # to which numbers are filled up with zeros: those of 32, 40 and 64 bits
MOST_IDS: Final = 3 * (len(WIDTHS) + 2)  # as it came and in both cases
MAX_ID_LENGTH: Final = 65  # C-octet string of SMPP 3.4, 4.4.2, with its end

_DECIMAL: Final = re.compile(r"[0-9]+")
_HEX: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]+)")


class IdFormat(StrEnum):
    """How a carrier writes an id in its answer to a submit, and how in receipts."""

    AS_IS = "as_is"
    HEX_TO_DECIMAL = "hex_to_decimal"
    DECIMAL_TO_HEX = "decimal_to_hex"


def likely_ids(raw: str, form: str) -> tuple[str, ...]:
    """The ids that an answer almost certainly had, when `raw` came in a receipt; the likeliest first, never empty.

    `form` is an IdFormat; raises ValueError for anything else. Where the receipt's id is not in the number system that
    the form says, it is taken for the answer's own: "7F" of a carrier that should write decimals can only be that. The
    opposite is never tried: "10" as a decimal is the message A, and the message 10 is another one.
    """
    raw = raw.strip()
    if form == IdFormat.AS_IS:
        return (raw,)
    number = _number(raw, IdFormat(form))
    if number is None:
        return (raw,)
    if form == IdFormat.HEX_TO_DECIMAL:
        return _in_both_cases(f"{number:x}")
    return (str(number),)


def receipt_ids(raw: str, form: str) -> tuple[str, ...]:
    """Every id that an answer may have had: `likely_ids`, then with other leading zeros and letters of the other case.

    Never empty; of "" it is ("",). Each once, the likeliest first, at most MOST_IDS.
    """
    found = dict.fromkeys(likely_ids(raw, form))
    for likely in tuple(found):
        for spelled in _in_both_cases(likely):
            found.update(dict.fromkeys(_padded(spelled)))
    return tuple(one for one in found if len(one) <= MAX_ID_LENGTH) or (raw[:MAX_ID_LENGTH],)


def as_in_receipt(answered: str, form: str) -> str:
    """An answer's id as a receipt would have it, for what is read as receipts are: `likely_ids` of it is that id again.

    `form` is an IdFormat; raises ValueError for anything else. What no receipt could mean otherwise stays as it is. Of
    leading zeros only `receipt_ids` knows.
    """
    if _number(answered, IdFormat(form)) is None:
        return answered
    if form == IdFormat.HEX_TO_DECIMAL:
        return str(int(answered, 16))
    return f"{int(answered):x}" if _DECIMAL.fullmatch(answered) else answered


def _number(raw: str, form: IdFormat) -> int | None:
    """The number that a receipt's id means in another number system than its answer's; None where it is a name."""
    if len(raw) > MAX_ID_LENGTH:
        return None
    if form is IdFormat.HEX_TO_DECIMAL and _DECIMAL.fullmatch(raw):
        return int(raw)
    if form is IdFormat.DECIMAL_TO_HEX and (digits := _HEX.fullmatch(raw)):
        return int(digits[1], 16)
    return None


def _in_both_cases(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((text, text.upper(), text.lower())))


def _padded(text: str) -> Iterator[str]:
    """The id itself, without leading zeros, and, if it is a number, filled up with them."""
    yield text
    bare = text.lstrip("0") or text[:1]
    yield bare
    if _HEX.fullmatch(bare):
        yield from (bare.zfill(width) for width in WIDTHS if width > len(bare))
