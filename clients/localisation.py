"""What a client's country decides in the form: how a mobile number is read and which time zones come first."""

from functools import cache
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from accounts.countries import country_name, time_zone_choices

_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


@cache
def _example(country: str) -> phonenumbers.PhoneNumber | None:
    return phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)


def mobile_hint(country: str) -> str:
    """Both ways to write a mobile number of the country: "0412 345 678 or +61 412 345 678"."""
    number = _example(country)
    if number is None:
        return "the international form, beginning with +"
    local = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    return international if local == international else f"{local} or {international}"


def parse_mobile(text: str, country: str) -> str:
    """Read a mobile number, local to ``country`` or international, into E.164. Raises ValidationError."""
    refusal = ValidationError(
        f"“{text[:30]}” is not a valid mobile number{_of(country)}; enter one such as {mobile_hint(country)}."
    )
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        raise refusal from error
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) not in _MOBILE_TYPES:
        raise refusal
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _of(country: str) -> str:
    return f" for {country_name(country)}" if country else ""


def zone_groups(country: str, in_use: str = "") -> list[Any]:
    """Choices of a time zone, the country's own first; ``in_use`` stays choosable when the list forgot it."""
    groups: list[Any] = time_zone_choices(country)
    if in_use and in_use not in {zone for _, zones in groups for zone, _ in zones}:
        groups.insert(0, ("In use", [(in_use, in_use.replace("_", " "))]))
    return groups
