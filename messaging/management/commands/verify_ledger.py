"""Prove the books: balances, zero sums, holds against messages, margins against quotes."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.proof import SHOWN, Verdict, run_proofs
from messaging.proof import PROOFS


class Command(BaseCommand):
    help = "Prove that every cent and every message agree; exit code 1 and a list of differences when they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="machine-readable: one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        verdicts = list(run_proofs(PROOFS))
        wrong = [verdict for verdict in verdicts if verdict.count]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "proofs": [vars(v) for v in verdicts]}, default=str))
        else:
            for verdict in verdicts:
                self._print(verdict)
        if wrong:
            raise CommandError(f"the books are wrong: {len(wrong)} of {len(verdicts)} proofs failed")

    def _print(self, verdict: Verdict) -> None:
        self.stdout.write(f"{'WRONG' if verdict.count else 'ok   '} {verdict.name}")
        for row in verdict.differences:
            self.stdout.write("        " + ", ".join(f"{name}={value}" for name, value in row.items()))
        if verdict.count > SHOWN:
            self.stdout.write(f"        … and {verdict.count - SHOWN} more")
