"""`make bench`: the send engine from acceptance to the last receipt settled, beside the engine's bare limits.

Starts engines (fsync on), the workers and connectors of `make run`, and a sink of its own, all on loopback, and removes
them. Prints a table with the processor time of every process and last one JSON line; every figure is the median of
three runs. The run fails unless every message is delivered and settled exactly once, the sink saw none twice, and the
books are proven.

``--quick`` (`make bench-quick`) is the same with smaller sizes, in under five minutes. ``--only batch,singles``
measures some parts, ``--statements`` also prints where PostgreSQL's time went.
"""

import argparse
import json
import sys
from dataclasses import dataclass

from benchmarks.portal import engines, say

GOALS = {
    "batch_per_s": "≥ 4,500, then 8,000",
    "tenants8_per_s": "≥ 0.9 of batch_per_s",
    "accept_100k_s": "≤ 8",
    "single_accept_per_s": "≥ 1,500",
    "single_accept_p95_ms": "≤ 100",
    "passcode_p95_ms": "≤ 500",
    "receipts_per_s": "≥ 5,000",
    "rss_growth_pct": "< 5",
    "cost_ratio_1m": "≤ 1.2",
    "cost_ratio_10m": "≤ 1.2",
    "messages_page_p95_ms": "≤ 100",
    "report_p95_ms": "≤ 100",
    "pages_p95_ms": "≤ 100",
}
BARE = {"copy_rows_per_s": "", "state_changes_per_s": "", "codec_submits_per_s": ""}


@dataclass(frozen=True)
class Sizes:
    """How much of everything a run measures."""

    runs: int
    batch: int  # messages of one batch
    singles: int  # single messages in all
    passcodes: int
    receipts: int
    memory: int  # messages over which memory is watched
    step: int  # messages of a batch of which the cost is compared
    history: tuple[int, int]  # rows in the table for cost_ratio_1m and cost_ratio_10m


FULL = Sizes(3, 100_000, 15_000, 60, 50_000, 1_000_000, 20_000, (1_000_000, 10_000_000))
QUICK = Sizes(1, 20_000, 3_000, 15, 10_000, 60_000, 5_000, (50_000, 200_000))


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one run")
    parser.add_argument("--only", default="", help="names of parts, with commas between")
    parser.add_argument("--statements", action="store_true", help="print PostgreSQL's costliest statements")
    options = parser.parse_args()
    with engines("bench", statements=options.statements) as postgres:
        from benchmarks.growth import Growth
        from benchmarks.traffic import Traffic

        with Traffic(postgres, QUICK if options.quick else FULL, statements=options.statements) as traffic:
            growth = Growth(traffic)
            parts = [
                ("bare", traffic.bare), ("batch", traffic.batch), ("tenants", traffic.tenants),
                ("accept", traffic.accept), ("singles", traffic.singles), ("passcode", traffic.passcode),
                ("receipts", traffic.receipts), ("memory", traffic.memory), ("growth", growth.run),
            ]  # fmt: skip
            wanted = set(options.only.split(",")) if options.only else {name for name, _ in parts}
            figures: dict[str, float] = {}
            for name, part in parts:
                if name in wanted:
                    say(f"--- {name}")
                    figures |= part()
            traffic.prove()
    _print(figures)


def _print(figures: dict[str, float]) -> None:
    lines = [f"{'':28}{'median':>12}{'of COPY':>9}{'of changes':>12}{'of codec':>10}  goal"]
    for key, goal in (GOALS | BARE).items():
        if key in figures:
            ratios = [_ratio(figures, key, bare) for bare in BARE]
            lines.append(f"{key:28}{figures[key]:12,.1f}{ratios[0]:>9}{ratios[1]:>12}{ratios[2]:>10}  {goal}".rstrip())
    lines.append(json.dumps({key: round(value, 3) for key, value in figures.items()}))
    sys.stdout.write("\n".join(lines) + "\n")


def _ratio(figures: dict[str, float], key: str, bare: str) -> str:
    if not key.endswith("_per_s") or key in BARE or bare not in figures:
        return ""
    return f"{figures[key] / figures[bare]:.3f}"


if __name__ == "__main__":
    main()
