"""Keys of one page of messages, newest first: whatever is asked for, a request reads a bounded part of the table.

Each filter has an index that finds its messages newest first, or finds so few that they can be sorted:

- none: the account's own keys (messaging/key_models.py);
- a recipient: the keys as well;
- a settlement, a batch: theirs; a large batch is walked in its account's;
- states in which few messages end: (account, state, -id) of these only;
- states that do not last: the counts of the reports tell in which quarters of an hour such messages are left;
- delivered, which most are: the account's own, past those that are not.

The last two look at LOOK messages in one request. Where that ends before the page is full, the page's ``older`` key
goes on from there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from messaging.keyset import PAGE_SIZE, Cursor, Page
from messaging.models import Batch, Message, time_of
from messaging.periods import uuid_floor

State = Message.State

LOOK = 12_000  # messages looked at in one request: some 80 ms
FEW = 5_000  # so many may be sorted
QUARTER = timedelta(minutes=15)
# After this long no message of a batch is written any more.
WRITTEN_WITHIN = timedelta(minutes=15)
CLOCKS_APART = timedelta(minutes=1)  # at most, the portal's and the database's, which makes the keys
LAST = UUID(int=2**128 - 1)
# As the index message_failed has them: written into its statements, for the planner to know.
RARE = (State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.BLOCKED, State.CANCELLED, State.FAILED)
PASSING = tuple(state for state in State if state not in Message.FINAL)

# Only keys are read, from an index that has all of them: with the other scans off, nothing else can be walked. The
# planner would rather walk all tenants' keys where it thinks that an account has many.
_SCANS = ("indexscan", "bitmapscan", "seqscan", "hashjoin", "mergejoin")
_SWITCH = "SELECT " + ", ".join(f"set_config('enable_{name}', %(switch)s, true)" for name in _SCANS)
_WALK = """
    SELECT k.id FROM unnest(%(accounts)s::bigint[]) AS tenant(key) CROSS JOIN LATERAL (
        SELECT message_id AS id FROM messaging_messagekey
        WHERE account_id = tenant.key AND message_id >= %(low)s AND message_id < %(high)s
        ORDER BY message_id {order} LIMIT %(limit)s) AS k
    ORDER BY k.id {order} LIMIT %(limit)s
"""
# Each message is read by its id and only then compared (OFFSET 0): the planner takes a batch that is new for an empty
# one, and would compare all messages of it with all keys.
# What lies beyond the last key looked at of a span is not known, so nothing beyond the nearest such key counts.
_SEARCH = """
    WITH looked AS MATERIALIZED (
        SELECT span.n, k.id FROM unnest(%(accounts)s::bigint[], %(lows)s::uuid[], %(highs)s::uuid[]) WITH ORDINALITY
            AS span(account_id, low, high, n)
        CROSS JOIN LATERAL (
            SELECT message_id AS id FROM messaging_messagekey
            WHERE account_id = span.account_id AND message_id >= span.low AND message_id < span.high
            ORDER BY message_id {order} LIMIT %(each)s) AS k),
    cut AS (
        SELECT {nearest}(last)::uuid AS edge
        FROM (SELECT {farthest}(id::text) AS last FROM looked GROUP BY n HAVING count(*) = %(each)s) AS ended)
    SELECT edge, ARRAY(
        SELECT looked.id FROM looked CROSS JOIN LATERAL (
            SELECT state, batch_id FROM messaging_message WHERE id = looked.id OFFSET 0) AS m
        WHERE m.state = ANY(%(states)s) AND (%(batch)s::uuid IS NULL OR m.batch_id = %(batch)s)
          AND (edge IS NULL OR looked.id {within} edge)
        ORDER BY looked.id {order} LIMIT %(limit)s)
    FROM cut
"""
# Their states are only looked at where some are asked for.
_TO_RECIPIENT = """
    SELECT k.id FROM unnest(%(accounts)s::bigint[]) AS tenant(key) CROSS JOIN LATERAL (
        SELECT message_id AS id FROM messaging_messagekey
        WHERE account_id = tenant.key AND recipient = %(recipient)s
          AND message_id >= %(low)s AND message_id < %(high)s
          AND (%(states)s::text[] = '{{}}' OR (
            SELECT state FROM messaging_message WHERE id = message_id) = ANY(%(states)s))
        ORDER BY message_id {order} LIMIT %(limit)s) AS k
    ORDER BY k.id {order} LIMIT %(limit)s
"""
_BETWEEN = """
    SELECT k.message_id FROM (
        SELECT message_id FROM messaging_messagekey
        WHERE account_id = %(account)s AND recipient = %(recipient)s AND message_id < %(before)s
        ORDER BY message_id DESC OFFSET 0) AS k
    CROSS JOIN LATERAL (
        SELECT FROM messaging_message WHERE id = k.message_id AND sender = %(sender)s OFFSET 0) AS m
    ORDER BY k.message_id DESC LIMIT %(limit)s
"""
_FEW = """
    WITH found AS MATERIALIZED (SELECT id, state, account_id FROM messaging_message WHERE {which})
    SELECT id FROM found
    WHERE id >= %(low)s AND id < %(high)s AND account_id = ANY(%(accounts)s)
      AND (%(states)s::text[] = '{{}}' OR state = ANY(%(states)s))
    ORDER BY id {order} LIMIT %(limit)s
"""
_RARE = """
    SELECT id FROM unnest(%(accounts)s::bigint[]) AS tenant(key) CROSS JOIN LATERAL ({arms}) AS k
    ORDER BY id {order} LIMIT %(limit)s
"""
_RARE_ARM = """(
        SELECT id FROM messaging_message
        WHERE account_id = tenant.key AND state = '{state}' AND id >= %(low)s AND id < %(high)s
        ORDER BY id {order} LIMIT %(limit)s)"""
# By the index report_open; what is not rolled up yet may have opened or ended any quarter, as it adds up.
_OPEN = """
    SELECT quarter, account_id, sum(messages) FROM (
        SELECT quarter, account_id, messages, delivered + failed + cancelled AS ended FROM messaging_reportquarter
        WHERE account_id = ANY(%(accounts)s) AND messages > delivered + failed + cancelled
          AND quarter > %(begin)s AND quarter < %(end)s
        UNION ALL
        SELECT quarter, account_id, messages, delivered + failed + cancelled FROM messaging_reportchange
        WHERE account_id = ANY(%(accounts)s) AND quarter > %(begin)s AND quarter < %(end)s) AS counted
    GROUP BY 1, 2 HAVING sum(messages) > sum(ended) ORDER BY 1 {order} LIMIT %(limit)s
"""
# Not bounded by the batch's id, here and below: the planner would read all newer ids of everybody beside the batch's.
_COUNT = """
    SELECT count(*) FROM (SELECT FROM messaging_message
        WHERE batch_id = %(batch)s AND state = ANY(%(states)s) LIMIT %(limit)s) AS found
"""


class Wanted(NamedTuple):
    """Which messages: of these accounts, with keys from ``low`` up to ``high``, and the rest where it is not empty."""

    accounts: list[int]
    low: UUID = UUID(int=0)
    high: UUID = LAST
    states: tuple[str, ...] = ()
    recipient: str = ""
    batch: Batch | None = None
    settlement: int | None = None


class _Span(NamedTuple):
    account_id: int
    low: UUID
    high: UUID


class _Found(NamedTuple):
    """Keys, nearest first; ``edge``: the last one looked at where the search was ended by its bound."""

    keys: list[UUID]
    edge: UUID | None = None


def find_message_keys(wanted: Wanted, cursor: Cursor) -> Page:
    """One page of them."""
    forward = cursor.after is not None
    if cursor.after is not None:
        wanted = wanted._replace(low=max(wanted.low, UUID(int=cursor.after.int + 1)))
    elif cursor.before is not None:
        wanted = wanted._replace(high=min(wanted.high, cursor.before))
    with transaction.atomic():
        return _page(_find(wanted, forward), cursor)


def keys_between(account_id: int, sender: str, recipient: str, *, before: UUID | None, limit: int) -> list[UUID]:
    """The newest ``limit`` messages that an account sent from one number to another, before the key ``before``."""
    values: dict[str, Any] = {
        "account": account_id, "sender": sender, "recipient": recipient, "before": before or LAST, "limit": limit,
    }  # fmt: skip
    with connection.cursor() as db:
        db.execute(_BETWEEN, values)
        return [key for (key,) in db.fetchall()]


def _page(found: _Found, cursor: Cursor) -> Page:
    """An empty page leads back to where it was come from, key included: that is one which was shown."""
    has_more, keys = len(found.keys) > PAGE_SIZE, found.keys[:PAGE_SIZE]
    beyond = keys[-1] if has_more else found.edge
    if cursor.after is not None:
        keys.reverse()
        return Page(keys, beyond, keys[-1] if keys else UUID(int=cursor.after.int + 1))
    if cursor.before is not None:
        return Page(keys, keys[0] if keys else UUID(int=cursor.before.int - 1), beyond)
    return Page(keys, None, beyond)


def _find(wanted: Wanted, forward: bool) -> _Found:
    if wanted.recipient:
        return _keys(_rows(_TO_RECIPIENT, wanted, forward))
    if wanted.settlement is not None:
        return _few(wanted, forward, "settlement_id = %(settlement)s")
    if wanted.batch is not None:
        return _of_batch(wanted, wanted.batch, forward)
    if not wanted.states:
        return _walk(wanted, forward)
    if set(wanted.states) <= set(RARE):
        return _rare(wanted, forward)
    if set(wanted.states) <= set(PASSING):
        return _passing(wanted, forward)
    return _search(wanted, [_Span(key, wanted.low, wanted.high) for key in wanted.accounts], forward)


def _rows(query: str, wanted: Wanted, forward: bool, **values: Any) -> list[tuple[Any, ...]]:
    usual = wanted._asdict() | {
        "states": list(wanted.states), "batch": wanted.batch and wanted.batch.pk, "limit": PAGE_SIZE + 1,
    }  # fmt: skip
    words = {
        "order": "ASC" if forward else "DESC", "nearest": "min" if forward else "max",
        "farthest": "max" if forward else "min", "within": "<=" if forward else ">=",
    }  # fmt: skip
    with connection.cursor() as db:
        db.execute(query.format(**words), usual | values)
        return db.fetchall()


def _keys(rows: Sequence[tuple[Any, ...]]) -> _Found:
    return _Found([key for (key,) in rows])


def _few(wanted: Wanted, forward: bool, which: str) -> _Found:
    return _keys(_rows(_FEW.replace("{which}", which), wanted, forward))


def _rare(wanted: Wanted, forward: bool) -> _Found:
    arms = " UNION ALL ".join(_RARE_ARM.replace("{state}", state) for state in wanted.states)
    return _keys(_rows(_RARE.replace("{arms}", arms), wanted, forward))


def _walk(wanted: Wanted, forward: bool) -> _Found:
    with _only_keys():
        return _keys(_rows(_WALK, wanted, forward))


@contextmanager
def _only_keys() -> Iterator[None]:
    """Have statements of the open transaction read keys from their index and nothing else, rows only by their ids."""
    with connection.cursor() as db:
        db.execute(_SWITCH, {"switch": "off"})
        yield
        db.execute(_SWITCH, {"switch": "on"})


def _search(wanted: Wanted, spans: list[_Span], forward: bool, most: int = 0) -> _Found:
    """Look at up to ``most`` messages of each span, nearest first; at some of each first, which mostly is enough."""
    found = _Found([])
    if not spans:
        return found
    most = most or max(PAGE_SIZE, LOOK // len(spans))
    values = dict(zip(("accounts", "lows", "highs"), map(list, zip(*spans, strict=True)), strict=True))
    with _only_keys():
        for each in sorted({min(4 * PAGE_SIZE, most), most}):
            [(edge, keys)] = _rows(_SEARCH, wanted, forward, each=each, **values)
            found = _Found(keys, edge)
            if edge is None or len(keys) > PAGE_SIZE:
                break
    return found


def _of_batch(wanted: Wanted, batch: Batch, forward: bool) -> _Found:
    """Few are sorted. Many lie close together, between others of the account that were accepted with them."""
    which = "batch_id = %(batch)s"
    if wanted.states:
        which += " AND state = ANY(%(states)s)"
    if batch.message_count <= FEW or (wanted.states and _rows(_COUNT, wanted, forward, limit=FEW + 1)[0][0] <= FEW):
        return _few(wanted, forward, which)
    accepted = batch.accepted_at or batch.created_at
    begin = max(wanted.low, batch.pk, uuid_floor(accepted - CLOCKS_APART))
    span = _Span(batch.account_id, begin, min(wanted.high, uuid_floor(accepted + WRITTEN_WITHIN)))
    return _search(wanted._replace(states=wanted.states or tuple(State)), [span], forward)


def _passing(wanted: Wanted, forward: bool) -> _Found:
    """Among what is open still: as many quarters of an hour as hold LOOK messages, and the next ones another time."""
    latest = timezone.now() + timedelta(days=1)
    last = min(UUID(int=max(1, wanted.high.int) - 1), uuid_floor(latest))
    end = time_of(last) + timedelta(milliseconds=1)
    begin = time_of(wanted.low) - QUARTER
    rows = _rows(_OPEN, wanted, forward, begin=begin, end=end, limit=FEW)
    spans, total, rest = list[_Span](), 0, rows[-1][0] if len(rows) == FEW else None
    for quarter, group in groupby(rows, key=lambda row: row[0]):
        if total >= LOOK or (quarter == rest and spans):
            rest = quarter
            break
        for _, account_id, messages in group:
            low, high = max(wanted.low, uuid_floor(quarter)), min(wanted.high, uuid_floor(quarter + QUARTER))
            spans.append(_Span(account_id, low, high))
            total += messages
    found = _search(wanted, spans, forward, LOOK)
    return found if found.edge or rest is None else found._replace(edge=_before(rest, forward))


def _before(quarter: datetime, forward: bool) -> UUID:
    """The key that lies right before a quarter, as one comes to it."""
    return UUID(int=uuid_floor(quarter).int - 1) if forward else uuid_floor(quarter + QUARTER)
