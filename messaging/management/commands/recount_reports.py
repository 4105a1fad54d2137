"""Bring the reports' counts and the messages' keys into line, after something wrote messages past the send engine."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from messaging.services.rollups import recount, roll_up


class Command(BaseCommand):
    help = "Count messages anew and fill in their keys, from the first day to the last (UTC); says how many were wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("first", type=date.fromisoformat, help="YYYY-MM-DD; its messages must still be there")
        parser.add_argument("last", type=date.fromisoformat, nargs="?", help="YYYY-MM-DD; today when left out")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = options["first"], options["last"] or timezone.now().date()
        if first > last:
            raise CommandError(f"{first} is after {last}; give the first day first.")
        wrong = recount(_midnight(first), _midnight(last + timedelta(days=1)))
        roll_up()
        self.stdout.write(f"{first} to {last}: {wrong:,} counts were wrong and are right now.")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
