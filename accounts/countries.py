"""Countries and their time zones, from pytz; dialling facts from phonenumbers."""

from functools import cache

import phonenumbers
import pytz


@cache
def country_choices() -> list[tuple[str, str]]:
    """All countries that have a telephone region, as (ISO 3166 code, name), by name."""
    known = phonenumbers.SUPPORTED_REGIONS
    return sorted(((code, name) for code, name in pytz.country_names.items() if code in known), key=lambda c: c[1])


def country_name(code: str) -> str:
    """Return the country's English name, or the code itself for one that pytz does not know."""
    return pytz.country_names.get(code, code)


@cache
def zones_of_country(code: str) -> list[str]:
    """The country's own time zones in pytz's order (most used first); empty for an unknown country."""
    return list(pytz.country_timezones.get(code, []))


def time_zone_choices(country: str = "") -> list[tuple[str, list[tuple[str, str]]]]:
    """Grouped choices for a select: the country's own zones first, then all others."""
    own = zones_of_country(country)
    rest = [zone for zone in pytz.common_timezones if zone not in own]
    groups = [("All time zones", [(zone, zone.replace("_", " ")) for zone in rest])]
    if own:
        groups.insert(0, (country_name(country), [(zone, zone.replace("_", " ")) for zone in own]))
    return groups


@cache
def example_mobile(country: str) -> str:
    """An ordinary mobile number of the country in E.164, to name a price by; "" for a country without one."""
    number = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number else ""
