"""Releasing messages to a route's connectors: urgent first, accounts in turn, never more than it soon sends.

Only a small stock is released at a time, so that pausing, cancelling and urgent messages act at once. One dispatcher
works on a route at a time (the route's row lock); any number may run.
"""

import math
from dataclasses import dataclass

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from messaging.models import MessageClass, Route
from messaging.services.plans import pin_plans
from messaging.services.stopping import block_opted_out

STOCK_SECONDS = 1.0  # of the route's throughput; the house plan allows 2
RELEASED_CHANNEL = "messaging_released"  # NOTIFY to connectors; the payload is the route's id

# Walks from one account to the next on the index message_queue instead of reading 100,000 rows of the first.
_WAITING_ACCOUNTS = """
    WITH RECURSIVE waiting AS (
        (SELECT account_id FROM messaging_message
         WHERE route_id = %(route)s AND message_class = %(class)s AND state = 'queued'
         ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT m.account_id FROM messaging_message m
                WHERE m.route_id = %(route)s AND m.message_class = %(class)s AND m.state = 'queued'
                  AND m.account_id > w.account_id
                ORDER BY m.account_id LIMIT 1)
        FROM waiting w WHERE w.account_id IS NOT NULL
    )
    SELECT w.account_id FROM waiting w
    CROSS JOIN LATERAL (SELECT path FROM accounts_account WHERE id = w.account_id OFFSET 0) AS a
    WHERE (SELECT bool_and(line.status = 'active') FROM accounts_account line WHERE line.id = ANY(a.path))
    ORDER BY random()
"""

_STOCK = """
    SELECT count(*) FROM (
        SELECT FROM messaging_message WHERE route_id = %s AND state = 'released' AND message_class <= %s LIMIT %s) AS s
"""

_RELEASE = """
    WITH picked AS MATERIALIZED (
        SELECT m.id FROM unnest(%(accounts)s::bigint[]) AS one(account_id) CROSS JOIN LATERAL (
            SELECT id FROM messaging_message
            WHERE route_id = %(route)s AND message_class = %(class)s AND account_id = one.account_id
              AND state = 'queued'
            ORDER BY priority DESC, id LIMIT %(each)s FOR UPDATE SKIP LOCKED) AS m
        LIMIT %(room)s)
    UPDATE messaging_message m SET state = 'released', released_at = now()
    FROM picked WHERE m.id = picked.id
    RETURNING m.account_id
"""


@dataclass(frozen=True)
class Dispatched:
    """What one visit to a route did; ``wants_more`` when the queue held back what the stock had no room for."""

    released: int
    wants_more: bool


def dispatch_route(route_id: int) -> Dispatched:
    """Fill up the route's stock; returns what was released, 0 for a paused or unknown route.

    A route that another dispatcher holds for longer than a second is left to it. Recipients that have opted out since
    their message was accepted are seen to first.
    """
    block_opted_out()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            route = Route.objects.select_for_update(no_key=True).filter(pk=route_id, is_paused=False).first()
            if route is None:
                return Dispatched(0, False)
            pin_plans(cursor)
            return _fill_stock(cursor, route)
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        return Dispatched(0, True)


def dispatch_all() -> int:
    """Visit every route that is not paused; returns how many messages were released."""
    routes = Route.objects.filter(is_paused=False).order_by("pk").values_list("pk", flat=True)
    return sum(dispatch_route(route_id).released for route_id in routes)


def stock_limit(throughput: int) -> int:
    """How many messages may wait released on a route of ``throughput`` messages a second."""
    return max(1, math.ceil(throughput * STOCK_SECONDS))


def _fill_stock(cursor: CursorWrapper, route: Route) -> Dispatched:
    limit = stock_limit(route.throughput)
    released, wants_more = 0, False
    for message_class in MessageClass.values:  # the most urgent first
        accounts = _waiting_accounts(cursor, route.pk, message_class)
        if not accounts:
            continue
        # Less urgent messages in stock take no room from more urgent ones: connectors claim those first.
        cursor.execute(_STOCK, [route.pk, message_class, limit])
        room = limit - cursor.fetchone()[0]
        taken = _release(cursor, route.pk, message_class, accounts, room) if room > 0 else 0
        released += taken
        wants_more = wants_more or taken >= room
    if released:
        cursor.execute("SELECT pg_notify(%s, %s)", [RELEASED_CHANNEL, str(route.pk)])
    return Dispatched(released, wants_more)


def _waiting_accounts(cursor: CursorWrapper, route_id: int, message_class: int) -> list[int]:
    """Accounts with queued messages, none of them or above them suspended, in random order: all have equal chances."""
    cursor.execute(_WAITING_ACCOUNTS, {"route": route_id, "class": message_class})
    return [row[0] for row in cursor.fetchall()]


def _release(cursor: CursorWrapper, route_id: int, message_class: int, accounts: list[int], room: int) -> int:
    """Release ``room`` messages in equal shares; what some accounts leave of theirs goes to those that have more."""
    released = 0
    while accounts and released < room:
        each = max(1, (room - released) // len(accounts))
        cursor.execute(
            _RELEASE,
            {"route": route_id, "class": message_class, "accounts": accounts, "each": each, "room": room - released},
        )
        counts: dict[int, int] = {}
        for (account_id,) in cursor.fetchall():
            counts[account_id] = counts.get(account_id, 0) + 1
        released += sum(counts.values())
        accounts = [account_id for account_id in accounts if counts.get(account_id, 0) == each]
    return released
