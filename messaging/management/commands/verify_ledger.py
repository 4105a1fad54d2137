"""Prove the books: balances, zero sums, holds against messages, margins against quotes."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.models import LedgerCheck
from billing.proof import SHOWN, Verdict
from messaging.services.ledger_checks import check_ledger


class Command(BaseCommand):
    help = "Prove that every cent and every message agree; exit code 1 and a list of differences when they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="machine-readable: one JSON object")
        parser.add_argument(
            "--since-last", action="store_true", help="only what changed since the last clean run (docs/ledger.md)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        mode = LedgerCheck.Mode.SINCE if options["since_last"] else LedgerCheck.Mode.FULL
        check, verdicts = check_ledger(mode)
        if options["json"]:
            self.stdout.write(json.dumps(self._summary(check, verdicts), default=str))
        else:
            for verdict in verdicts:
                self._print(verdict)
        if not check.ok:
            count = sum(1 for verdict in verdicts if verdict.count)
            raise CommandError(f"the books are wrong: {count} of {len(verdicts)} proofs failed")

    def _summary(self, check: LedgerCheck, verdicts: list[Verdict]) -> dict[str, Any]:
        seconds = (check.finished_at - check.started_at).total_seconds() if check.finished_at else None
        return {
            "ok": check.ok,
            "mode": check.mode,
            "transactions": check.transactions,
            "seconds": seconds,
            "proofs": [vars(verdict) for verdict in verdicts],
        }

    def _print(self, verdict: Verdict) -> None:
        self.stdout.write(f"{'WRONG' if verdict.count else 'ok   '} {verdict.name}")
        for row in verdict.differences:
            self.stdout.write("        " + ", ".join(f"{name}={value}" for name, value in row.items()))
        if verdict.count > SHOWN:
            self.stdout.write(f"        … and {verdict.count - SHOWN} more")
