"""What accounts may still send: throughput, daily limit and dispatch hours (PRODUCT.md, sending semantics).

Throughput and daily limit bind the account that they are set for together with all accounts below it, on all routes.
Dispatch hours, weight and priority are the account's own. One-time passcodes go at any hour, because whoever waits for
one is awake; the other limits count for them as well.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from accounts.prepared import PreparedCursor

_LIMITED = """
    SELECT t.account_id, t.throughput, t.daily_limit, a.time_zone, now()
    FROM messaging_sendingterms t JOIN accounts_account a ON a.id = t.account_id
    WHERE t.account_id = ANY(%s) AND (t.throughput IS NOT NULL OR t.daily_limit IS NOT NULL)
    ORDER BY t.account_id
"""
# Fills the buckets up to now and locks them until the transaction ends: dispatchers of other routes wait.
_FILL = """
    INSERT INTO messaging_sendingpace AS p (account_id, tokens, filled_at)
    SELECT one.id, one.rate, clock_timestamp() FROM unnest(%s::bigint[], %s::float8[]) AS one(id, rate)
    ON CONFLICT (account_id) DO UPDATE SET
        tokens = least(EXCLUDED.tokens,
                       p.tokens + EXCLUDED.tokens * extract(epoch FROM clock_timestamp() - p.filled_at)),
        filled_at = clock_timestamp()
    RETURNING account_id, tokens
"""
_SPEND = """
    UPDATE messaging_sendingpace p SET tokens = one.tokens
    FROM unnest(%s::bigint[], %s::float8[]) AS one(id, tokens) WHERE p.account_id = one.id
"""
# The first look on a day counts what was accepted and released since midnight: a limit may be set in the middle of it.
_BEGIN_DAY = """
    INSERT INTO messaging_sendingday (account_id, day, released)
    SELECT one.id, one.day, (
        SELECT count(*) FROM accounts_account a
        CROSS JOIN LATERAL (
            SELECT message_id FROM messaging_messagekey
            WHERE account_id = a.id AND message_id >= messaging_uuid_floor(one.midnight) OFFSET 0) AS k
        CROSS JOIN LATERAL (
            SELECT FROM messaging_message WHERE id = k.message_id AND released_at >= one.midnight OFFSET 0) AS m
        WHERE a.path @> ARRAY[one.id])
    FROM unnest(%s::bigint[], %s::date[], %s::timestamptz[]) AS one(id, day, midnight)
    WHERE NOT EXISTS (SELECT FROM messaging_sendingday d WHERE d.account_id = one.id AND d.day = one.day)
    ON CONFLICT (account_id, day) DO NOTHING
"""
_LOCK_DAY = """
    SELECT d.account_id, d.released
    FROM unnest(%s::bigint[], %s::date[]) AS one(id, day)
    CROSS JOIN LATERAL (
        SELECT account_id, released FROM messaging_sendingday WHERE account_id = one.id AND day = one.day FOR UPDATE
    ) AS d
"""
_COUNT_DAY = """
    UPDATE messaging_sendingday d SET released = d.released + one.count
    FROM unnest(%s::bigint[], %s::date[], %s::int[]) AS one(id, day, count)
    WHERE d.account_id = one.id AND d.day = one.day
"""


@dataclass(slots=True)
class _Limit:
    """What is left to one limited account and those below it; None = no limit of that kind."""

    day: date
    tokens: float | None = None
    left_today: int | None = None
    spent: int = 0
    counted: int = 0
    even_pace: int = 0
    even_today: int = 0


class Allowances:
    """What the waiting accounts may send now. Holds the rows of their limits locked until the transaction ends."""

    def __init__(self, cursor: PreparedCursor, paths: Iterable[list[int]]) -> None:
        """``paths``: of every waiting account, the ids from the root down to itself."""
        self._cursor = cursor
        self._limits: dict[int, _Limit] = {}
        cursor.execute(_LIMITED, [sorted({one for path in paths for one in path})])
        rows = cursor.fetchall()
        if rows:
            self._load(rows)

    def _load(self, rows: list[tuple[int, int | None, int | None, str, datetime]]) -> None:
        rates = [(account, rate) for account, rate, *_ in rows if rate is not None]
        self._limits = {account: _Limit(local_day(zone, now)) for account, _, _, zone, now in rows}
        if rates:
            self._cursor.execute(_FILL, [[account for account, _ in rates], [rate for _, rate in rates]])
            for account, tokens in self._cursor.fetchall():
                self._limits[account].tokens = tokens
        daily = {account: (most, zone) for account, _, most, zone, _ in rows if most is not None}
        if not daily:
            return
        days = [self._limits[account].day for account in daily]
        midnights = [start_of_day(day, zone) for day, (_, zone) in zip(days, daily.values(), strict=True)]
        self._cursor.execute(_BEGIN_DAY, [list(daily), days, midnights])
        self._cursor.execute(_LOCK_DAY, [list(daily), days])
        for account, released in self._cursor.fetchall():
            self._limits[account].left_today = max(0, daily[account][0] - released)

    @property
    def are_limited(self) -> bool:
        """Whether any of the waiting accounts has a limit, of its own or of one above it."""
        return bool(self._limits)

    def _of(self, path: list[int]) -> list[_Limit]:
        return [self._limits[one] for one in path if one in self._limits] if self._limits else []

    def divide(self, paths: Iterable[list[int]]) -> bool:
        """Divide what is left evenly among the accounts with these paths; True where several share a limit.

        What some of them leave is divided anew on the next visit.
        """
        sharers = Counter(one for path in paths for one in path if one in self._limits)
        for account, one in self._limits.items():
            count = sharers[account] or 1
            one.even_pace = math.ceil(int(one.tokens or 0) / count)
            one.even_today = math.ceil((one.left_today or 0) / count)
        return any(count > 1 for count in sharers.values())

    def pace(self, path: list[int], wanted: int) -> int:
        """How many of ``wanted`` messages the throughput of the account and those above it allows now."""
        return min([wanted, *(min(int(one.tokens), one.even_pace) for one in self._of(path) if one.tokens is not None)])

    def today(self, path: list[int], wanted: int) -> int:
        """How many of ``wanted`` messages that were never tried the daily limits leave."""
        return min(
            [wanted, *(min(one.left_today, one.even_today) for one in self._of(path) if one.left_today is not None)]
        )

    def take(self, path: list[int], messages: int, fresh: int) -> None:
        """Use up room for ``messages`` (negative = give back), ``fresh`` of which were never tried before."""
        for one in self._of(path):
            one.spent += messages
            one.counted += fresh
            if one.tokens is not None:
                one.tokens -= messages
            if one.left_today is not None:
                one.left_today -= fresh

    def save(self) -> None:
        """Write what was used up."""
        paced = [(account, one.tokens) for account, one in self._limits.items() if one.tokens is not None and one.spent]
        if paced:
            self._cursor.execute(_SPEND, [list(column) for column in zip(*paced, strict=True)])
        counted = [
            (account, one.day, one.counted)
            for account, one in self._limits.items()
            if one.left_today is not None and one.counted
        ]
        if counted:
            self._cursor.execute(_COUNT_DAY, [list(column) for column in zip(*counted, strict=True)])


def local_day(zone: str, now: datetime) -> date:
    """The day that it is in a time zone."""
    return now.astimezone(ZoneInfo(zone)).date()


def start_of_day(day: date, zone: str) -> datetime:
    """Midnight of a day in a time zone, in UTC; the first moment of the day where clocks skip midnight."""
    moment = datetime.combine(day, time.min, tzinfo=ZoneInfo(zone))
    return moment.astimezone(ZoneInfo("UTC"))


def is_open(begin: time | None, end: time | None, zone: str, now: datetime) -> bool:
    """Whether dispatch hours allow sending now; from 22:00 until 06:00 is over midnight, equal times are all day."""
    if begin is None or end is None or begin == end:
        return True
    local = now.astimezone(ZoneInfo(zone)).time()
    return begin <= local < end if begin < end else local >= begin or local < end


def next_opening(begin: time | None, end: time | None, zone: str, now: datetime) -> datetime | None:
    """When dispatch hours begin next; None while they are open."""
    if begin is None or is_open(begin, end, zone, now):
        return None
    local = now.astimezone(ZoneInfo(zone))
    day = local.date() if local.time() < begin else local.date() + timedelta(days=1)
    return datetime.combine(day, begin, tzinfo=ZoneInfo(zone))


def next_midnight(zone: str, now: datetime) -> datetime:
    """When the account's next day begins."""
    return start_of_day(local_day(zone, now) + timedelta(days=1), zone)
