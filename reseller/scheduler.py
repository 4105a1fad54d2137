"""Beat's scheduler: the schedule stands in the database, where staff may change it."""

import time
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

LOOK_SECONDS = 5.0  # between two looks for what staff changed


class SparingScheduler(DatabaseScheduler):
    """Looks for changes every few seconds.

    The base asks the database twice for each call that it gives and compares all entries each time, which is most of
    what it costs when tasks run every second.
    """

    _looked_at = float("-inf")
    _heap_invalidated: bool

    def schedule_changed(self) -> bool:
        """Has anybody changed the schedule since the last look?"""
        now = time.monotonic()
        if now < self._looked_at + LOOK_SECONDS:
            return False
        self._looked_at = now
        return bool(super().schedule_changed())

    def schedules_equal(self, *schedules: Any) -> bool:
        """Is it still the schedule that was read last? Entries that run change in place."""
        invalidated, self._heap_invalidated = self._heap_invalidated, False
        return not invalidated
