"""Months that begin on the same day: the 31st falls on a shorter month's last day and comes back after it."""

import calendar
from datetime import date


def month_after(day: date, anchor: int) -> date:
    """The day in the month after ``day`` that has the number ``anchor`` (1 to 31), else that month's last day."""
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return date(year, month, min(anchor, calendar.monthrange(year, month)[1]))
