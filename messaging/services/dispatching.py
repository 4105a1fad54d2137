"""Releasing messages to a route's connectors: urgent first, accounts in turn, never more than it soon sends.

Only a small stock is released at a time, so that pausing, cancelling and urgent messages act at once, and so that a
single message is not long behind another account's many. One dispatcher works on a route at a time (the route's row
lock); any number may run. What an account may send on all routes is in sending_limits.py, whose turn it is in turns.py.
"""

import json
import math
import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from django.db import OperationalError, transaction

from accounts.prepared import PreparedCursor
from messaging.models import MessageClass, Route
from messaging.services.plans import PINS
from messaging.services.rollups import note_late
from messaging.services.scheduling import LATE
from messaging.services.sending_limits import Allowances, is_open
from messaging.services.stopping import block_opted_out
from messaging.services.turns import apportion

STOCK_SECONDS = 0.3  # of the route's throughput; the house plan allows 2
# NOTIFY to connectors; the payload is the route's id, with MORE behind it when messages wait that the stock had no room
# for, or that a limit may soon let go: then whoever claims asks for another visit.
RELEASED_CHANNEL = "messaging_released"
MORE = "+"
AT_ONCE = "="  # behind it where messages were released as they were accepted, which tells nothing of what waits
# How far into the queue of an account that has used up its day is looked for messages to be tried again: these were
# counted when they were released first, and stand before the others.
RETRIES = 20

# Walks from one account to the next on the index message_queue instead of reading 100,000 rows of the first.
_WAITING_ACCOUNTS = """
    SELECT c.class, w.account_id, a.path, coalesce(t.priority, 0), coalesce(t.weight, 1), t.dispatch_from,
        t.dispatch_until, a.time_zone, now()
    FROM unnest(%(classes)s::smallint[]) AS c(class)
    CROSS JOIN LATERAL (
        WITH RECURSIVE waiting AS (
            (SELECT account_id FROM messaging_message
             WHERE route_id = %(route)s AND message_class = c.class AND state = 'queued'
             ORDER BY account_id LIMIT 1)
            UNION ALL
            SELECT (SELECT m.account_id FROM messaging_message m
                    WHERE m.route_id = %(route)s AND m.message_class = c.class AND m.state = 'queued'
                      AND m.account_id > w.account_id
                    ORDER BY m.account_id LIMIT 1)
            FROM waiting w WHERE w.account_id IS NOT NULL)
        SELECT account_id FROM waiting WHERE account_id IS NOT NULL) AS w
    CROSS JOIN LATERAL (SELECT path, time_zone FROM accounts_account WHERE id = w.account_id OFFSET 0) AS a
    LEFT JOIN LATERAL (
        SELECT priority, weight, dispatch_from, dispatch_until FROM messaging_sendingterms
        WHERE account_id = w.account_id OFFSET 0) AS t ON true
    WHERE (SELECT bool_and(line.status = 'active') FROM accounts_account line WHERE line.id = ANY(a.path))
"""

# A route that another dispatcher holds for longer than a second is left to it.
_BEGIN = f"SELECT set_config('lock_timeout', '1s', true), {PINS}"
_LOCK_ROUTE = """
    SELECT id, throughput FROM messaging_route WHERE id = %(route)s AND NOT is_paused FOR NO KEY UPDATE
"""
_STOCK = """
    SELECT count(*) FROM (
        SELECT FROM messaging_message WHERE route_id = %s AND state = 'released' AND message_class <= %s LIMIT %s) AS s
"""

_RELEASE = f"""
    WITH picked AS MATERIALIZED (
        SELECT m.id, m.account_id, m.quote_id, m.is_late, m.is_retry
        FROM unnest(%(accounts)s::bigint[], %(each)s::int[], %(retries)s::bool[]) AS one(account_id, each, retries_only)
        CROSS JOIN LATERAL (
            SELECT id, account_id, quote_id, coalesce(valid_until <= now(), false) AS is_late,
                attempts > 0 OR tried_routes IS NOT NULL AS is_retry
            FROM messaging_message
            WHERE route_id = %(route)s AND message_class = %(class)s AND account_id = one.account_id
              AND state = 'queued'
            ORDER BY priority DESC, id LIMIT one.each FOR UPDATE SKIP LOCKED) AS m
        WHERE m.is_retry OR NOT one.retries_only),
    moved AS (
        UPDATE messaging_message m SET
            state = CASE WHEN picked.is_late THEN 'expired' ELSE 'released' END,
            released_at = CASE WHEN picked.is_late THEN m.released_at ELSE now() END,
            done_at = CASE WHEN picked.is_late THEN now() END,
            reason = CASE WHEN picked.is_late THEN %(late)s ELSE m.reason END
        FROM picked WHERE m.id = picked.id
        RETURNING m.account_id, picked.is_late, picked.is_retry),
    noted AS ({note_late("picked")})
    SELECT account_id, count(*), count(*) FILTER (WHERE is_late), count(*) FILTER (WHERE NOT is_late AND NOT is_retry)
    FROM moved GROUP BY account_id
"""  # noqa: S608 (no values of others in it)


@dataclass(frozen=True)
class Dispatched:
    """What one visit to a route did; ``wants_more`` when the queue held back what the stock had no room for."""

    released: int
    wants_more: bool


class _Route(NamedTuple):
    """The route that is visited, its row locked; ``throughput`` in messages a second."""

    pk: int
    throughput: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An account with queued messages of a class: ids from the root down to it, its priority and its weight."""

    account_id: int
    path: list[int]
    priority: int
    weight: int


class _Taken(NamedTuple):
    """What a release took of one account's queue; ``late`` ones expired instead, ``fresh`` were never tried before."""

    total: int = 0
    late: int = 0
    fresh: int = 0


def dispatch_route(route_id: int, *, is_asked: bool = False) -> Dispatched:
    """Fill up the route's stock; returns what was released, 0 for a paused or unknown route.

    A route that another dispatcher holds for longer than a second is left to it. Recipients that have opted out since
    their message was accepted are seen to first. Connectors, which ask for visits, are also told of one that found
    nobody waiting: until messages are accepted again it need not be repeated.
    """
    block_opted_out()
    try:
        with transaction.atomic(), PreparedCursor() as cursor:
            cursor.execute(_BEGIN)
            route = cursor.execute(_LOCK_ROUTE, {"route": route_id}).fetchone()
            if route is None:
                return Dispatched(0, False)
            return _Visit(cursor, _Route(*route)).fill_stock(is_asked=is_asked)
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


class _Visit:
    """One look at a route in one transaction, which holds the route's row."""

    def __init__(self, cursor: PreparedCursor, route: _Route) -> None:
        self._cursor = cursor
        self._route = route
        self._released = 0

    def fill_stock(self, *, is_asked: bool) -> Dispatched:
        limit = stock_limit(self._route.throughput)
        waiting = self._find_waiting()
        if not waiting:
            if is_asked:
                self._tell()
            return Dispatched(0, False)
        self._allowances = Allowances(self._cursor, (one.path for found in waiting.values() for one in found))
        turns = _Turns(self._cursor, self._route.pk, needed=any(len(found) > 1 for found in waiting.values()))
        wants_more = False
        for message_class, accounts in waiting.items():  # the most urgent first
            # Less urgent messages in stock take no room from more urgent ones: connectors claim those first.
            [(stock,)] = self._cursor.execute(_STOCK, [self._route.pk, message_class, limit])
            room = limit - stock
            taken = self._release_class(message_class, accounts, room, turns.of(message_class)) if room > 0 else 0
            wants_more = wants_more or taken >= room
        self._allowances.save()
        turns.save(waiting)
        if self._released or wants_more:
            self._tell(MORE if wants_more or self._allowances.are_limited else "")
        return Dispatched(self._released, wants_more)

    def _tell(self, more: str = "") -> None:
        """Tell connectors of this visit, once it is committed."""
        self._cursor.execute("SELECT pg_notify(%s, %s)", [RELEASED_CHANNEL, f"{self._route.pk}{more}"])

    def _find_waiting(self) -> dict[int, list[_Waiting]]:
        """Accounts whose messages may go now, as to dispatch hours and suspensions, the highest priority first.

        By class, the most urgent first; a class of which nobody waits is not in it.
        """
        waiting = defaultdict[int, list[_Waiting]](list)
        self._cursor.execute(_WAITING_ACCOUNTS, {"route": self._route.pk, "classes": MessageClass.values})
        for message_class, account_id, path, priority, weight, begin, end, zone, now in self._cursor.fetchall():
            if message_class == MessageClass.PASSCODE or is_open(begin, end, zone, now):
                waiting[message_class].append(_Waiting(account_id, path, priority, weight))
        for found in waiting.values():
            found.sort(key=lambda one: (-one.priority, one.account_id))
        return dict(sorted(waiting.items()))

    def _release_class(self, message_class: int, accounts: list[_Waiting], room: int, credits: dict[int, float]) -> int:
        """Take up to ``room`` messages; accounts of a lower priority get what those of a higher one leave."""
        released = 0
        for _, tier in groupby(accounts, key=lambda one: one.priority):
            if released < room:
                released += self._release_tier(message_class, list(tier), room - released, credits)
        return released

    def _release_tier(self, message_class: int, accounts: list[_Waiting], room: int, credits: dict[int, float]) -> int:
        """Give turns until the room is full; what some accounts leave of theirs goes to those that have more."""
        released, waiting = 0, {one.account_id: one for one in accounts}
        while released < room and waiting:
            weights = {account_id: one.weight for account_id, one in waiting.items()}
            turns = apportion(room - released, weights, credits)
            found = self._release(message_class, [(waiting[key], count) for key, count in turns.items() if count])
            for account_id, count in turns.items():
                taken = found.get(account_id, _Taken()).total
                released += taken
                if taken < count:  # has no more, or may not now: what it leaves is not kept for it
                    del waiting[account_id]
                    credits.pop(account_id, None)
        return released

    def _release(self, message_class: int, turns: list[tuple[_Waiting, int]]) -> dict[int, _Taken]:
        """Release up to so many messages of each account as its limits allow."""
        asked: list[tuple[_Waiting, int, int, bool]] = []
        if self._allowances.divide([one.path for one, _ in turns]):
            random.shuffle(turns)  # where less is left than accounts share it
        for one, turn in turns:
            paced = self._allowances.pace(one.path, turn)
            fresh = self._allowances.today(one.path, paced)
            if paced > 0:
                each = fresh if fresh > 0 else min(paced, RETRIES)
                self._allowances.take(one.path, each, max(fresh, 0))
                asked.append((one, each, max(fresh, 0), fresh <= 0))
        if not asked:
            return {}
        found = self._run(message_class, asked)
        for one, each, fresh, _ in asked:
            taken = found.get(one.account_id, _Taken())
            self._allowances.take(one.path, taken.total - taken.late - each, taken.fresh - fresh)
            self._released += taken.total - taken.late
        return found

    def _run(self, message_class: int, asked: list[tuple[_Waiting, int, int, bool]]) -> dict[int, _Taken]:
        values: dict[str, Any] = {
            "route": self._route.pk, "class": message_class, "late": LATE,
            "accounts": [one.account_id for one, *_ in asked], "each": [each for _, each, *_ in asked],
            "retries": [retries_only for *_, retries_only in asked],
        }  # fmt: skip
        self._cursor.execute(_RELEASE, values)
        return {account_id: _Taken(*counts) for account_id, *counts in self._cursor.fetchall()}


class _Turns:
    """What the accounts waiting for a route are owed, by class; kept between visits where several accounts wait."""

    def __init__(self, cursor: PreparedCursor, route_id: int, *, needed: bool) -> None:
        self._cursor = cursor
        self._route_id = route_id
        self._credits: dict[str, dict[str, float]] = {}
        self._used: dict[int, dict[int, float]] = {}
        self._needed = needed
        if needed:
            cursor.execute("SELECT credits::text FROM messaging_routeturns WHERE route_id = %s", [route_id])
            row = cursor.fetchone()
            self._credits = json.loads(row[0]) if row else {}

    def of(self, message_class: int) -> dict[int, float]:
        """The credits of a class, to be changed."""
        kept = self._credits.get(str(message_class), {})
        return self._used.setdefault(message_class, {int(account): credit for account, credit in kept.items()})

    def save(self, waiting: dict[int, list[_Waiting]]) -> None:
        """Keep the credits of those who wait; who has gone is owed nothing when it comes again."""
        if not self._needed:
            return
        kept: dict[str, dict[str, float]] = {}
        for message_class, credits in self._used.items():
            accounts = {one.account_id for one in waiting[message_class]}
            kept[str(message_class)] = {
                str(account): round(credit, 6) for account, credit in credits.items() if credit and account in accounts
            }
        if kept != self._credits:
            self._cursor.execute(
                "INSERT INTO messaging_routeturns (route_id, credits) VALUES (%s, %s::jsonb)"
                " ON CONFLICT (route_id) DO UPDATE SET credits = EXCLUDED.credits",
                [self._route_id, json.dumps(kept)],
            )
