"""Keeping the monthly partitions of messages and receipts ahead of time."""

from django.db import connection

MONTHS_AHEAD = 3


def ensure_partitions() -> int:
    """Make the partitions of this month and the next ones that are missing; returns how many were made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT messaging_ensure_partitions(current_date, (current_date + %s * interval '1 month')::date)",
            [MONTHS_AHEAD],
        )
        return int(cursor.fetchone()[0])
