"""`make bench-inbound`: messages from phones, from the carrier's socket to stored and to everything done.

A carrier over a real socket brings messages of as many phones, each with one of 10,000 keywords on 100 numbers, to a
connector process of its own (`manage.py run_connectors`). Every keyword answers, so every message ends in a reply that
is priced, held and queued. Beside it stands the bare limit of the same engine: the same rows inserted by one connection
in sets of as many as the connector stores at once.

Starts engines of its own on loopback, with fsync on, and removes them. Prints a table and last one JSON line; every
figure is the median of five runs, of what is done three on half of the messages (three and a tenth with ``--quick``).
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import psycopg

from benchmarks.portal import ROOT, engines
from smpp.pdu import BindRequest, Deliver, Submit, SubmitAnswer
from smpp.server import ServerSession, SmppServer

NUMBERS, KEYWORDS = 100, 10_000
MESSAGES = 10_000
WORKERS = 2  # processes that handle what is stored, as many as worker-settle runs
WINDOW = 500  # deliver_sm without an answer
PATIENCE = 300.0  # seconds


def main() -> None:
    """Start the engines, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of fewer messages")
    quick = parser.parse_args().quick
    with engines("bench-inbound") as postgres:
        _print(asyncio.run(Bench(postgres.url, quick).run()))


class Carrier:
    """A carrier to which one connector binds, and which brings it messages as fast as it takes them."""

    def __init__(self) -> None:
        self._server = SmppServer(
            "127.0.0.1", 0, authenticate=self._admit, on_submit=self._refuse, deliver_window=WINDOW
        )

    async def __aenter__(self) -> "Carrier":
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    @property
    def port(self) -> int:
        return self._server.port

    async def session(self) -> ServerSession:
        """The connector's session, once it is bound."""
        async with asyncio.timeout(60):
            while not self._server.sessions:
                await asyncio.sleep(0.05)
        return self._server.sessions[0]

    async def bring(self, delivers: list[Deliver]) -> float:
        """Bring all; returns the seconds until the last one is acknowledged."""
        session, began = await self.session(), time.monotonic()
        answers = []
        for deliver in delivers:
            await session.wait_for_slot()
            answers.append(session.deliver(deliver))
        if any(await asyncio.gather(*answers)):
            sys.exit("the connector refused a message")
        return time.monotonic() - began

    async def _admit(self, request: BindRequest) -> int:
        return 0

    async def _refuse(self, session: ServerSession, submit: Submit) -> SubmitAnswer:
        return SubmitAnswer(8)  # nothing is dispatched here


class Bench:
    """The measurements; ``quick`` shortens them."""

    def __init__(self, url: str, quick: bool) -> None:
        self.url = url
        self.runs, self.messages = (3, MESSAGES // 10) if quick else (5, MESSAGES)
        self.done_runs, self.done_messages = (3, MESSAGES // 10) if quick else (3, MESSAGES // 2)
        self._phones = itertools.count(20_000_000)

    async def run(self) -> dict[str, float]:
        """Every figure by its key."""
        async with Carrier() as carrier:
            await asyncio.to_thread(make_scene, carrier.port)
            _say("the scene is set")
            with _connectors():
                await carrier.bring(self._delivers(500))  # warms everything up
                await asyncio.to_thread(self._work_off)
                _say("warm")
                stored, bare, sets = [], [], []
                for _ in range(self.runs):  # by turns, so that both see the same machine
                    before = self._sets()
                    stored.append(self.messages / await carrier.bring(self._delivers(self.messages)))
                    sets.append(self.messages / max(1, self._sets() - before))
                    bare.append(self._insert_bare(max(1, round(median(sets)))))
                _say("stored")
                await asyncio.to_thread(self._forget)
                done = [await self._bring_and_do(carrier) for _ in range(self.done_runs)]
        return {
            "inbound_stored_per_s": median(stored), "inbound_done_per_s": median(done),
            "bare_inserts_per_s": median(bare), "messages_a_set": median(sets),
        }  # fmt: skip

    def _delivers(self, count: int) -> list[Deliver]:
        return [
            Deliver(f"+614{next(self._phones)}", number_of(index), f"word{index % KEYWORDS} please".encode())
            for index in range(count)
        ]

    def _sets(self) -> int:
        """In how many transactions parts were stored."""
        with psycopg.connect(self.url) as session:
            row = session.execute("SELECT count(DISTINCT xmin::text::bigint) FROM messaging_inboundpart").fetchone()
        return int(row[0]) if row else 0

    def _insert_bare(self, size: int) -> float:
        """Rows a second that one connection inserts, ``size`` at a time, into the very table."""
        columns = "(route_id, sender, recipient, text, reference, carrier_id, handled_at)"
        with psycopg.connect(self.url, autocommit=True) as session:
            began = time.monotonic()
            for _ in range(self.messages // size):
                session.execute(
                    f"INSERT INTO messaging_inboundpart {columns}"  # noqa: S608
                    " SELECT 1, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[],"
                    " %s::timestamptz[])",
                    [["+61412345678"] * size, ["+61480000001"] * size, ["word1 please"] * size, [""] * size,
                     [""] * size, ["2026-01-01"] * size],
                )  # fmt: skip
            seconds = time.monotonic() - began
            session.execute("DELETE FROM messaging_inboundpart WHERE handled_at = '2026-01-01'")
        return (self.messages // size) * size / seconds

    def _forget(self) -> None:
        """What was stored for the first figure is not part of the second."""
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute("DELETE FROM messaging_inboundpart WHERE handled_at IS NULL")
            session.execute("VACUUM ANALYZE messaging_inboundpart")

    async def _bring_and_do(self, carrier: Carrier) -> float:
        """Messages a second from the first deliver_sm to the last action done, with workers at work meanwhile."""
        from django.db import connections

        connections.close_all()
        stop = multiprocessing.get_context("fork").Event()
        workers = [multiprocessing.get_context("fork").Process(target=_work, args=(stop,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        began = time.monotonic()
        await carrier.bring(self._delivers(self.done_messages))
        while await asyncio.to_thread(self._open) and time.monotonic() - began < PATIENCE:
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
        stop.set()
        for worker in workers:
            await asyncio.to_thread(worker.join)
        self._check()
        return self.done_messages / seconds

    def _open(self) -> bool:
        """Whether anything waits."""
        with psycopg.connect(self.url) as session:
            row = session.execute(
                "SELECT EXISTS (SELECT FROM messaging_inboundpart WHERE handled_at IS NULL)"
                " OR EXISTS (SELECT FROM messaging_inboundaction WHERE state = 'waiting')"
            ).fetchone()
        return bool(row and row[0])

    def _check(self) -> None:
        """A figure counts only when every message was answered."""
        with psycopg.connect(self.url) as session:
            row = session.execute(
                "SELECT (SELECT count(*) FROM messaging_inboundmessage),"
                " (SELECT count(*) FROM messaging_inboundaction WHERE state = 'done'),"
                " (SELECT count(*) FROM messaging_message)"
            ).fetchone()
        if row is None or len(set(row)) != 1:
            sys.exit(f"messages, actions done and replies are {row}")

    def _work_off(self) -> None:
        from django.db import connections

        from messaging.services.inbound import receive_waiting
        from messaging.services.inbound_actions import do_waiting

        while self._open():
            receive_waiting(20_000)
            do_waiting(2_000)
        connections.close_all()


def number_of(index: int) -> str:
    """The virtual number that has the keyword of a message."""
    return f"+6148{(index % KEYWORDS) % NUMBERS:07d}"


def make_scene(port: int) -> None:
    """Commit a carrier's route, 100 leased numbers with 10,000 keywords that answer, and money for the answers."""
    from django.db import connections, transaction

    from accounts.services.accounts import get_platform
    from messaging.models import SmppConnector
    from tests.cast import fund, make_client, make_rates, make_reseller, make_route
    from tests.keywords.scene import hold_number, put_keywords

    get_platform()
    make_rates()
    SmppConnector.objects.create(
        route=make_route(),
        host="127.0.0.1",
        port=port,
        system_id="bench",
        password="bench",  # noqa: S106
    )
    clients = [make_client(make_reseller(f"Reseller {n}"), f"Client {n}") for n in range(10)]
    for client in clients:
        fund(client, "1000000")
    numbers = {number_of(n): clients[n % len(clients)] for n in range(NUMBERS)}
    with transaction.atomic():
        rows = {text: hold_number(client, text) for text, client in numbers.items()}
        words: dict[str, list[str]] = {text: [] for text in rows}
        for index in range(KEYWORDS):
            words[number_of(index)].append(f"word{index}")
        for text, client in numbers.items():
            put_keywords(client, rows[text], words[text], first_reply="Thanks, you are in!")
    with connections["default"].cursor() as cursor:
        cursor.execute("ANALYZE")
    connections.close_all()


def _work(stop: Any) -> None:
    """A worker's process: what hints and sweeps make worker-settle do."""
    from messaging.services.inbound import receive_waiting
    from messaging.services.inbound_actions import do_waiting

    while not stop.is_set():
        if not receive_waiting(20_000) + do_waiting(2_000):
            time.sleep(0.02)


_BEGAN = time.monotonic()


def _say(what: str) -> None:
    sys.stderr.write(f"{what}: {time.monotonic() - _BEGAN:.0f} s\n")


@contextmanager
def _connectors() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "manage.py", "run_connectors"], cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


def _print(figures: dict[str, float]) -> None:
    bare = figures["bare_inserts_per_s"]
    goals = {"inbound_stored_per_s": "≥ 1,500"}
    lines = [f"{'':28}{'median':>12}{'of bare':>10}  goal"]
    for key, value in figures.items():
        ratio = f"{value / bare:.2f}" if key in ("inbound_stored_per_s", "inbound_done_per_s") else ""
        lines.append(f"{key:28}{value:12,.1f}{ratio:>10}  {goals.get(key, '')}".rstrip())
    lines.append(json.dumps({key: round(value, 3) for key, value in figures.items()}))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
