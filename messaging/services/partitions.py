"""The monthly partitions of messages and receipts: kept ahead of time, and read one by one where plans must hold."""

from datetime import date, timedelta

from django.db import connection
from django.utils import timezone

from accounts.prepared import AnyCursor

MONTHS_AHEAD = 3


def ensure_partitions() -> int:
    """Make the partitions of this month and the next ones that are missing; returns how many were made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT messaging_ensure_partitions(current_date, (current_date + %s * interval '1 month')::date)",
            [MONTHS_AHEAD],
        )
        return int(cursor.fetchone()[0])


def months_since(cursor: AnyCursor, days: int) -> list[str]:
    """The months, as partitions are named by them, of what was made in the last ``days`` days, the newest first.

    For statements that look rows up by another index than the ids'. Bounded by ids instead, they invite the planner to
    walk all newer rows by their ids wherever it has no statistics yet, which takes minutes (messaging/services/plans.py
    says more of such statements).
    """
    today = timezone.now().date()
    month, first = today.replace(day=1), (today - timedelta(days=days)).replace(day=1)
    months = []
    while month >= first:
        months.append(f"{month:%Y%m}")
        month = _month_before(month)
    cursor.execute(
        "SELECT month FROM unnest(%s::text[]) AS month WHERE to_regclass('messaging_message_' || month) IS NOT NULL",
        [months],
    )
    return [month for (month,) in cursor.fetchall()]


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
