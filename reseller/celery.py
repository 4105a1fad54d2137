"""The Celery application. Tasks carry ids and chunks, never message bodies (docs/message-way.md)."""

import os
import signal
from typing import Any

from billiard import current_process
from celery import Celery
from celery.signals import beat_init, task_prerun, worker_process_init, worker_ready
from django.db import close_old_connections

from accounts.garbage import spare_collections
from reseller import health
from reseller.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reseller.settings")
# Celery would run Django's checks, for which every page is loaded, and throw away what they find.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("reseller")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """A worker killed by -9 would leave its pool behind, holding tasks that nobody reports on."""
    if current_process().name != "MainProcess":  # a worker that runs its tasks itself ends as whoever started it wants
        die_with_parent(signal.SIGKILL)


@worker_process_init.connect
@worker_ready.connect
def _spare_collections(**_: Any) -> None:
    spare_collections()


@task_prerun.connect
def _check_connections(**_: Any) -> None:
    """Keep connections to the database between tasks as between requests: a new one costs more than most tasks do."""
    close_old_connections()


@worker_ready.connect
def _prove_the_worker(sender: Any, **_: Any) -> None:
    """Be healthy from the start instead of after beat's first round."""
    health.renew(*(health.QUEUE_KEY.format(queue=queue) for queue in sender.app.amqp.queues.consume_from))


@beat_init.connect
def _prove_beat(**_: Any) -> None:
    health.renew(health.BEAT_KEY)
