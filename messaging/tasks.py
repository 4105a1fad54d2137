from celery import shared_task

from billing.models import LedgerCheck
from messaging.services import dispatching, ledger_checks, partitions, receipts, settling
from messaging.wakeups import DISPATCH, RECEIPTS, SETTLE, taken, wake

# After this many in one go a task gives its place to others and comes back.
AT_ONCE = 20_000


@shared_task(name="messaging.tasks.dispatch_tick")
def dispatch_tick() -> None:
    """Every second: fill up every route's stock, whatever hints got lost."""
    dispatching.dispatch_all()


@shared_task(name=DISPATCH)
def dispatch_route(route_id: int) -> None:
    """Fill up one route's stock: messages were accepted, or its connectors run out."""
    taken(DISPATCH, route_id)
    dispatching.dispatch_route(route_id)


@shared_task(name=SETTLE)
def settle_messages() -> None:
    """Capture and release what waits for it."""
    taken(SETTLE)
    if settling.settle_waiting(AT_ONCE) >= AT_ONCE:
        wake(SETTLE)


@shared_task(name=RECEIPTS)
def apply_receipts() -> None:
    """Apply the receipts that are due, and have what they proved settled."""
    taken(RECEIPTS)
    applied = receipts.apply_waiting(AT_ONCE)
    if applied:
        wake(SETTLE)
    if applied >= AT_ONCE:
        wake(RECEIPTS)


@shared_task(name="messaging.tasks.ensure_partitions")
def ensure_partitions() -> None:
    """Every day: the months to come."""
    partitions.ensure_partitions()


@shared_task(name="messaging.tasks.verify_ledger")
def verify_ledger(mode: str = LedgerCheck.Mode.FULL) -> None:
    """Every night everything, every hour what changed: prove the books; staff are told when they are wrong."""
    ledger_checks.check_ledger(LedgerCheck.Mode(mode))
