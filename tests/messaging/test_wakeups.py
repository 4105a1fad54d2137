"""Hints to workers: at most one until it is taken, and nothing depends on them (messaging/wakeups.py, tasks.py)."""

import json

import pytest
from celery import current_app
from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry
from redis import Redis

from messaging import tasks
from messaging.models import Message
from messaging.wakeups import DISPATCH, RECEIPTS, SETTLE, taken, wake
from tests.cast import Member
from tests.messaging.test_acceptance import accept, numbers


def waiting(valkey: Redis, queue: str) -> list[str]:
    """Names of the tasks in a queue."""
    return [json.loads(body)["headers"]["task"] for body in valkey.lrange(queue, 0, -1)]


def test_a_hint_is_given_once_until_it_is_taken(valkey: Redis):
    for _ in range(3):
        wake(DISPATCH, 1)
    wake(DISPATCH, 2)
    assert waiting(valkey, "dispatch") == [DISPATCH, DISPATCH]

    taken(DISPATCH, 1)
    wake(DISPATCH, 1)
    assert len(waiting(valkey, "dispatch")) == 3


def test_hints_go_to_the_queue_of_their_workers(valkey: Redis):
    wake(SETTLE)
    wake(RECEIPTS)
    assert sorted(waiting(valkey, "settle")) == sorted([SETTLE, RECEIPTS])


def test_hints_and_ticks_expire_so_that_a_pause_piles_nothing_up(db, valkey: Redis):
    wake(SETTLE)
    [body] = valkey.lrange("settle", 0, -1)
    assert json.loads(body)["headers"]["expires"]
    for name in ("dispatch", "settle", "receipts"):
        ModelEntry.from_entry(name, app=current_app, **settings.CELERY_BEAT_SCHEDULE[name])
        entry = PeriodicTask.objects.get(name=name)
        assert entry.expire_seconds <= entry.interval.every
        assert entry.task in current_app.tasks


@pytest.mark.usefixtures("committed_db")
def test_accepting_wakes_the_dispatcher_after_the_commit(client_member: Member, valkey: Redis):
    accept(client_member, numbers(2))
    assert waiting(valkey, "dispatch") == [DISPATCH]


@pytest.mark.usefixtures("committed_db")
def test_without_a_broker_messages_are_accepted_and_found_by_the_tick(client_member: Member, monkeypatch, settings):
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:9/0"}}
    accept(client_member, numbers(2))
    assert Message.objects.filter(state="queued").count() == 2

    tasks.dispatch_tick()
    assert Message.objects.filter(state="released").count() == 2


def test_idle_tasks_do_nothing_and_leave_no_hint(db, valkey: Redis):
    for task in (tasks.dispatch_tick, tasks.settle_messages, tasks.apply_receipts, tasks.ensure_partitions):
        task()
    assert waiting(valkey, "settle") == waiting(valkey, "dispatch") == []
