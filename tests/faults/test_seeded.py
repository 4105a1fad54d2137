"""Seeded runs: everything breaks at random moments while several accounts send; nothing is lost, nothing is doubled.

`make test` runs two short ones; `make test-faults` twenty long ones, `make test-faults SEEDS=50` more. A failure shows
its seed: `make test-faults SEEDS=1 FIRST_SEED=1234` plays the same faults again, at moments that the machine shifts.
"""

import os
import random
from collections.abc import Iterator

import pytest
from django.db import connections

from messaging.models import Route, SmppConnector
from reseller.run.stack import Stack
from tests.faults.chaos import Chaos, plan_faults
from tests.faults.traffic import LOGINS, Sender, Traffic, fund
from tests.faults.wire import Wire

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_db")]

LONG = bool(os.environ.get("FAULT_SEEDS"))
COUNT, FAULTS, SECONDS = (2400, 10, 14.0) if LONG else (300, 4, 4.0)
FIRST = int(os.environ.get("FIRST_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("FAULT_SEEDS") or 2))


@pytest.fixture(scope="module")
def senders(stack: Stack) -> dict[str, Sender]:
    """Everybody, logged in before anything breaks."""
    return {login: Sender(stack, login) for login in LOGINS}


@pytest.fixture
def wire(stack: Stack) -> Iterator[Wire]:
    """The connectors' way to the carrier."""
    port = int(stack.env["SIMULATOR_PORT"])
    with Wire(port) as running:
        SmppConnector.objects.update(port=running.port)
        yield running
        connections.close_all()
        SmppConnector.objects.update(port=port)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled_whatever_breaks(
    seed: int, stack: Stack, senders: dict[str, Sender], wire: Wire
) -> None:
    choice = random.Random(seed)
    window, binds = choice.randrange(5, 51), choice.randrange(1, 4)
    SmppConnector.objects.update(window=window, binds=binds)
    Route.objects.update(throughput=choice.randrange(200, 800))
    traffic, faults = Traffic.plan(choice, SEEDS.index(seed), COUNT), plan_faults(choice, FAULTS, SECONDS)
    print(f"seed {seed}, window {window}, binds {binds}:", *faults, sep="\n  ")
    fund(f"seed-{seed}-{stack.port}", COUNT)

    chaos = Chaos(stack, wire)
    with traffic.sent_by(senders):
        chaos.happen(faults)
    connections.close_all()
    traffic.wait_until_done(stack)

    states = traffic.check(stack, most_unknown=chaos.windows_lost(binds) * window)
    print(f"seed {seed}: {dict(states)}, at most {chaos.windows_lost(binds) * window} unknown")
