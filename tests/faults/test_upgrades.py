"""An upgrade replaces connectors one by one during a batch: nothing is lost, in doubt, doubled, or kept waiting."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
import requests
from django.core.management import call_command

from billing.selectors import balance_of
from messaging.models import Message
from reseller.engines import reserve_port
from smpp.simulator import Simulator, read_journal
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase
from tests.engines import ROOT
from tests.messaging.carrier import connect_route, in_thread, play, work_until
from tests.messaging.test_acceptance import accept
from tests.messaging.test_connector_faults import nothing_moves, ordinary, start, work_while

pytestmark = pytest.mark.faults

COUNT = 500
LONGEST_GAP = 8.0  # seconds without a submit while one process takes over from another
DRAINED = 30.0  # seconds an orchestrator waits before it kills


def test_a_rolling_restart_during_a_batch_loses_doubts_and_delays_nothing(
    committed_db: CommittedDatabase, client_member: Member, tmp_path
):
    fund(client_member, "100")
    seconds_to_end: list[float] = []
    in_doubt: list[int] = []

    async def replace(old: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Start the next process, and only when it waits for the binds end the one that has them."""
        log = tmp_path / "connectors.log"
        new = await in_thread(start, committed_db, log)
        await work_while(lambda: connected(committed_db) < 2, 60)
        began = time.monotonic()
        old.send_signal(signal.SIGTERM)
        assert await in_thread(old.wait, DRAINED) == 0
        seconds_to_end.append(time.monotonic() - began)
        in_doubt.append(await in_thread(Message.objects.filter(state="unknown").count))
        return new

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=20, throughput=40, binds=2))
        await in_thread(accept, client_member, ordinary(COUNT))
        process = await in_thread(start, committed_db, tmp_path / "connectors.log")
        try:
            await work_while(lambda: carrier.accepted_count < 20, 60)
            process = await replace(process)
            await work_until(lambda: carrier.accepted_count > 100, 60)
            process = await replace(process)
            await work_until(nothing_moves, 90)
            process.send_signal(signal.SIGTERM)
            assert await in_thread(process.wait, DRAINED) == 0
        finally:
            process.kill()

    play(scenario, tmp_path, retry_seconds=0.2)

    journal = read_journal(tmp_path)
    assert journal.duplicates == []
    assert len(journal.accepted) == COUNT
    assert Message.objects.filter(state="delivered").count() == COUNT
    assert in_doubt == [0, 0]
    assert max(seconds_to_end) < DRAINED
    moments = sorted(entry.at for entry in journal.accepted)
    assert max(later - earlier for earlier, later in pairwise(moments)) < LONGEST_GAP
    assert balance_of(client_member.account).held == 0
    call_command("verify_ledger")


def connected(database: CommittedDatabase) -> int:
    """How many connector processes listen in the database."""
    with psycopg.connect(database.url, autocommit=True) as administrator:
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'connectors listen' AND datname = current_database()"
        )
        return administrator.execute(query).fetchone()[0]


def test_receipts_come_on_another_bind_than_their_messages(committed_db, client_member: Member, tmp_path):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, binds=2, throughput=200))
        await in_thread(accept, client_member, ordinary(20))
        process = await in_thread(start, committed_db, tmp_path / "connectors.log")
        try:
            await work_while(lambda: carrier.accepted_count < 20, 60)
            for session in carrier.sessions[:1]:
                session._transport.abort()
            await work_until(nothing_moves, 60)
        finally:
            process.kill()

    play(scenario, tmp_path, receipt_delay=1.5)
    assert Message.objects.filter(state="delivered").count() == 20


def test_the_web_finishes_a_request_that_runs_when_it_is_asked_to_end(tmp_path):
    """With the portal's own configuration of gunicorn, and a page that takes its time."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def app(environ, start_response):\n"
        f"    pathlib.Path({str(tmp_path / 'running')!r}).touch()\n"
        "    time.sleep(1.5)\n"
        "    start_response('200 OK', [('Content-Length', '4')])\n"
        "    return [b'done']\n"
    )
    port = reserve_port()
    environment = os.environ | {"PORT": str(port), "PYTHONPATH": str(tmp_path), "WEB_WORKERS": "1"}
    command = [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "slow:app"]
    web = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        wait_for(lambda: is_listening(port))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(requests.get, f"http://127.0.0.1:{port}/", timeout=30)
            wait_for((tmp_path / "running").exists)
            web.send_signal(signal.SIGTERM)
            assert answer.result().text == "done"
        assert web.wait(DRAINED) == 0
    finally:
        web.kill()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
