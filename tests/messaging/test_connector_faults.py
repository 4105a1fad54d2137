"""What kills a connector, its database or its session loses and doubles nothing (messaging/connectors)."""

import asyncio
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command

from billing.models import Hold
from billing.selectors import balance_of
from messaging.models import Message, Receipt
from messaging.services.cancelling import cancel_batch
from smpp.simulator import Simulator, read_journal
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase
from tests.engines import ROOT
from tests.loops import run_scenario
from tests.messaging.carrier import OPEN, connect_route, connectors, do_work, in_thread, play, states, work_until
from tests.messaging.test_acceptance import accept, numbers
from tests.messaging.test_pace import busiest_second

D = Decimal
WINDOW = 20


def start(database: CommittedDatabase, log: Path) -> subprocess.Popen[bytes]:
    """A connector process of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "run_connectors"], cwd=ROOT, env=database.env, stdout=output, stderr=output
        )


def ordinary(count: int) -> list[str]:
    """Recipients whose last digits mean nothing to the simulated carrier."""
    return numbers(count, first=1000)


async def work_while(condition, seconds: float = 60) -> None:
    """Do workers' work as long as ``condition()`` holds."""
    async with asyncio.timeout(seconds):
        while condition():
            await in_thread(do_work)
            await asyncio.sleep(0.02)


def nothing_moves() -> bool:
    return not Message.objects.filter(state__in=("queued", "released", "sending", "sent")).exists() and not (
        Receipt.objects.filter(applied_at=None).exists()
    )


def break_connections(database: CommittedDatabase) -> int:
    """Cut every connection of the connectors, as an operator may; returns how many."""
    with psycopg.connect(database.url, autocommit=True) as administrator:
        return administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'connector%' AND datname = current_database()"
        ).rowcount


def test_a_killed_connector_loses_and_doubles_nothing(committed_db, client_member: Member, tmp_path):
    fund(client_member, "100")
    killed: list[int] = []

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=WINDOW, throughput=150))
        await in_thread(accept, client_member, ordinary(400))
        process = start(committed_db, tmp_path / "connectors.log")
        try:
            for threshold in (80, 200):
                await work_while(lambda: carrier.accepted_count < threshold)  # noqa: B023
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed.append(await in_thread(Message.objects.filter(state="sending").count))
                process = start(committed_db, tmp_path / "connectors.log")
            await work_until(nothing_moves, 90)
            process.send_signal(signal.SIGTERM)
            assert await in_thread(process.wait, 20) == 0
        finally:
            process.kill()

    play(scenario, tmp_path, retry_seconds=0.2)

    journal = read_journal(tmp_path)
    assert journal.duplicates == []
    assert all(count <= WINDOW for count in killed)
    unknown = set(Message.objects.filter(state="unknown").values_list("recipient", flat=True))
    assert len(unknown) <= sum(killed)
    assert Message.objects.filter(state="delivered").count() == 400 - len(unknown)
    # Whoever got the message counts as delivered; whoever is unknown never got it, or we would have its receipt.
    assert {entry.destination for entry in journal.accepted} == set(ordinary(400)) - unknown
    balance = balance_of(client_member.account)
    assert balance.held == D("0.07") * len(unknown)
    assert balance.available == D(110) - D("0.07") * 400
    call_command("verify_ledger")


def test_broken_database_connections_lose_and_double_nothing(committed_db, client_member: Member, tmp_path):
    fund(client_member, "100")
    broken: list[int] = []

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=WINDOW, throughput=200))
        await in_thread(accept, client_member, ordinary(400))
        async with connectors():
            for threshold in (50, 120, 200):
                await work_while(lambda: carrier.accepted_count < threshold)  # noqa: B023
                broken.append(await in_thread(break_connections, committed_db))
            await work_until(nothing_moves, 90)

    play(scenario, tmp_path, retry_seconds=0.2)

    assert sum(broken) >= 4
    assert read_journal(tmp_path).duplicates == []
    assert Message.objects.filter(state="delivered").count() == 400  # answers were kept until they could be recorded
    assert balance_of(client_member.account).held == D(0)
    call_command("verify_ledger")


def test_a_carrier_that_goes_away_and_returns_gets_nothing_twice(committed_db, client_member: Member, tmp_path):
    fund(client_member, "100")
    ports: list[int] = []

    async def first(carrier: Simulator) -> None:
        ports.append(carrier.port)
        await in_thread(lambda: connect_route(carrier.port, window=WINDOW, throughput=200))
        await in_thread(accept, client_member, ordinary(200))

    async def run() -> None:
        carrier = Simulator(state=tmp_path, retry_seconds=0.2)
        await carrier.start()
        await first(carrier)
        async with connectors():
            await work_while(lambda: carrier.accepted_count < 60)
            for session in carrier.sessions:
                session._transport.abort()
            await carrier.stop()
            await in_thread(do_work)
            carrier = Simulator(port=ports[0], state=tmp_path, retry_seconds=0.2)
            await carrier.start()
            await work_until(nothing_moves, 90)
        await carrier.stop()

    run_scenario(run())

    journal = read_journal(tmp_path)
    assert journal.duplicates == []
    unknown = set(Message.objects.filter(state="unknown").values_list("recipient", flat=True))
    assert len(unknown) <= WINDOW
    assert {entry.destination for entry in journal.accepted} == set(ordinary(200)) - unknown
    assert Message.objects.filter(state="delivered").count() == 200 - len(unknown)
    call_command("verify_ledger")


def test_a_second_process_takes_over_only_when_the_first_is_gone(committed_db, client_member: Member, tmp_path):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, throughput=100))
        async with connectors() as first, connectors():
            await asyncio.sleep(2.5)
            assert len(carrier.sessions) == 1
            first.end()
            await asyncio.sleep(0.5)
            await in_thread(accept, client_member, ordinary(5))
            await work_until(nothing_moves)
            assert len(carrier.sessions) == 1

    play(scenario, tmp_path)
    assert set(states().values()) == {"delivered"}


def test_a_stop_finishes_the_window_and_leaves_nothing_in_doubt(committed_db, client_member: Member, tmp_path):
    fund(client_member, "100")

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=WINDOW, throughput=100))
        await in_thread(accept, client_member, ordinary(300))
        async with connectors():
            await work_while(lambda: carrier.accepted_count < 100)
        assert carrier.sessions == []

    play(scenario, tmp_path)

    counts = {state: Message.objects.filter(state=state).count() for state in OPEN}
    assert counts["sending"] == counts["unknown"] == 0
    sent = Message.objects.exclude(sent_at=None).count()
    assert sent == len(read_journal(tmp_path).accepted)
    assert 100 <= sent < 300


def test_cancelling_against_claiming_sends_or_releases_each_message(committed_db, client_member: Member, tmp_path):
    fund(client_member, "100")

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=WINDOW, throughput=200))
        batch = await in_thread(accept, client_member, ordinary(300))
        async with connectors():
            await work_while(lambda: carrier.accepted_count < 60)
            await in_thread(lambda: cancel_batch(batch=batch, actor=None))
            await work_until(nothing_moves)

    play(scenario, tmp_path)

    journal = {entry.destination for entry in read_journal(tmp_path).accepted}
    assert (
        set(Message.objects.filter(state="cancelled").values_list("recipient", flat=True))
        == set(ordinary(300)) - journal
    )
    assert Message.objects.filter(state="delivered").count() == len(journal)
    hold = Hold.objects.get()
    assert hold.captured == D("0.07") * len(journal)
    assert hold.captured + hold.released == hold.amount == D(21)
    call_command("verify_ledger")


@pytest.mark.parametrize("binds", [1, 3])
def test_the_routes_rate_is_never_exceeded_in_any_second(committed_db, client_member: Member, tmp_path, binds):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=50, throughput=40, binds=binds))
        async with connectors():
            async with asyncio.timeout(10):
                while len(carrier.sessions) < binds:
                    await asyncio.sleep(0.05)
            await in_thread(accept, client_member, ordinary(120))
            await work_until(lambda: not Message.objects.filter(state__in=("queued", "released", "sending")).exists())

    play(scenario, tmp_path)

    moments = sorted(entry.at for entry in read_journal(tmp_path).accepted)
    assert len(moments) == 120
    busiest = busiest_second(moments)
    assert busiest <= 44  # the journal's clock shifts with this machine's load; tests of the pace are exact
    assert moments[-1] - moments[0] < 9  # 120 at 40 a second take 3 s, on a machine that has time for them
