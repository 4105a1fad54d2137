"""Days that people may choose: a calendar ends where moments still fit Python and PostgreSQL, in every time zone."""

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)


def check_day(day: date) -> None:
    """Raises ValidationError for a day outside of EARLIEST to LATEST, both allowed."""
    if not EARLIEST <= day <= LATEST:
        raise ValidationError(f"{day} is too far away; choose a day from {EARLIEST} to {LATEST}.")


class DayField(forms.DateField):
    """A day within the calendar of this portal."""

    default_validators = [check_day]

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("error_messages", {"invalid": "Enter a date, such as 2026-11-21."})
        super().__init__(**kwargs)
