from celery import shared_task
from django.utils import timezone

from billing.models import LedgerCheck
from messaging.rests import Rests
from messaging.services import (
    dispatching,
    expiring,
    failover,
    inbound,
    inbound_actions,
    inbound_calls,
    ledger_checks,
    partitions,
    preparing,
    receipts,
    rollups,
    route_health,
    scheduling,
    settling,
)
from messaging.wakeups import (
    ACTIONS,
    CALLS,
    DISPATCH,
    DISPATCH_ALL,
    DUE,
    FAILOVER,
    INBOUND,
    PREPARE,
    RECEIPTS,
    SETTLE,
    taken,
    wake,
)

# After this many in one go a task gives its place to others and comes back.
AT_ONCE = 20_000
ACTIONS_AT_ONCE = 2_000
# A visit to a route costs much the same for one message and for a hundred, and each small one makes connectors claim,
# submit and record as few. Other routes lose nothing: their rests pass at the same time.
_visits = Rests(times=10, most=0.05)


@shared_task(name=PREPARE)
def accept_prepared() -> None:
    """Check or accept one large sending; others of this queue come between it and the next."""
    taken(PREPARE)
    if preparing.prepare_next():
        wake(PREPARE)


@shared_task(name="messaging.tasks.forget_preparations")
def forget_preparations() -> None:
    """Every hour: forget what was typed long ago and never accepted."""
    preparing.forget_old(timezone.now())


@shared_task(name=DISPATCH_ALL)
def dispatch_tick() -> None:
    """Every second: fill up every route's stock, whatever hints got lost."""
    taken(DISPATCH_ALL)
    dispatching.dispatch_all()


@shared_task(name=DISPATCH)
def dispatch_route(route_id: int) -> None:
    """Fill up one route's stock: messages were accepted, or its connectors run out."""
    with _visits.turn(route_id):
        taken(DISPATCH, route_id)
        dispatching.dispatch_route(route_id, is_asked=True)


@shared_task(name=DUE)
def dispatch_due() -> None:
    """Queue what is due, a round at a time so that dispatching goes on between, and have its routes visited."""
    taken(DUE)
    queued = scheduling.queue_due()
    for route_id in queued.routes:
        wake(DISPATCH, route_id)
    if queued.count >= scheduling.CHUNK:
        wake(DUE)


@shared_task(name=FAILOVER)
def dispatch_failover() -> None:
    """Have messages leave routes that cannot take them."""
    taken(FAILOVER)
    failover.reroute_waiting()


@shared_task(name="messaging.tasks.dispatch_expired")
def dispatch_expired() -> None:
    """Let what is past its validity expire, wherever it waits."""
    while expiring.expire_late() >= expiring.BATCHES:
        pass


@shared_task(name="messaging.tasks.settle_silent")
def settle_silent() -> None:
    """Give messages whose receipt never came the status that their account wants."""
    while expiring.find_silent() >= expiring.MESSAGES:
        pass
    while expiring.end_silent() >= expiring.MESSAGES:
        pass


@shared_task(name=SETTLE)
def settle_messages() -> None:
    """Capture and release what waits for it."""
    taken(SETTLE)
    if settling.settle_waiting(AT_ONCE, patience=settling.RECEIPT_SECONDS) >= AT_ONCE:
        wake(SETTLE)


@shared_task(name=RECEIPTS)
def apply_receipts() -> None:
    """Apply the receipts that are due."""
    taken(RECEIPTS)
    if receipts.apply_waiting(AT_ONCE) >= AT_ONCE:
        wake(RECEIPTS)


@shared_task(name=INBOUND)
def receive_inbound() -> None:
    """Make messages of inbound parts, with their conversations and actions."""
    taken(INBOUND)
    if inbound.receive_waiting(AT_ONCE) >= AT_ONCE:
        wake(INBOUND)


@shared_task(name=ACTIONS)
def do_inbound_actions() -> None:
    """Reply, add to lists, forward by mail and to mobiles."""
    taken(ACTIONS)
    if inbound_actions.do_waiting(ACTIONS_AT_ONCE) >= ACTIONS_AT_ONCE:
        wake(ACTIONS)


@shared_task(name=CALLS)
def make_inbound_calls() -> None:
    """Post inbound messages to customers' servers; one round, for a slow server holds up its round only."""
    taken(CALLS)
    if inbound_calls.make_calls():
        wake(CALLS)


@shared_task(name="messaging.tasks.roll_up_reports")
def roll_up_reports() -> None:
    """Add what was counted since the last time to the sums that reports read."""
    rollups.roll_up()


@shared_task(name="messaging.tasks.recount_reports")
def recount_reports() -> None:
    """Every night: compare the last days' counts with the messages."""
    rollups.recount_recent()


@shared_task(name="messaging.tasks.sample_routes")
def sample_routes() -> None:
    """Every minute: the queue and the receipts' delay of each route, for its graph."""
    route_health.sample_routes()


@shared_task(name="messaging.tasks.ensure_partitions")
def ensure_partitions() -> None:
    """Every day: the months to come."""
    partitions.ensure_partitions()


@shared_task(name="messaging.tasks.verify_ledger")
def verify_ledger(mode: str = LedgerCheck.Mode.FULL) -> None:
    """Every night everything, every hour what changed: prove the books; staff are told when they are wrong."""
    ledger_checks.check_ledger(LedgerCheck.Mode(mode))
