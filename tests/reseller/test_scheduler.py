"""Beat looks into the database every few seconds, not for each call that it gives."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from reseller.celery import app
from reseller.scheduler import LOOK_SECONDS, SparingScheduler


@pytest.fixture
def scheduler(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparingScheduler]:
    """A scheduler whose calls reach nobody, and that has read the schedule."""
    monkeypatch.setattr("django_celery_beat.schedulers.close_old_connections", lambda: None)  # the test's is needed
    monkeypatch.setattr(SparingScheduler, "apply_async", lambda self, entry, **_: given.append(entry.name))
    given: list[str] = []
    found = SparingScheduler(app=app)
    found.given = given
    found.tick()
    yield found
    found._finalize.cancel()  # or it would write to a database that is gone when Python ends


def given_in(scheduler: Any, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What it has called, and when everything was due ``seconds`` ago."""
    monkeypatch.setattr("reseller.scheduler.time.monotonic", lambda: scheduler._looked_at + seconds)
    scheduler.given.clear()
    for entry in scheduler._schedule.values():
        entry.last_run_at = entry.model.last_run_at = entry.last_run_at.replace(year=2001)
    scheduler._heap = None
    while scheduler.tick() == 0:
        pass
    return list(scheduler.given)


def test_staff_see_their_change_heeded_within_seconds_and_calls_cost_no_query(
    scheduler: SparingScheduler, monkeypatch: pytest.MonkeyPatch
):
    with CaptureQueriesContext(connection) as asked:
        calls = given_in(scheduler, LOOK_SECONDS - 1, monkeypatch)
    assert len(calls) > 20
    assert "settle" in calls
    assert len(asked) == 0

    task = PeriodicTask.objects.get(name="settle")
    task.enabled = False
    task.save()
    assert "settle" in given_in(scheduler, LOOK_SECONDS - 1, monkeypatch)
    calls = given_in(scheduler, LOOK_SECONDS, monkeypatch)
    assert "settle" not in calls
    assert "receipts" in calls
