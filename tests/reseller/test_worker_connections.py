"""Workers keep their connection to the database between tasks, and load no more than tasks need."""

import subprocess
import sys

import psycopg
import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_prerun
from django.db import OperationalError, connection

from messaging.tasks import sample_routes
from reseller.celery import app
from tests.conftest import CommittedDatabase
from tests.engines import ROOT

LOADED = """
import sys
from reseller.celery import app
app.loader.import_default_modules()
print(len(app.tasks), *sorted({name for name in sys.modules if name.endswith(("admin", "urls", "views"))}))
print([name for name in ("stripe", "aiohttp", "requests") if name in sys.modules])
"""


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def run_task() -> int:
    """What Celery does around a task, and which server process the task would talk to."""
    fixup, sender = DjangoWorkerFixup(app), sample_routes
    fixup.on_task_prerun(sender=sender)
    task_prerun.send(sender=sender)
    found = backend()
    fixup.on_task_postrun(sender=sender)
    return found


def test_tasks_share_a_connection_until_it_breaks(committed_db: CommittedDatabase):
    first = run_task()
    assert run_task() == first
    with psycopg.connect(committed_db.url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(%s)", [first])
    with pytest.raises(OperationalError):
        backend()
    assert run_task() != first


def test_a_worker_loads_tasks_but_neither_pages_nor_what_speaks_to_others():
    found = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, check=True, capture_output=True, text=True)
    names, libraries = found.stdout.splitlines()
    tasks, *pages = names.split()
    assert int(tasks) > 40
    assert [page for page in pages if not page.startswith("django")] == []
    assert libraries == "[]"
