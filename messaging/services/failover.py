"""Messages leave routes that cannot take them, for the next route of their plan that has not had them.

A message that its route has refused for now as often as ``Route.max_attempts`` goes to the next one, or fails when
there is none. What waits on a route that is down, throttled without a pause or draining goes to one that is up; where
there is none it waits on, for the route may come back. What a connector has claimed (``sending``) and what nobody knows
the fate of (``unknown``) is never touched. Each route has a message once, so it is tried at most as often as the routes
of its plan allow together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from accounts.models import Account
from accounts.prepared import PreparedCursor
from billing.models import CREDITS, Quote
from messaging.models import Message, Route
from messaging.services.plans import join_by_hash, pin_plans, unpin_plans
from messaging.services.rollups import CHANGED, NOTE
from messaging.services.route_states import down_routes, slowed_routes, up_routes
from messaging.services.routing import RoutePlanner
from messaging.wakeups import DISPATCH, SETTLE, wake

CHUNK = 2000  # messages in one transaction

_COLUMNS = "m.id, m.account_id, m.route_id, m.quote_id, m.recipient, m.parts, m.attempts, m.tried_routes, m.reason"
_EXHAUSTED = f"""
    SELECT {_COLUMNS} FROM messaging_message m
    WHERE m.state = 'scheduled' AND m.not_before <= now()
      AND EXISTS (SELECT FROM messaging_route r WHERE r.id = m.route_id AND m.attempts >= r.max_attempts)
    ORDER BY m.not_before LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608 (no values of others in it)
# Walks from one account to the next on the index message_queue.
_NEXT_ACCOUNT = """
    SELECT message_class, account_id FROM messaging_message
    WHERE route_id = %s AND state = 'queued' AND (message_class, account_id) > (%s, %s)
    ORDER BY message_class, account_id LIMIT 1
"""
_QUEUED = f"""
    SELECT {_COLUMNS} FROM messaging_message m
    WHERE m.route_id = %(route)s AND m.message_class = %(class)s AND m.account_id = %(account)s AND m.state = 'queued'
    ORDER BY m.priority DESC, m.id OFFSET %(skip)s LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_RELEASED = f"""
    SELECT {_COLUMNS} FROM messaging_message m WHERE m.route_id = %(route)s AND m.state = 'released'
    ORDER BY m.message_class, m.priority DESC, m.released_at, m.id LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608
# Rows are found by their ids (messaging/services/plans.py); the caller has locked them.
_MOVE = """
    UPDATE messaging_message m SET
        route_id = r.route_id, cost = r.cost, tried_routes = coalesce(m.tried_routes, '{}') || m.route_id, attempts = 0,
        state = 'queued', not_before = NULL, released_at = NULL, sending_at = NULL, error_code = '', reason = ''
    FROM unnest(%(ids)s::uuid[], %(routes)s::bigint[], %(costs)s::numeric[]) AS r(id, route_id, cost)
    WHERE m.id = ANY(%(ids)s::uuid[]) AND m.id = r.id
"""
_FAIL = f"""
    WITH changed AS (UPDATE messaging_message m SET
        state = %(state)s, done_at = now(), not_before = NULL, reason = r.reason
    FROM unnest(%(ids)s::uuid[], %(reasons)s::text[]) AS r(id, reason)
    WHERE m.id = ANY(%(ids)s::uuid[]) AND m.id = r.id
    {CHANGED}) {NOTE}
"""  # noqa: S608


class _Waiting(NamedTuple):
    """A message that its route cannot take; locked."""

    id: UUID
    account_id: int
    route_id: int
    quote_id: int
    recipient: str
    parts: int
    attempts: int
    tried_routes: list[int] | None
    reason: str


class _Move(NamedTuple):
    id: UUID
    route_id: int
    cost: Decimal | None


@dataclass(frozen=True)
class Rerouted:
    """What became of messages: how many go over another route, and how many failed for there is none."""

    moved: int = 0
    failed: int = 0


@dataclass
class _Planners:
    """The route planners of accounts and the platform's income of quotes, each looked up once."""

    _planners: dict[int, RoutePlanner] = field(default_factory=dict)
    _incomes: dict[int, Decimal | None] = field(default_factory=dict)

    def prepare(self, messages: list[_Waiting]) -> None:
        """Look up what these messages need."""
        accounts = {one.account_id for one in messages} - self._planners.keys()
        for account in Account.objects.filter(pk__in=accounts):
            self._planners[account.pk] = RoutePlanner(account)
        quotes = {one.quote_id for one in messages} - self._incomes.keys()
        for key, currency, chain in Quote.objects.filter(pk__in=quotes).values_list("pk", "currency", "chain"):
            # Credits were sold before and at another price; what they bring now is not known.
            self._incomes[key] = None if currency == CREDITS else Decimal(chain[0][1])

    def of(self, account_id: int) -> RoutePlanner:
        if account_id not in self._planners:
            self._planners[account_id] = RoutePlanner(Account.objects.get(pk=account_id))
        return self._planners[account_id]

    def next_of(self, message: _Waiting, without: set[int]) -> _Move | None:
        """The next route that has not had the message."""
        tried = {message.route_id, *(message.tried_routes or ())}
        choice = self._planners[message.account_id].choose(
            message.recipient, message.parts, self._incomes.get(message.quote_id), tried | without
        )
        return choice and _Move(message.id, choice.route_id, choice.cost)


def reroute_waiting() -> Rerouted:
    """Everything that has to leave its route now."""
    exhausted = reroute_exhausted()
    return Rerouted(exhausted.moved + reroute_stranded(), exhausted.failed)


def reroute_exhausted() -> Rerouted:
    """Messages that were refused for now as often as their route allows: to the next route, or failed."""
    planners, moved, failed = _Planners(), 0, 0
    while True:
        done = _reroute_exhausted_chunk(planners)
        moved, failed = moved + done.moved, failed + done.failed
        if done.moved + done.failed < CHUNK:
            return Rerouted(moved, failed)


@transaction.atomic
def _reroute_exhausted_chunk(planners: _Planners) -> Rerouted:
    with PreparedCursor() as cursor:
        messages = _pick(cursor, _EXHAUSTED, {"chunk": CHUNK})
        planners.prepare(messages)
        moves = [move for one in messages if (move := planners.next_of(one, set()))]
        _move(cursor, moves)
        gone = {move.id for move in moves}
        left = [one for one in messages if one.id not in gone]
        _fail(cursor, left)
    return Rerouted(len(moves), len(left))


def reroute_stranded() -> int:
    """What waits on routes that are down, throttled or draining goes to routes that are up; returns how many."""
    down, slowed, up = down_routes(), slowed_routes(), up_routes()
    closed, draining = set[int](), set[int]()
    for key, is_paused, is_draining in Route.objects.values_list("pk", "is_paused", "is_draining"):
        if is_draining:
            draining.add(key)
        if is_paused or is_draining or key in slowed or key not in up:
            closed.add(key)
    planners, moved = _Planners(), 0
    if not up - closed:
        return 0
    for route_id in sorted(down | slowed | draining):
        if route_id in down:
            moved += _move_picked(planners, closed, _RELEASED, {"route": route_id}).moved
        for message_class, account_id in _waiting_accounts(route_id):
            if planners.of(account_id).routes - closed:
                values = {"route": route_id, "class": message_class, "account": account_id}
                moved += _move_queue(planners, closed, values)
    return moved


def _waiting_accounts(route_id: int) -> Iterator[tuple[int, int]]:
    """(class, account) of everything queued on the route."""
    at = (-1, 0)
    while True:
        with transaction.atomic(), PreparedCursor() as cursor:
            pin_plans(cursor)
            cursor.execute(_NEXT_ACCOUNT, [route_id, *at])
            row = cursor.fetchone()
        if row is None:
            return
        at = (row[0], row[1])
        yield at


def _move_queue(planners: _Planners, closed: set[int], values: dict[str, int]) -> int:
    """Move an account's queue of one class; what no other route takes is passed over."""
    moved = skip = 0
    while True:
        done = _move_picked(planners, closed, _QUEUED, values | {"skip": skip})
        moved += done.moved
        skip += done.looked_at - done.moved
        if done.looked_at < CHUNK:
            return moved


class _Done(NamedTuple):
    looked_at: int
    moved: int


@transaction.atomic
def _move_picked(planners: _Planners, closed: set[int], query: str, values: dict[str, int]) -> _Done:
    with PreparedCursor() as cursor:
        messages = _pick(cursor, query, values | {"chunk": CHUNK})
        planners.prepare(messages)
        moves = [move for one in messages if (move := planners.next_of(one, closed))]
        _move(cursor, moves)
    return _Done(len(messages), len(moves))


def _pick(cursor: PreparedCursor, query: str, values: dict[str, int]) -> list[_Waiting]:
    pin_plans(cursor)
    cursor.execute(query, values)
    rows = [_Waiting(*row) for row in cursor.fetchall()]
    unpin_plans(cursor)
    return rows


def _move(cursor: PreparedCursor, moves: list[_Move]) -> None:
    if not moves:
        return
    join_by_hash(cursor)
    ids, routes, costs = (list(column) for column in zip(*moves, strict=True))
    cursor.execute(_MOVE, {"ids": ids, "routes": routes, "costs": costs})
    unpin_plans(cursor)
    _wake_all(DISPATCH, {move.route_id for move in moves})


def _fail(cursor: PreparedCursor, messages: list[_Waiting]) -> None:
    if not messages:
        return
    join_by_hash(cursor)
    reasons = [_in_words(one) for one in messages]
    cursor.execute(_FAIL, {"state": Message.State.FAILED, "ids": [one.id for one in messages], "reasons": reasons})
    unpin_plans(cursor)
    transaction.on_commit(partial(wake, SETTLE))


def _in_words(message: _Waiting) -> str:
    tried = "time" if message.attempts == 1 else "times"
    more = " No other way is left." if message.tried_routes else ""
    return f"{message.reason[:70]} Tried {message.attempts} {tried}.{more}".strip()


def _wake_all(task: str, keys: Iterable[int]) -> None:
    for key in sorted(keys):
        transaction.on_commit(partial(wake, task, key))
