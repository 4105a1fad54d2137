"""Words as phones write them and as they are compared: in any script, without case, accents and punctuation.

"Café!", "CAFE" and "ＣＡＦＥ" are one word, and so are "OPT-OUT", "opt–out" and "optout". What makes another letter in
its script stays: the vowel signs of Hindi and Thai, the voicing marks of Japanese. Source: Unicode's caseless
matching (The Unicode Standard, 3.13, D146: NFKD, fold, NFKD), with accents told from letters by combining class.
"""

import re
import unicodedata
from functools import lru_cache

from keywords.exceptions import UnfitWord

LONGEST_WORD = 40  # characters as people read it (keywords.KeywordName.name)
LONGEST_NORMAL = 80  # some letters grow when they are compared: "ﷺ" is 18 (keywords.KeywordName.normal)

# Written inside a word and without a meaning of its own: dashes and apostrophes of every kind.
_JOINERS = frozenset("-'’‘ʼ`´_‐‑‒–—―−­＇－")
# Letters with a stroke or ligatures, which Unicode does not take apart.
_PLAIN = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
# What ends a word and does not belong to what follows it.
_AFTER_WORD = re.compile(r"""^[\s.,;:!?)\]}"»”]+""")
# Combining classes of accents: overlays, Hebrew and Arabic points, and marks attached, above or below.
_POINTS = range(10, 37)
_OVERLAY, _FIRST_ACCENT = 1, 200


@lru_cache(maxsize=8192)
def normal(word: str) -> str:
    """The word as it is compared; "" when it has neither letters nor digits.

    >>> normal("Crème-Brûlée"), normal("СТОП!"), normal("🎉")
    ('cremebrulee', 'стоп', '')
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold()).translate(_PLAIN)
    kept = unicodedata.normalize("NFC", "".join(_compared(character) for character in folded))
    return kept if any(unicodedata.category(character)[0] in "LN" for character in kept) else ""


def _compared(character: str) -> str:
    """What a folded character counts as: itself, an ASCII digit, or nothing."""
    category = unicodedata.category(character)
    if category[0] == "L":
        return character
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category in ("Mn", "Mc") and not _is_accent(character):
        return character
    return character if category[0] == "N" else ""


def _is_accent(character: str) -> bool:
    combining = unicodedata.combining(character)
    if combining == 0:
        return _is_selector(character)
    return combining == _OVERLAY or combining in _POINTS or combining >= _FIRST_ACCENT


def _is_selector(character: str) -> bool:
    """A variation selector: it tells a phone to draw a sign in colour."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def split_first(text: str) -> tuple[str, str]:
    """The first word of a text as it was written, and what follows it; ("", "") for a text without a word.

    Signs and pictures before it do not count: "👍 (JOIN) Ann" gives "JOIN" and "Ann".
    """
    start = next((place for place, character in enumerate(text) if _is_of_word(character, inside=False)), len(text))
    end = next(
        (place for place in range(start, len(text)) if not _is_of_word(text[place], inside=True)),
        len(text),
    )
    return text[start:end].rstrip("".join(_JOINERS)), _AFTER_WORD.sub("", text[end:]).rstrip()


def _is_of_word(character: str, *, inside: bool) -> bool:
    category = unicodedata.category(character)
    if category[0] in "LN":
        return True
    return inside and (category[0] == "M" or category == "Cf" or character in _JOINERS)


def check_word(text: str) -> str:
    """The word for a keyword or an alias, trimmed. Raises UnfitWord with a sentence that says what to change."""
    word = " ".join(text.split())
    if not word:
        raise UnfitWord("Enter a word.")
    if len(word) > LONGEST_WORD:
        raise UnfitWord(
            f"“{word[:20]}…” has {len(word)} characters; a word has at most {LONGEST_WORD}. Choose a shorter one."
        )
    first, _ = split_first(word)
    strange = [character for character in word if not _is_of_word(character, inside=True) and character != " "]
    if strange:
        shown = " ".join(dict.fromkeys(strange))
        raise UnfitWord(
            f"“{word}” contains {shown}; a word has letters and digits of any script, hyphens and apostrophes. Leave "
            "everything else out."
        )
    if " " in word:
        raise UnfitWord(f"“{word}” is more than one word, and only the first word of a message is looked at.")
    compared = normal(word)
    if not first or not compared:
        raise UnfitWord(f"“{word}” has no letter or digit; a phone must be able to type it.")
    if len(compared) > LONGEST_NORMAL:
        raise UnfitWord(f"“{word}” is too long once its signs are written out. Choose a shorter one.")
    return first
