"""Counts that reports are made of, kept up by whoever writes messages (docs/performance.md).

Every statement that accepts messages or changes what became of them adds a row or two of differences for the whole
chunk (ReportChange), in the same transaction and append-only: nobody waits for anybody. ``roll_up`` moves them into
the sums of quarters of an hour and of days. A report reads sums and what is not in them yet in one statement, so it
is exact at every moment, whoever was killed in between.

Differences, rather than periods that are marked and added up anew: a batch of a million falls into one quarter of an
hour, and its receipts come in for days.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.prepared import PreparedCursor

log = structlog.get_logger(__name__)

CHUNK = 20_000  # rows of differences rolled up in one transaction
LOCK = 0x52455054  # "REPT": the advisory lock of whoever rolls up
DAY = timedelta(days=1)
RECENT_DAYS = 3

_FAILED = "('undelivered', 'expired', 'rejected', 'blocked', 'failed')"

# --- For statements that change messages ---------------------------------------------------------------------------
# WITH changed AS (UPDATE messaging_message m SET … {CHANGED}) {NOTE}, or NOTE as a further WITH where another follows.

CHANGED = f"""RETURNING new.id, new.account_id, new.quote_id, new.parts,
            (new.sent_at IS NOT NULL)::int - (old.sent_at IS NOT NULL)::int AS sent,
            (new.state = 'delivered')::int - (old.state = 'delivered')::int AS delivered,
            (new.state IN {_FAILED})::int - (old.state IN {_FAILED})::int AS failed,
            (new.state = 'cancelled')::int - (old.state = 'cancelled')::int AS cancelled"""
NOTE = """INSERT INTO messaging_reportchange
        (quarter, account_id, quote_id, sent, delivered, failed, cancelled, parts)
    SELECT messaging_quarter(id), account_id, quote_id, sum(sent), sum(delivered), sum(failed), sum(cancelled),
        sum(sent * parts)
    FROM changed WHERE sent <> 0 OR delivered <> 0 OR failed <> 0 OR cancelled <> 0 GROUP BY 1, 2, 3"""


def note_late(picked: str) -> str:
    """For statements that let late ones of ``picked`` (id, account_id, quote_id, is_late) expire and move all others.

    Nothing is counted for those others, so nothing is asked about them.
    """
    return f"""INSERT INTO messaging_reportchange (quarter, account_id, quote_id, failed)
        SELECT messaging_quarter(id), account_id, quote_id, count(*) FROM {picked} WHERE is_late GROUP BY 1, 2, 3"""  # noqa: S608


# --- For those who accept and settle -------------------------------------------------------------------------------

# A quarter of an hour can end while messages are written: then, and only then, their ids are read.
_ACCEPTED = """
    INSERT INTO messaging_reportchange (quarter, account_id, quote_id, messages)
    SELECT messaging_quarter(%(first)s::uuid), one.account_id, one.quote_id, one.messages
    FROM unnest(%(accounts)s::bigint[], %(quotes)s::bigint[], %(counts)s::int[]) AS one(account_id, quote_id, messages)
    WHERE messaging_quarter(%(first)s::uuid) = messaging_quarter(uuidv7())
"""
_ACCEPTED_OVER_THE_END = """
    INSERT INTO messaging_reportchange (quarter, account_id, quote_id, messages)
    SELECT messaging_quarter(id), account_id, quote_id, count(*) FROM messaging_message
    WHERE batch_id = ANY(%(batches)s::uuid[]) AND id > %(first)s::uuid GROUP BY 1, 2, 3
"""
_CAPTURED = """
    INSERT INTO messaging_reportchange (quarter, account_id, quote_id, captured, captured_parts)
    SELECT messaging_quarter(t.created_at), q.account_id, q.id, sum(one.messages), sum(one.parts)
    FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::int[]) AS one(capture_id, quote_id, messages, parts)
    JOIN billing_ledgertransaction t ON t.id = one.capture_id JOIN billing_quote q ON q.id = one.quote_id
    GROUP BY 1, 2, 3
"""


def note_accepted(batches: list[UUID], counts: Mapping[tuple[int, int], int]) -> None:
    """Count messages that this transaction has written, after their ``batches``, by (account, quote)."""
    values: dict[str, Any] = {
        "first": min(batches), "batches": batches, "accounts": [account for account, _ in counts],
        "quotes": [quote for _, quote in counts], "counts": list(counts.values()),
    }  # fmt: skip
    with PreparedCursor() as cursor:
        cursor.execute(_ACCEPTED, values, prepare=True)
        if cursor.rowcount != len(counts):
            cursor.execute(_ACCEPTED_OVER_THE_END, values)


class Captured(NamedTuple):
    """Messages of one price that a ledger transaction captured."""

    capture_id: int
    quote_id: int
    messages: int
    parts: int


def note_captured(lines: Iterable[Captured]) -> None:
    """Count captured messages on the moment of their ledger transactions, which stand in the books already."""
    if columns := list(map(list, zip(*lines, strict=True))):
        with connection.cursor() as cursor:
            cursor.execute(_CAPTURED, columns)


# --- Rolling up ----------------------------------------------------------------------------------------------------

COUNTS = ("messages", "sent", "delivered", "failed", "cancelled", "parts", "captured", "captured_parts")
_COLUMNS = ", ".join(COUNTS)
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in COUNTS)


def _added(table: str) -> str:
    return "DO UPDATE SET " + ", ".join(f"{name} = {table}.{name} + EXCLUDED.{name}" for name in COUNTS)


_IN_DAYS = f"SELECT account_id, zone, (quarter AT TIME ZONE zone)::date AS day, quote_id, {_SUMS}"
# The zones of those who read reports about accounts that send: made of all quarters when one is new.
_ADD_ZONES = f"""
    WITH added AS (
        INSERT INTO messaging_reportzone (account_id, zone)
        SELECT DISTINCT sender.id, reader.time_zone
        FROM accounts_account sender
        JOIN accounts_account reader ON reader.id = ANY(sender.path) AND reader.parent_id IS NOT NULL
        WHERE sender.id IN (SELECT account_id FROM messaging_reportchange)
        ON CONFLICT DO NOTHING RETURNING account_id, zone)
    INSERT INTO messaging_reportday (account_id, zone, day, quote_id, {_COLUMNS})
    {_IN_DAYS} FROM added JOIN messaging_reportquarter USING (account_id) GROUP BY 1, 2, 3, 4
"""  # noqa: S608 (names of columns only, here and below)
_ROLL_UP = f"""
    WITH gone AS (
        DELETE FROM messaging_reportchange
        WHERE id IN (SELECT id FROM messaging_reportchange ORDER BY id LIMIT %s) RETURNING *),
    summed AS MATERIALIZED (SELECT account_id, quarter, quote_id, {_SUMS} FROM gone GROUP BY 1, 2, 3),
    quarters AS (
        INSERT INTO messaging_reportquarter AS q (account_id, quarter, quote_id, {_COLUMNS})
        SELECT * FROM summed ON CONFLICT (account_id, quarter, quote_id) {_added("q")}),
    days AS (
        INSERT INTO messaging_reportday AS d (account_id, zone, day, quote_id, {_COLUMNS})
        {_IN_DAYS} FROM summed JOIN messaging_reportzone USING (account_id) GROUP BY 1, 2, 3, 4
        ON CONFLICT (account_id, zone, day, quote_id) {_added("d")})
    SELECT count(*) FROM gone
"""  # noqa: S608


def roll_up() -> int:
    """Move the differences that wait into the sums, all of them; returns how many. One worker at a time."""
    total = 0
    while count := _roll_up_chunk():
        total += count
    return total


@transaction.atomic
def _roll_up_chunk() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(_ADD_ZONES)
        cursor.execute(_ROLL_UP, [CHUNK])
        return int(cursor.fetchone()[0])


# --- Counting anew -------------------------------------------------------------------------------------------------


def recount(first: datetime, until: datetime) -> int:
    """Compare the counts from ``first`` up to ``until`` (both at a quarter of an hour) with the messages.

    What differs is corrected by further differences, and keys that are missing (messaging/key_models.py) are written;
    returns how many there were of both, 0 unless something wrote messages without counting them. Safe at any time: one
    snapshot sees messages and counts. Only for months whose messages are still there.
    """
    found = 0
    while first < until:
        end = min(first + DAY, until)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT messaging_recount(%(first)s, %(end)s) + messaging_fill_keys(%(first)s, %(end)s)",
                {"first": first, "end": end},
            )
            found += cursor.fetchone()[0]
        first = end
    return found


def recount_recent() -> None:
    """Count the last RECENT_DAYS anew; whatever was wrong is right then, and said loudly."""
    until = datetime.combine(timezone.now().date(), time.min, tzinfo=UTC)
    if differences := recount(until - RECENT_DAYS * DAY, until):
        log.error("reports.recounted", differences=differences)
