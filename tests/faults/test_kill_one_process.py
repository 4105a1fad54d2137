"""Each process of `make run` is killed with -9 in the middle of a batch: nothing is lost, nothing is doubled."""

import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import OperationalError, connections

from accounts.models import Account, User
from billing.models import Hold
from billing.selectors import balance_of
from billing.services import ledger
from messaging.models import Batch, Message, Route, SmppConnector
from reseller.run.stack import Stack
from smpp.simulator import read_journal
from tests.conftest import differences
from tests.faults.traffic import Sender

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_db")]

CLIENT = "client@demo.example"
COUNT, RATE = 1_000, 250  # messages, and how many a second may go: four seconds, of which death comes in the first
PATIENCE = 120.0  # seconds until every message has its last state
VICTIMS = [
    "web", "worker-dispatch", "worker-settle", "worker-default", "beat", "connectors", "simulator", "stripe-double",
    "postgres", "valkey",
]  # fmt: skip
# Only these take what was written to the carrier's socket but not answered into the dark.
MAY_LEAVE_UNKNOWN = {"connectors", "simulator"}


def wait_until(holds: Callable[[], bool], batch_key: str) -> None:
    """Poll, also while the database is away."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except OperationalError:
            connections.close_all()
        time.sleep(0.2)
    raise TimeoutError(f"after {PATIENCE:.0f} s: {states_of(batch_key)}")


def states_of(batch_key: str) -> Counter[str]:
    return Counter(Message.objects.filter(batch__idempotency_key=batch_key).values_list("state", flat=True))


def is_done(batch_key: str) -> bool:
    """Every message has its last state (or is unknown), and no money waits for more than the unknown ones."""
    states = states_of(batch_key)
    hold = Hold.objects.get(batch_id=Batch.objects.get(idempotency_key=batch_key).pk)
    unknown = Message.objects.filter(batch_id=hold.batch_id, state="unknown").values_list("price", flat=True)
    return states.keys() <= {"delivered", "unknown"} and hold.amount - hold.captured - hold.released == sum(unknown)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_batch_survives_the_death_of(victim: str, stack: Stack) -> None:
    run = VICTIMS.index(victim)
    account = Account.objects.get(memberships__user__email=CLIENT)
    actor = User.objects.get(email=CLIENT)
    ledger.manual_payment(account=account, amount=Decimal(200), key=f"fault-{victim}", reason="fault test", actor=actor)
    before = balance_of(account).available
    recipients = [f"+614{10 + run}{number:06d}" for number in range(201_009, 201_009 + COUNT)]
    key, text = f"{run:032x}", f"Fault test: {victim} dies"

    Route.objects.update(throughput=RATE)
    sender = Sender(stack, "client")
    sender.send(recipients, text, key)
    wait_until(lambda: states_of(key)["delivered"] + states_of(key)["sent"] >= 100, key)
    old = stack.kill(victim)
    if victim == "web":  # the very same sending again, before and while it comes back
        sender.send(recipients, text, key)
    stack.wait_restarted(victim, old)
    wait_until(lambda: is_done(key), key)

    states = states_of(key)
    assert states.total() == COUNT
    window = SmppConnector.objects.get(is_enabled=True).window
    assert states["unknown"] <= (window if victim in MAY_LEAVE_UNKNOWN else 0)
    arrived = Counter(
        pdu.destination for pdu in read_journal(stack.local_dir / "simulator").accepted if pdu.text == text
    )
    assert max(arrived.values()) == 1
    assert states["delivered"] <= len(arrived) <= COUNT
    assert Batch.objects.filter(idempotency_key=key).count() == 1
    price = Message.objects.filter(batch__idempotency_key=key).values_list("price", flat=True)[0]
    assert before - balance_of(account).available == COUNT * price
    assert differences() == []
