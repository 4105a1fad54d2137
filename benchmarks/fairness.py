"""`python -m benchmarks.fairness`: one tenant's many beside ten others' few, and a route's limit kept by two processes.

One tenant has a batch of 100,000 in the queue of a route of 500 messages a second. Ten others hand in one message a
second each, in the same class. Measured is how long each of those takes from being handed in to its submit at the
carrier, and how many submits the carrier saw in any one second. The route has four binds in two connector processes;
one of them is killed half-way. Uses the portal and the sink of `make bench`; prints a table and last one JSON line.
"""

import argparse
import json
import sys
import time
from bisect import bisect_left
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from benchmarks.portal import Processes, engines, say

if TYPE_CHECKING:
    from benchmarks.traffic import Traffic

OTHERS = 10
RATE = 500  # submits a second that the route allows
BINDS = 4
IN_HAND = 5  # of the few messages at most, in the hand of the process that is killed: it has claimed some 60 of all
GOALS = {
    "fair_p95_ms": "≤ 1,000", "route_busiest_second_pct": "≤ 100", "route_used_pct": "≥ 95", "takeover_s": "",
}  # fmt: skip


def main() -> None:
    """Start the portal, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a batch of 20,000, for 20 seconds instead of 60")
    quick = parser.parse_args().quick
    with engines("bench-fairness") as postgres:
        from benchmarks.sending import FULL, QUICK
        from benchmarks.traffic import Traffic

        with Traffic(postgres, QUICK if quick else FULL, statements=False) as traffic:
            figures = measure(traffic, 20 if quick else 60)
            traffic.prove()
    lines = [f"{key:28}{figures[key]:12,.1f}  {goal}".rstrip() for key, goal in GOALS.items()]
    lines.append(json.dumps({key: round(value, 3) for key, value in figures.items()}))
    sys.stdout.write("\n".join(lines) + "\n")


def measure(traffic: "Traffic", seconds: int) -> dict[str, float]:
    """The figures of one run of about so many seconds; leaves the route as it was."""
    from messaging.models import Route, SmppConnector
    from messaging.services.acceptance import accept_batch
    from messaging.services.cancelling import cancel_batch
    from tests.cast import fund, make_client

    route = Route.objects.filter(pk=traffic.scene.route.pk)
    before = route.values_list("throughput", flat=True).get()
    others = [make_client(traffic.scene.reseller, f"Few {number}") for number in range(OTHERS)]
    for other in others:
        fund(other, "1000")
    second = Processes(("connectors",))
    try:
        route.update(throughput=RATE)
        SmppConnector.objects.filter(route=route.get()).update(binds=BINDS)
        time.sleep(8)  # both processes look every few seconds, and divide the binds among themselves
        traffic.sink.ask("reset")
        tenant = traffic.scene.tenants[0]
        bulk = accept_batch(
            account=tenant.account, actor=tenant.user, door="web", sender="Bench", text="A batch of many",
            recipients=traffic.numbers(traffic.sizes.batch).split(), limit=traffic.sizes.batch,
        )  # fmt: skip
        say(f"{traffic.sizes.batch:,} of one tenant wait; {OTHERS} others hand in one a second each")
        handed_in, killed_at = _hand_in(others, seconds, second)
        time.sleep(3)
        arrivals = traffic.sink.ask("arrivals 61")
        cancel_batch(batch=bulk, actor=None)
    finally:
        second.stop()
        route.update(throughput=before)
        SmppConnector.objects.filter(route=route.get()).update(binds=1)
    return _figures(handed_in, arrivals, killed_at)


def _hand_in(others: list[Any], seconds: int, second: Processes) -> tuple[dict[str, float], float]:
    """One message a second of each; returns when each recipient's was handed in, and when the process was killed."""
    from messaging.models import MessageClass
    from messaging.services.acceptance import Single, accept_singles

    handed_in: dict[str, float] = {}
    killed_at, begun = 0.0, time.monotonic()
    for number in range(seconds * OTHERS):
        time.sleep(max(0.0, begun + number / OTHERS - time.monotonic()))
        recipient = f"6148{number:07d}"
        handed_in[recipient] = time.time()
        account = others[number % OTHERS].account
        accept_singles([Single(account, None, "rest", "Bench", "One of few", f"+{recipient}", MessageClass.BULK)])
        if not killed_at and number > seconds * OTHERS / 2:
            killed_at = time.time()
            second.kill()
    return handed_in, killed_at


def _figures(handed_in: dict[str, float], arrivals: dict[str, float], killed_at: float) -> dict[str, float]:
    lost = [recipient for recipient in handed_in if recipient not in arrivals]
    if len(lost) > IN_HAND:
        sys.exit(f"{len(lost)} of the few messages have not arrived")
    waits = [arrivals[one] - at for one, at in handed_in.items() if one in arrivals]
    moments = sorted(arrivals.values())
    busiest = max(bisect_left(moments, start + 1) - index for index, start in enumerate(moments))
    first, last = moments[0] + 2, killed_at
    steady = (bisect_left(moments, last) - bisect_left(moments, first)) / (last - first)
    return {
        "fair_p95_ms": 1000 * quantiles(waits, n=20)[-1],
        "route_busiest_second_pct": 100 * busiest / RATE,
        "route_used_pct": 100 * steady / RATE,
        "takeover_s": _takeover(moments, killed_at),
    }


def _takeover(moments: list[float], killed_at: float) -> float:
    """Seconds from the kill until the route's rate was reached again for a whole second."""
    at = killed_at
    while at < moments[-1] - 1:
        if bisect_left(moments, at + 1) - bisect_left(moments, at) >= 0.9 * RATE:
            return at - killed_at
        at += 0.05
    return float("inf")


if __name__ == "__main__":
    main()
