"""Large batches that take long hold up nobody but each other."""

import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
import redis
from django.utils import timezone
from kombu import Connection

from accounts.models import Membership
from messaging.models import Preparation
from messaging.wakeups import PREPARE
from reseller.celery import app
from reseller.health import QUEUE_KEY, QUEUES
from reseller.run.stack import Stack

pytestmark = pytest.mark.usefixtures("stack_db")

PATIENCE = 60.0  # seconds; a busy machine is slow
# Workers at a preparation that the test holds fast.
AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE messaging_preparation%' AND pid <> pg_backend_pid()
"""
FIELDS = {"sender": "Shop", "text": "Hello"}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_slow_batches_of_two_accounts_leave_all_other_tasks_undisturbed(stack: Stack) -> None:
    members = Membership.objects.filter(user__email__in=("client@demo.example", "reseller@demo.example"))
    slow = [
        Preparation.objects.create(
            account=member.account, created_by=member.user, state="checking", recipients="0412 345 678",
            lists=[], typed=FIELDS, retry_at=timezone.now() + timedelta(seconds=3),
        )
        for member in members
    ]  # fmt: skip
    url = stack.env["DATABASE_URL"]
    with psycopg.connect(url) as hold, psycopg.connect(url, autocommit=True) as look:
        hold.execute("SELECT FROM messaging_preparation WHERE id = ANY(%s) FOR UPDATE", [[one.pk for one in slow]])
        wait_until(lambda: look.execute(AT_WORK).fetchone() == (1,))
        with redis.Redis.from_url(stack.env["REDIS_URL"]) as valkey, app.connection(stack.env["REDIS_URL"]) as broker:
            # Whoever else would prepare takes this up with the other account's, at the latest when each of its queues
            # had its turn; then nothing of the second round would be done.
            app.send_task(PREPARE, queue="accept", connection=broker)
            for _ in range(2):
                have_a_task_done(valkey, broker)
        assert look.execute(AT_WORK).fetchone() == (1,)
    wait_until(lambda: not Preparation.objects.filter(pk__in=[one.pk for one in slow], state="checking").exists())


def have_a_task_done(valkey: redis.Redis, broker: Connection) -> None:
    """Wait until every queue but that of large batches has done a task that it is given now."""
    queues = [queue for queue in QUEUES if queue != "accept"]
    keys = [QUEUE_KEY.format(queue=queue) for queue in queues]
    valkey.delete(*keys)
    for queue in queues:
        app.send_task("reseller.tasks.heartbeat", [queue], queue=queue, connection=broker)
    wait_until(lambda: valkey.exists(*keys) == len(keys))
