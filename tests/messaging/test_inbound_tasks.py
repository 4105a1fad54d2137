"""The tasks of inbound messages: what is told to whom, and what happens when nobody is told (messaging/tasks.py)."""

import json

import pytest
from celery import current_app
from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry
from redis import Redis

from messaging import tasks
from messaging.models import InboundAction, InboundMessage, Message
from messaging.wakeups import ACTIONS, CALLS, INBOUND, wake
from tests.cast import Member
from tests.keywords.scene import NUMBER, hold_number, set_number
from tests.messaging.inbound_scene import bring
from tests.messaging.receiver import receiving
from tests.messaging.test_wakeups import waiting

# Numbers are rows here, without their charges.
pytestmark = pytest.mark.forges_books


def test_hints_go_to_the_queues_of_their_workers_and_expire(valkey: Redis):
    for task in (INBOUND, ACTIONS, CALLS):
        wake(task)
    assert sorted(waiting(valkey, "inbound")) == sorted([INBOUND, ACTIONS])
    assert waiting(valkey, "webhooks") == [CALLS]
    for queue in ("inbound", "webhooks"):
        assert all(json.loads(body)["headers"]["expires"] for body in valkey.lrange(queue, 0, -1))


def test_the_sweeps_are_in_the_schedule_and_pile_nothing_up(db):
    for name, task in (("inbound", INBOUND), ("inbound-actions", ACTIONS), ("inbound-calls", CALLS)):
        ModelEntry.from_entry(name, app=current_app, **settings.CELERY_BEAT_SCHEDULE[name])
        entry = PeriodicTask.objects.get(name=name)
        assert entry.task == task
        assert entry.expire_seconds <= entry.interval.every
        assert entry.task in current_app.tasks


def test_each_step_wakes_the_next_one_and_takes_its_own_hint(committed_db, client_member: Member, valkey: Redis):
    with receiving() as receiver:
        number = hold_number(client_member)
        set_number(number, first_reply="Hello", forward_url=receiver.url, webhook_secret="secret")
        bring("Hi", to=NUMBER)
        wake(INBOUND)

        tasks.receive_inbound()
        assert InboundMessage.objects.count() == 1
        assert waiting(valkey, "inbound")[::-1] == [INBOUND, ACTIONS]
        assert waiting(valkey, "webhooks") == [CALLS]

        tasks.do_inbound_actions()
        assert Message.objects.count() == 1
        assert receiver.calls == []
        tasks.make_inbound_calls()
        assert len(receiver.calls) == 1
    assert set(InboundAction.objects.values_list("state", flat=True)) == {"done"}
    wake(INBOUND)
    assert waiting(valkey, "inbound")[::-1] == [INBOUND, ACTIONS, INBOUND]


def test_without_a_broker_the_sweeps_do_all_of_it(committed_db, client_member: Member, settings):
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:9/0"}}
    set_number(hold_number(client_member), first_reply="Hello")
    bring("Hi", to=NUMBER)
    tasks.receive_inbound()
    tasks.do_inbound_actions()
    assert Message.objects.count() == 1


def test_idle_tasks_do_nothing_and_leave_no_hint(db, valkey: Redis):
    for task in (tasks.receive_inbound, tasks.do_inbound_actions, tasks.make_inbound_calls):
        task()
    assert waiting(valkey, "inbound") == waiting(valkey, "webhooks") == []
