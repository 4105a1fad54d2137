"""Telephone numbers: what a person pasted becomes E.164, or a reason in plain words."""

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType

from accounts.countries import country_name

MAX_DIGITS = 15  # of a number in international form (ITU-T E.164)
FEW_GROUPS = 6  # that are first looked at as one number: a line with one number in groups of digits
WHOLE_NUMBER = 8  # digits from which a group separated by spaces can be a number by itself

_SEPARATORS = re.compile(r"[,;|\t\r\n\v\f\x85\u2028\u2029]+")
_PUNCTUATION = re.compile(r"[\s().\-/‐-―\u200b-\u200f\u202a-\u202e\u2060\ufeff]+")
_LETTER = re.compile(r"[^\W\d_]")
_NO_DIGITS = re.compile(r"\D+")
# The order in which the library decides: these come before fixed lines and mobiles.
_OTHER_KINDS = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
_KIND_NAMES = {
    PhoneNumberType.FIXED_LINE: "a fixed line",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.VOIP: "an internet telephone number",
    PhoneNumberType.PERSONAL_NUMBER: "a personal number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company's service number",
    PhoneNumberType.VOICEMAIL: "a voicemail box",
}
_MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


# --- Cutting what was pasted ---------------------------------------------------------------------------------------


def split_recipients(text: str, region: str) -> list[str]:
    """Cut pasted text into the single numbers, as they were typed. ``region`` reads local forms (ISO 3166).

    Commas, semicolons, bars, tabs and line ends always separate. Between spaces the longest run of groups that is a
    mobile number is one: "0412 340 001" and "+61 412 345 078" are one number each, "0412 345 678 0412 345 679" are
    two. Where no run is a mobile number, a group begins the next number when it starts with "+", or, after 8 digits
    or more, with "0", with 8 digits of its own, or when the number would pass 15 digits.
    """
    return [number for chunk in _SEPARATORS.split(text) for number in _split_spaces(chunk, region)]


def _split_spaces(chunk: str, region: str) -> Iterator[str]:
    groups = deque(chunk.split())
    while groups:
        # One group is one number, whatever it is: what most pastes consist of needs no look at the numbering plans.
        size = 1 if len(groups) == 1 else _mobile_run(groups, region) or _likely_run(groups)
        yield " ".join(groups.popleft() for _ in range(size))


def _mobile_run(groups: Collection[str], region: str) -> int:
    """How many of the first groups make the longest mobile number; 0 when none do."""
    whole = _PUNCTUATION.sub("", "".join(groups)) if len(groups) <= FEW_GROUPS else ""
    if whole and "+" not in whole[1:] and _is_mobile(whole, region):
        return len(groups)
    compact, longest = "", 0
    for size, group in enumerate(groups, 1):
        if size > 1 and group.startswith(("+", "(+")):
            break
        compact += _PUNCTUATION.sub("", group)
        if len(compact) > MAX_DIGITS + len("00"):
            break
        if _is_mobile(compact, region):
            longest = size
    return longest


def _is_mobile(compact: str, region: str) -> bool:
    return bool(_read_fast(compact, region) or (compact[:1] not in "+0" and _read_fast(f"+{compact}", region)))


def _likely_run(groups: Collection[str]) -> int:
    """How many of the first groups look like one number, though not like a mobile."""
    digits = 0
    for size, group in enumerate(groups):
        count = sum(character.isdigit() for character in group)
        if size and _begins_number(group, count, digits):
            return size
        digits += count
    return len(groups)


def _begins_number(group: str, count: int, digits_before: int) -> bool:
    """Whether a group of ``count`` digits begins a number, when the one before has ``digits_before`` digits already."""
    if group.startswith(("+", "(+")):
        return digits_before > 0
    complete = digits_before >= WHOLE_NUMBER
    return complete and (group.startswith("0") or count >= WHOLE_NUMBER or digits_before + count > MAX_DIGITS)


# --- Reading one number --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotMobile:
    """Why a value is not a mobile number, in words for the person who typed it."""

    detail: str


def read_mobile(value: str, region: str) -> str | NotMobile:
    """Return the mobile number in ``value`` as E.164, or why it is none. ``region`` reads local forms (ISO 3166)."""
    compact = _PUNCTUATION.sub("", value)
    return _read_fast(compact, region) or _read_slowly(value, compact, region)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """One region's numbering plan, compiled: ``known`` is any number of it, ``mobile`` one that can receive SMS."""

    leading: re.Pattern[str] | None
    known: re.Pattern[str]
    mobile: re.Pattern[str]


def _read_fast(compact: str, region: str) -> str | None:
    """What the library would say of an ordinary mobile number, at a tenth of its time; None = ask the library.

    Parsing and typing take the library 200 µs a number. Only plain cases are decided here: digits with a country code
    or one trunk prefix, no rule that rewrites the number, and a pattern of the library's own that says mobile.
    """
    digits = compact[1:] if compact[:1] == "+" else compact
    if not (digits.isascii() and digits.isdigit()):
        return None
    if compact[0] == "+" or compact[:2] == "00":
        digits = digits if compact[0] == "+" else digits[2:]
        code = _country_code(digits[:3])
        national = digits[len(str(code)) :]
    else:
        code = _code_of(region)
        trunk = _trunk_prefix(region)
        if not trunk or not digits.startswith(trunk):
            return None
        national = digits[len(trunk) :]
    if not code or _is_rewritten(code, national):
        return None
    for patterns in _plans_of(code):
        if patterns.leading.match(national) if patterns.leading else patterns.known.fullmatch(national):
            return f"+{code}{national}" if patterns.mobile.fullmatch(national) else None
    return None


@cache
def _code_of(region: str) -> int:
    return phonenumbers.country_code_for_region(region)


@cache
def _country_code(digits: str) -> int:
    """The country code that a number begins with, by its first three digits; 0 when it begins with none."""
    for length in (1, 2, 3):
        if digits[:length].isdigit() and int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return int(digits[:length])
    return 0


@cache
def _trunk_prefix(region: str) -> str:
    """The digits dialled before a national number; empty where there are none or where they change the number."""
    plan = PhoneMetadata.metadata_for_region(region, None)
    if plan is None or plan.national_prefix_transform_rule or not plan.national_prefix:
        return ""
    return plan.national_prefix


@cache
def _plans_of(code: int) -> tuple[_Patterns, ...]:
    """The plans of the regions that share a country code, in the library's order; none for worldwide services."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    return tuple(_compile(plan) for region in regions if (plan := PhoneMetadata.metadata_for_region(region, None)))


def _compile(plan: PhoneMetadata) -> _Patterns:
    def pattern(kind: str) -> str:
        description = getattr(plan, kind)
        return (description and description.national_number_pattern) or "(?!)"

    general = f"(?=(?:{pattern('general_desc')})\\Z)"
    other = "|".join(f"(?:{pattern(kind)})" for kind in _OTHER_KINDS)
    fixed, mobile = f"(?:{pattern('fixed_line')})", f"(?:{pattern('mobile')})"
    return _Patterns(
        leading=re.compile(plan.leading_digits) if plan.leading_digits else None,
        known=re.compile(f"{general}(?:{other}|{fixed}|{mobile})"),
        mobile=re.compile(f"{general}(?!(?:{other})\\Z){mobile}"),
    )


@cache
def _trunk_pattern(code: int) -> re.Pattern[str] | None:
    """What the library would strip from or rewrite in a national number of the code's main region."""
    region = phonenumbers.region_code_for_country_code(code)
    plan = PhoneMetadata.metadata_for_region(region, None)
    if plan is None or plan.national_prefix_transform_rule:
        return re.compile("")
    return re.compile(plan.national_prefix_for_parsing) if plan.national_prefix_for_parsing else None


def _is_rewritten(code: int, national: str) -> bool:
    pattern = _trunk_pattern(code)
    return national.startswith("0") or (pattern is not None and pattern.match(national) is not None)


def _read_slowly(value: str, compact: str, region: str) -> str | NotMobile:
    if _LETTER.search(value):
        return NotMobile("Contains letters; a number has digits only.")
    if not any(character.isdigit() for character in value):
        return NotMobile("Contains no digits.")
    if compact.startswith("00"):
        compact = f"+{compact[2:]}"
    try:
        number = phonenumbers.parse(compact, region or None)
    except phonenumbers.NumberParseException as error:
        return NotMobile(_parse_problem(error, compact, region))
    kind = phonenumbers.number_type(number)
    if kind in _MOBILE:
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return NotMobile(_kind_problem(number, kind))


def _parse_problem(error: phonenumbers.NumberParseException, compact: str, region: str) -> str:
    if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
        if not compact.startswith("+") and not region:
            return "A local number, but the account has no country; write it as + and the country code."
        return "Begins with no country's code."
    if error.error_type == phonenumbers.NumberParseException.TOO_LONG:
        return "Too long for a telephone number."
    return "Too short for a telephone number."


def _kind_problem(number: phonenumbers.PhoneNumber, kind: int) -> str:
    if kind in _KIND_NAMES:
        return f"This is {_KIND_NAMES[kind]}, not a mobile number."
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    plan = PhoneMetadata.metadata_for_region(region, None)
    if plan is None or plan.mobile is None:
        return f"No mobile number begins with +{number.country_code}."
    length = len(phonenumbers.national_significant_number(number))
    if length < min(plan.mobile.possible_length, default=0):
        return f"Too short for a mobile number of {country_name(region)}."
    if length > max(plan.mobile.possible_length, default=MAX_DIGITS):
        return f"Too long for a mobile number of {country_name(region)}."
    return f"{country_name(region)} has no such mobile numbers."


def read_sender_number(value: str, region: str) -> str:
    """Bring a sender that looks like a number into the form in which it is sent; "" when it cannot be one.

    International numbers become E.164 with "+"; up to 6 digits are a short code and stay as they are.
    """
    compact = _PUNCTUATION.sub("", value)
    digits = _NO_DIGITS.sub("", compact)
    if compact.startswith(("+", "00")):
        digits = digits.removeprefix("00") if not compact.startswith("+") else digits
        return f"+{digits}" if 7 <= len(digits) <= MAX_DIGITS and digits[0] != "0" else ""
    if 3 <= len(digits) <= 6:
        return digits
    try:
        number = phonenumbers.parse(compact, region or None)
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        pass
    return f"+{digits}" if 7 <= len(digits) <= MAX_DIGITS and not digits.startswith("0") else ""
