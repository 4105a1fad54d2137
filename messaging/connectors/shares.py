"""A route's throughput, divided among the binds that are bound, whichever processes they live in.

Every half second each process asks for its binds, one route at a time (an advisory lock). A share is a lease: it may be
used until it runs out and has to be asked for again, so the share of a bind that is down, killed or cut off comes free.
It is given to others only after the second in which it may have been used is over. So the sum of what may be
submitted in any second never exceeds the route's throughput, also while shares change hands.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from messaging.connectors.database import Database
from messaging.connectors.pace import SECOND

LEASE_SECONDS = 2.0  # how long the database may be away before a bind stops
RENEW_SECONDS = 0.5
LEASE = timedelta(seconds=LEASE_SECONDS)
COOLING = timedelta(seconds=SECOND + 0.06)  # the second in which a share was used, and how far binds' clocks lie apart
_LOCK_SPACE = 0x52415445  # "RATE"

_LOCK = "SELECT pg_advisory_xact_lock(%s, %s)"
_LOAD = """
    SELECT r.throughput, clock_timestamp(), s.bind, s.share, s.leased_until, s.counted, s.counted_until
    FROM messaging_route r LEFT JOIN messaging_bindshare s ON s.route_id = r.id WHERE r.id = %s
"""
_SAVE = """
    INSERT INTO messaging_bindshare (route_id, bind, share, leased_until, counted, counted_until)
    SELECT %s, * FROM unnest(%s::smallint[], %s::int[], %s::timestamptz[], %s::int[], %s::timestamptz[])
    ON CONFLICT (route_id, bind) DO UPDATE SET share = EXCLUDED.share, leased_until = EXCLUDED.leased_until,
        counted = EXCLUDED.counted, counted_until = EXCLUDED.counted_until
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A bind's share in submits a second. ``counted`` as in BindShare; all times are the database's."""

    bind: int
    share: int
    leased_until: datetime
    counted: int
    counted_until: datetime

    def used(self, now: datetime) -> int:
        """The most that the bind may still be using, or have used within the last second."""
        leased = self.share if now < self.leased_until + COOLING else 0
        return max(leased, self.counted if now < self.counted_until else 0)


def divide(
    leases: Iterable[Lease], throughput: int, now: datetime, wanted: Iterable[int], held: Mapping[int, datetime]
) -> list[Lease]:
    """New leases for the ``wanted`` binds, and ends of those in ``held`` that are not wanted any more.

    ``held``: the end of the lease that this process was given last, by bind. Another process' lease of the same bind is
    waited for until it is over. Everybody who is bound gets an equal whole share, as soon as the others have let go.
    """
    rows = {one.bind: one for one in leases}
    changed: dict[int, Lease] = {}

    def put(one: Lease) -> None:
        rows[one.bind] = changed[one.bind] = one

    for bind in set(held) - set(wanted):
        row = rows.get(bind)
        if row is not None and row.leased_until == held[bind]:
            put(replace(row, share=0, leased_until=now, counted=row.used(now), counted_until=now + COOLING))
    mine = sorted(
        bind
        for bind in wanted
        if bind not in rows or held.get(bind) == rows[bind].leased_until or not rows[bind].used(now)
    )
    bound = sorted({*mine, *(one.bind for one in rows.values() if one.leased_until > now)})
    for bind in mine:
        row = rows.get(bind) or Lease(bind, 0, now, 0, now)
        others = sum(one.used(now) for one in rows.values() if one.bind != bind)
        position = bound.index(bind)
        even = throughput // len(bound) + (1 if position < throughput % len(bound) else 0)
        share = max(0, min(even, throughput - others))
        if share < row.share:
            row = replace(row, counted=row.used(now), counted_until=now + COOLING)
        put(replace(row, share=share, leased_until=now + LEASE))
    return list(changed.values())


class RouteShares:
    """The leases that this process holds for one route."""

    def __init__(self, database: Database, route_id: int) -> None:
        self._database = database
        self._route_id = route_id
        self._held: dict[int, datetime] = {}

    async def lease(self, wanted: Iterable[int]) -> tuple[dict[int, int], float]:
        """Ask for shares of the binds that are bound; returns them, and until when (time.monotonic) they may be used.

        Raises DatabaseAway; then what was leased before goes on until it runs out.
        """
        wanted = set(wanted)
        until = time.monotonic() + LEASE_SECONDS
        if not wanted and not self._held:
            return {}, until

        async def work(connection: AsyncConnection[Any]) -> list[Lease]:
            await connection.execute(_LOCK, [_LOCK_SPACE, self._route_id])
            rows = await (await connection.execute(_LOAD, [self._route_id])).fetchall()
            if not rows:
                return []
            throughput, now = rows[0][:2]
            leases = [Lease(*row[2:]) for row in rows if row[2] is not None]
            changed = divide(leases, throughput, now, wanted, self._held)
            columns = zip(
                *((o.bind, o.share, o.leased_until, o.counted, o.counted_until) for o in changed), strict=True
            )
            if changed:
                await connection.execute(_SAVE, [self._route_id, *map(list, columns)])
            return changed

        changed = {one.bind: one for one in await self._database.transaction(work)}
        self._held = {bind: changed[bind].leased_until for bind in wanted if bind in changed}
        return {bind: changed[bind].share if bind in changed else 0 for bind in wanted}, until
