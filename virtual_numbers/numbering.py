"""How a number of the inventory is read: it must exist in its country's plan and be what its type says."""

import re

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from accounts.countries import country_name
from virtual_numbers.models import VirtualNumber

Kind = VirtualNumber.Kind
SHORT_CODE = re.compile(r"\d{3,8}")
_FILLERS = re.compile(r"[\s().\-/]")


class UnreadableNumber(ValueError):
    """The number is none, or not one of that country and type; ``str(error)`` is a sentence for who typed it."""


def read_number(text: str, country: str, kind: str) -> str:
    """A number as the inventory keeps it: E.164 with +, a short code as its digits.

    ``text`` is local to ``country`` (ISO 3166) or international, with or without +. Raises UnreadableNumber.
    """
    if kind == Kind.SHORT:
        return _read_short_code(text)
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise UnreadableNumber(
            f"“{text[:30]}” is not a telephone number; enter it in international form, such as +61 491 570 156."
        ) from None
    written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not phonenumbers.is_valid_number_for_region(number, country):
        raise UnreadableNumber(_wrong_place(number, written, country))
    _check_type(number, written, kind)
    return written


def _read_short_code(text: str) -> str:
    digits = _FILLERS.sub("", text)
    if not SHORT_CODE.fullmatch(digits):
        raise UnreadableNumber(f"“{text[:30]}” is not a short code; enter 3 to 8 digits without a country code.")
    return digits


def _wrong_place(number: phonenumbers.PhoneNumber, written: str, country: str) -> str:
    own = phonenumbers.region_code_for_number(number)
    if own and phonenumbers.is_valid_number(number):
        return (
            f"{written} is a number of {country_name(own)}, not of {country_name(country)}; "
            "correct the number or the country."
        )
    return f"{written} does not exist in the numbering plan of {country_name(country)}; check its digits."


def _check_type(number: phonenumbers.PhoneNumber, written: str, kind: str) -> None:
    is_free = phonenumbers.number_type(number) == PhoneNumberType.TOLL_FREE
    if is_free and kind != Kind.TOLL_FREE:
        raise UnreadableNumber(f"{written} is a toll-free number; set its type to {Kind.TOLL_FREE}.")
    if kind == Kind.TOLL_FREE and not is_free:
        raise UnreadableNumber(f"{written} is not a toll-free number; set its type to {Kind.LONG}.")
