"""Days of a report in an account's time zone, as bounds of UUIDv7 keys (so that only their partitions are read)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from accounts.models import Account
from billing.statements import Period

LONGEST_DAYS = 366
DEFAULT_DAYS = 30


def uuid_floor(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment, as ``messaging_uuid_floor`` in SQL: the bound of a period in queries."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def uuid_bounds(period: Period, account: Account) -> tuple[UUID, UUID]:
    """Keys from which (included) and before which messages accepted in the period lie, in the account's zone."""
    begin, end = period.bounds(account)
    return uuid_floor(begin), uuid_floor(end)


@dataclass(frozen=True)
class Preset:
    """A period that one click chooses."""

    label: str
    period: Period


def last_days(today: date, days: int = DEFAULT_DAYS) -> Period:
    """Today and the days before it, ``days`` in all."""
    return Period(today - timedelta(days=days - 1), today)


def presets(today: date) -> list[Preset]:
    """The periods offered beside From and To."""
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    return [
        Preset("Today", last_days(today, 1)),
        Preset("7 days", last_days(today, 7)),
        Preset("30 days", last_days(today)),
        Preset("This month", Period(month, today)),
        Preset("Last month", Period(before.replace(day=1), before)),
    ]
