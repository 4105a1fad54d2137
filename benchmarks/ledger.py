"""`make bench-ledger`: how fast the ledger is, beside the bare limit of the same engine in the same run.

Starts engines of its own on loopback, with fsync on, and removes them. Prints a table and last one JSON line; every
figure is the median of five runs (three with ``--quick``, on a tenth of the data).
"""

import argparse
import json
import multiprocessing
import secrets
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.portal import engines

CONNECTIONS = 8
GROUP = 100  # single-message batches accepted in one transaction
GROUPS = 5  # one after the other


def main() -> None:
    """Start the engines, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs on a tenth of the data")
    quick = parser.parse_args().quick
    with engines("bench-ledger") as postgres:
        _print(Bench(postgres.url, quick).run())


class Bench:
    """The measurements; ``scale`` and ``seconds`` are what ``quick`` shortens."""

    def __init__(self, url: str, quick: bool) -> None:
        from benchmarks import ledger_scene

        self.url = url
        self.runs, self.seconds, self.scale = (3, 1.0, 10) if quick else (5, 3.0, 1)
        self.tools = ledger_scene
        self.scene = ledger_scene.make_scene()

    def run(self) -> dict[str, float]:
        """Every figure by its key."""
        figures: dict[str, float] = {}
        for part in (self._hot_wallet, self._grouped, self._settlement, self._history):
            begun = time.monotonic()
            figures |= part()
            sys.stderr.write(f"{part.__name__.strip('_')}: {time.monotonic() - begun:.0f} s\n")
        return figures

    # --- One hot wallet --------------------------------------------------------------------------------------------

    def _hot_wallet(self) -> dict[str, float]:
        with psycopg.connect(self.url) as owner:
            owner.execute("CREATE TABLE bench_balance (id int PRIMARY KEY, balance numeric(18, 6) NOT NULL)")
            owner.execute("CREATE TABLE bench_row (id bigserial PRIMARY KEY, amount numeric(18, 6) NOT NULL)")
            owner.execute("INSERT INTO bench_balance VALUES (1, 0)")
        holds, bare = [], []
        for _ in range(self.runs):  # by turns, so that both see the same machine
            bare.append(self._together(self._update_bare))
            holds.append(self._together(self._hold))
        return {"hot_wallet_holds_per_s": median(holds), "bare_updates_per_s": median(bare)}

    def _together(self, work: Callable[[float], int]) -> float:
        """Deeds per second of CONNECTIONS processes that do ``work`` at once."""
        from django.db import connections

        connections.close_all()
        context = multiprocessing.get_context("fork")
        counts, barrier = context.Queue(), context.Barrier(CONNECTIONS)

        def worker() -> None:
            barrier.wait()
            counts.put(work(time.monotonic() + self.seconds))

        workers = [context.Process(target=worker) for _ in range(CONNECTIONS)]
        for process in workers:
            process.start()
        done = sum(counts.get(timeout=60) for _ in workers)
        for process in workers:
            process.join()
        return done / self.seconds

    def _update_bare(self, until: float) -> int:
        done = 0
        with psycopg.connect(self.url) as session:
            while time.monotonic() < until:
                session.execute("UPDATE bench_balance SET balance = balance - 0.07 WHERE id = 1")
                session.execute("INSERT INTO bench_row (amount) VALUES (-0.07)")
                session.commit()
                done += 1
        return done

    def _hold(self, until: float) -> int:
        from billing.services import ledger

        account, done = self.scene.sender.account, 0
        while time.monotonic() < until:
            ledger.hold_all([ledger.HoldOrder(
                batch_id=_batch_id(), account=account, payer=account, amount=Decimal("0.07"), reference="BENCH",
                quantity=1, actor=None,
            )])  # fmt: skip
            done += 1
        return done

    def _grouped(self) -> dict[str, float]:
        """Single-message batches through the whole acceptance, groups of them, one connection."""
        from messaging.services.acceptance import Single, accept_singles

        account, rates = self.scene.sender.account, []
        singles = [Single(account, None, "rest", "Bench", "Hello", f"+6141{n:07}") for n in range(GROUP)]
        for _ in range(self.runs):
            begun = time.monotonic()
            for _ in range(GROUPS):
                accept_singles(singles)
            rates.append(GROUPS * GROUP / (time.monotonic() - begun))
        return {"grouped_accepts_per_s": median(rates)}

    # --- Settlement ------------------------------------------------------------------------------------------------

    def _settlement(self) -> dict[str, float]:
        from messaging.services.settling import settle_waiting

        messages = 100_000 // self.scale
        rates, rows = [], []
        for _ in range(self.runs):
            self.tools.send(self.scene, messages)
            before, begun = self.tools.count_ledger_rows(), time.monotonic()
            settled = settle_waiting(messages)
            rates.append(settled / (time.monotonic() - begun))
            rows.append((self.tools.count_ledger_rows() - before) * 100_000 / settled)
        return {"settle_messages_per_s": median(rates), "ledger_rows_per_100k": median(rows)}

    # --- A million entries -----------------------------------------------------------------------------------------

    def _history(self) -> dict[str, float]:
        from django.db import connection

        from billing.models import LedgerCheck
        from messaging.services.ledger_checks import check_ledger

        # Holds of the first part have no messages, which the proofs would rightly name.
        with psycopg.connect(self.url) as owner:
            owner.execute("SET session_replication_role = replica")
            self._forget_bare_holds(owner)
        entries = 1_000_000 // self.scale
        self.tools.write_history(self.scene, self.url, entries, half=0)
        times = []
        for _ in range(self.runs):
            begun = time.monotonic()
            check, verdicts = check_ledger(LedgerCheck.Mode.FULL)
            times.append(time.monotonic() - begun)
            if not check.ok:
                sys.exit(f"the books are wrong: {[verdict for verdict in verdicts if verdict.count]}")
        begun = time.monotonic()
        check_ledger(LedgerCheck.Mode.SINCE)
        since = time.monotonic() - begun
        self.tools.write_history(self.scene, self.url, entries, half=1)
        connection.close()
        return {"statement_page_ms": self._page_ms(), "verify_1m_entries_s": median(times), "verify_since_s": since}

    def _forget_bare_holds(self, owner: psycopg.Connection[Any]) -> None:
        """Undo the hot wallet's holds: their entries, their movements, and what they moved."""
        mine = "SELECT id FROM billing_ledgertransaction WHERE reference = 'BENCH'"
        owner.execute(
            "UPDATE billing_ledgeraccount a SET balance = balance - e.total FROM (SELECT ledger_account_id,"  # noqa: S608
            f" sum(amount) AS total FROM billing_ledgerentry WHERE transaction_id IN ({mine}) GROUP BY 1) e"
            " WHERE e.ledger_account_id = a.id"
        )
        # The running balances of what followed in these two accounts move by as much.
        owner.execute(
            "UPDATE billing_ledgerentry l SET balance_after = balance_after - e.total FROM (SELECT ledger_account_id,"  # noqa: S608
            f" sum(amount) AS total, max(id) AS last FROM billing_ledgerentry WHERE transaction_id IN ({mine})"
            " GROUP BY 1) e WHERE e.ledger_account_id = l.ledger_account_id AND l.id > e.last"
        )
        owner.execute(f"DELETE FROM billing_ledgerentry WHERE transaction_id IN ({mine})")  # noqa: S608
        owner.execute(f"DELETE FROM billing_hold WHERE movement_id IN ({mine})")  # noqa: S608
        owner.execute("DELETE FROM billing_ledgertransaction WHERE reference = 'BENCH'")

    def _page_ms(self) -> float:
        """The slowest of: the newest page, a whole year, an old month, a rare kind; median of the runs of each."""
        from datetime import timedelta

        from django.test import Client
        from django.utils import timezone

        today = timezone.localdate()
        year, month = {"first": str(today - timedelta(days=364))}, today - timedelta(days=300)
        queries = [
            {}, year, year | {"kind": "manual"}, year | {"kind": "release"},
            {"first": str(month), "last": str(month + timedelta(days=30))},
        ]  # fmt: skip
        browser = Client(headers={"host": "127.0.0.1"})
        browser.force_login(self.scene.history.user, backend="allauth.account.auth_backends.AuthenticationBackend")
        browser.get("/billing/")  # templates are compiled by the first one
        return max(self._median_ms(browser, query) for query in queries)

    def _median_ms(self, browser: Any, query: dict[str, str]) -> float:
        times = []
        for _ in range(self.runs):
            begun = time.monotonic()
            answer = browser.get("/billing/", query)
            times.append(1000 * (time.monotonic() - begun))
            if answer.status_code != 200:
                sys.exit(f"the statement answers {answer.status_code}")
        return median(times)


GOALS = {"settle_messages_per_s": "≥ 30,000", "statement_page_ms": "< 50", "verify_1m_entries_s": "< 20"}


def _batch_id() -> UUID:
    """A UUIDv7, as batches have them: they follow time."""
    return UUID(int=time.time_ns() // 1_000_000 << 80 | 7 << 76 | 2 << 62 | secrets.randbits(62))


def _print(figures: dict[str, float]) -> None:
    bare = figures["bare_updates_per_s"]
    lines = [f"{'':28}{'median':>12}{'of bare':>10}  goal"]
    for key, value in figures.items():
        ratio = f"{value / bare:.2f}" if key in ("hot_wallet_holds_per_s", "grouped_accepts_per_s") else ""
        goal = "≥ 0.5 of bare" if key == "hot_wallet_holds_per_s" else GOALS.get(key, "")
        lines.append(f"{key:28}{value:12,.1f}{ratio:>10}  {goal}")
    figures["hold_ratio"] = figures["hot_wallet_holds_per_s"] / bare
    lines.append(json.dumps({key: round(value, 3) for key, value in figures.items()}))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
