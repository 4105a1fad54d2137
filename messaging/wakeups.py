"""Waking workers early: a hint that there is work, given at most once until somebody has taken it.

Nothing depends on a hint. Beat's sweeps find the same work within seconds, so a broker that is down, flushed or slow
only costs that time.
"""

import structlog
from celery import current_app
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

DISPATCH = "messaging.tasks.dispatch_route"
DISPATCH_ALL = "messaging.tasks.dispatch_tick"
DUE = "messaging.tasks.dispatch_due"
PREPARE = "messaging.tasks.accept_prepared"
FAILOVER = "messaging.tasks.dispatch_failover"
SETTLE = "messaging.tasks.settle_messages"
RECEIPTS = "messaging.tasks.apply_receipts"
INBOUND = "messaging.tasks.receive_inbound"
ACTIONS = "messaging.tasks.do_inbound_actions"
CALLS = "messaging.tasks.make_inbound_calls"

# A hint that no worker took by then is dropped from the queue, so hints cannot pile up before a worker that is down.
LIFETIME = 10  # seconds


def wake(task: str, *args: int) -> None:
    """Have ``task`` run soon unless a hint for it waits already. Never raises for a broker that is away."""
    try:
        if cache.add(_key(task, *args), 1, timeout=LIFETIME):
            current_app.send_task(task, args, expires=LIFETIME, retry=False)
    except (OperationalError, RedisError) as error:
        log.warning("wake.not_given", task=task, detail=str(error))


def taken(task: str, *args: int) -> None:
    """A worker begins: work that comes after this needs a new hint. Call before looking for work."""
    try:
        cache.delete(_key(task, *args))
    except RedisError as error:
        log.warning("wake.not_cleared", task=task, detail=str(error))


def _key(task: str, *args: int) -> str:
    return ":".join(("wake", task, *map(str, args)))
