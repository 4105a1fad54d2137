"""The SQL of connectors. Each statement is one transaction and may be repeated when its answer got lost."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from messaging.connectors.database import Database
from messaging.services import inbound_parts
from messaging.services.carrier_keys import NAMED, WITH_IDS
from messaging.services.inbound_parts import PartRow
from messaging.services.receipts import STORE_RECEIPTS
from messaging.services.rollups import CHANGED, NOTE, note_late
from messaging.services.scheduling import LATE
from smpp.pdu import Deliver
from smpp.receipts import Receipt

LOCK_SPACE = 0x534D5343  # "SMSC": the first key of the advisory locks of binds
LOST = "The connection to the carrier ended before its answer came."

_LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
_UNLOCK = "SELECT pg_advisory_unlock(%s, %s)"
# In the order in which they were released: by ids, what is released later of an older batch would go before, again and
# again. What is past its validity goes no further, and its hold is released (messaging/services/expiring.py).
_CLAIM = f"""
    WITH picked AS MATERIALIZED (
        SELECT id, account_id, quote_id, coalesce(valid_until <= now(), false) AS is_late FROM messaging_message
        WHERE route_id = %(route)s AND state = 'released'
          AND NOT EXISTS (SELECT FROM messaging_route WHERE id = %(route)s AND is_paused)
        ORDER BY message_class, priority DESC, released_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
    noted AS ({note_late("picked")})
    UPDATE messaging_message m SET
        state = CASE WHEN picked.is_late THEN 'expired' ELSE 'sending' END,
        claim = CASE WHEN picked.is_late THEN '' ELSE %(token)s END,
        sending_at = CASE WHEN NOT picked.is_late THEN now() END,
        attempts = m.attempts + (NOT picked.is_late)::int,
        done_at = CASE WHEN picked.is_late THEN now() END,
        reason = CASE WHEN picked.is_late THEN %(late)s ELSE m.reason END
    FROM picked, messaging_batch b WHERE m.id = picked.id AND b.id = m.batch_id
    RETURNING m.message_class, -m.priority, m.id::text, m.recipient, m.sender, coalesce(m.text, b.text), m.attempts,
        m.valid_until, picked.is_late
"""  # noqa: S608 (no values of others in it)
_SWEEP = """
    UPDATE messaging_message SET state = 'unknown', reason = %s
    WHERE route_id = %s AND state = 'sending' AND starts_with(claim, %s) AND claim <> %s
"""
_GIVE_BACK = """
    UPDATE messaging_message
    SET state = 'released', claim = '', sending_at = NULL, attempts = greatest(attempts - 1, 0)
    WHERE route_id = %s AND state = 'sending' AND claim = %s AND id <> ALL(%s::uuid[])
"""
# Rows are found by their ids; the empty strings keep other indexes out of it (messaging/services/plans.py).
_RECORD = f"""
    WITH changed AS (
        UPDATE messaging_message m SET
            state = r.state,
            sent_at = CASE WHEN r.state = 'sent' THEN now() END,
            done_at = CASE WHEN r.state IN ('rejected', 'failed') THEN now() END,
            carrier_id = r.carrier_id, error_code = r.error_code, reason = r.reason,
            -- After the route's last try nothing is waited for: the message leaves it (messaging/services/failover.py).
            not_before = CASE WHEN r.delay IS NULL THEN m.not_before
                WHEN m.attempts >= (SELECT max_attempts FROM messaging_route WHERE id = %(route)s) THEN now()
                ELSE now() + r.delay * interval '1 second' END,
            attempts = greatest(m.attempts - r.untried, 0),
            released_at = CASE WHEN r.state <> 'scheduled' THEN m.released_at END,
            sending_at = CASE WHEN r.state NOT IN ('scheduled', 'released') THEN m.sending_at END,
            claim = CASE WHEN r.state = 'unknown' THEN m.claim ELSE '' END
        FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(carrier_ids)s::text[], %(codes)s::text[],
                    %(reasons)s::text[], %(delays)s::float8[], %(untried)s::int[])
            AS r(id, state, carrier_id, error_code, reason, delay, untried)
        WHERE m.id = ANY(%(ids)s::uuid[]) AND m.id = r.id AND m.claim || '' = %(token)s
          AND m.state || '' IN ('sending', 'unknown')
        {CHANGED}, {WITH_IDS}),
    noted AS ({NOTE}),
    named AS ({NAMED})
    INSERT INTO messaging_messagepart (message_id, part, route_id, carrier_id)
    SELECT p.message_id, p.part, %(route)s, p.carrier_id
    FROM unnest(%(part_of)s::uuid[], %(parts)s::smallint[], %(part_ids)s::text[]) AS p(message_id, part, carrier_id)
    ON CONFLICT (message_id, part) DO NOTHING
"""  # noqa: S608
_STATUS = """
    INSERT INTO messaging_connectorstatus AS s
        (route_id, bind, state, detail, in_hand, slowed_since, since, seen_at, bound_at)
    SELECT r.route_id, r.bind, r.state, r.detail, r.in_hand, CASE WHEN r.is_slow THEN now() END, now(), now(), now()
    FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::text[], %s::int[], %s::bool[])
        AS r(route_id, bind, state, detail, in_hand, is_slow)
    WHERE EXISTS (SELECT FROM messaging_route WHERE id = r.route_id)
    ON CONFLICT (route_id, bind) DO UPDATE SET seen_at = now(), detail = EXCLUDED.detail, state = EXCLUDED.state,
        in_hand = EXCLUDED.in_hand,
        since = CASE WHEN s.state = EXCLUDED.state THEN s.since ELSE now() END,
        bound_at = CASE WHEN EXCLUDED.state = 'bound' THEN now() ELSE s.bound_at END,
        slowed_since = CASE WHEN EXCLUDED.slowed_since IS NOT NULL THEN coalesce(s.slowed_since, now()) END
"""
_MINUTES = """
    INSERT INTO messaging_routeminute AS m (route_id, minute, sent, refused, later, lost)
    SELECT r.route_id, date_trunc('minute', now()), sum(r.sent), sum(r.refused), sum(r.later), sum(r.lost)
    FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[]) AS r(route_id, sent, refused, later, lost)
    GROUP BY r.route_id
    ON CONFLICT (route_id, minute) DO UPDATE SET sent = m.sent + EXCLUDED.sent, refused = m.refused + EXCLUDED.refused,
        later = m.later + EXCLUDED.later, lost = m.lost + EXCLUDED.lost
"""
_CLAIMS = "SELECT DISTINCT route_id, claim FROM messaging_message WHERE state = 'sending'"


class ClaimedMessage(NamedTuple):
    """A message that this process has marked ``sending``; ``id`` is its UUID as text, ``attempts`` counts this one in.

    Past ``valid_until`` it is worth nothing to the account; None = the carrier's own time.
    """

    message_class: int
    order: int
    id: str
    recipient: str
    sender: str
    text: str
    attempts: int
    valid_until: datetime | None = None


class Record(NamedTuple):
    """What became of a claimed message. ``delay``: seconds to wait before it is tried again.

    ``untried`` is 1 when nothing of it was written to the carrier; ``parts`` are the carrier's ids by part number of a
    long message.
    """

    id: str
    state: str
    carrier_id: str = ""
    error_code: str = ""
    reason: str = ""
    delay: float | None = None
    untried: int = 0
    parts: Mapping[int, str] = MappingProxyType({})


class StatusRow(NamedTuple):
    """A bind's state (ConnectorStatus.State), and what it has in hand, for people to see."""

    route_id: int
    bind: int
    state: str
    detail: str
    in_hand: int
    is_slow: bool


def claim_prefix(route_id: int, bind: int) -> str:
    """What the claims of every process that ever ran this bind begin with."""
    return f"{route_id}:{bind}:"


def _lock_key(route_id: int, bind: int) -> int:
    return route_id * 1000 + bind


async def lock_bind(database: Database, route_id: int, bind: int) -> bool:
    """Take the right to run a bind for as long as this connection lasts; False when another process has it."""
    rows = await database.fetch(_LOCK, [LOCK_SPACE, _lock_key(route_id, bind)])
    return bool(rows[0][0])


async def unlock_bind(database: Database, route_id: int, bind: int) -> None:
    """Give the right back."""
    await database.fetch(_UNLOCK, [LOCK_SPACE, _lock_key(route_id, bind)])


async def claim(database: Database, route_id: int, limit: int, token: str) -> tuple[list[ClaimedMessage], int]:
    """Mark up to ``limit`` released messages ``sending`` for ``token``; committed on return, most urgent first.

    Also returns how many were taken from the stock, those that expired instead counted in.
    """
    rows = await database.fetch(_CLAIM, {"route": route_id, "limit": limit, "token": token, "late": LATE})
    return sorted(ClaimedMessage(*row[:-1]) for row in rows if not row[-1]), len(rows)


async def mark_dead_claims(database: Database, route_id: int, prefix: str, token: str) -> None:
    """What an earlier process of this bind left in ``sending`` may or may not have reached the carrier: ``unknown``."""
    await database.fetch(_SWEEP, [LOST, route_id, prefix, token])


async def give_back_unknown_claims(database: Database, route_id: int, token: str, known: Iterable[str]) -> None:
    """Release claims of ``token`` that never arrived here, because the connection broke after they were committed."""
    await database.fetch(_GIVE_BACK, [route_id, token, list(known)])


async def record(database: Database, route_id: int, token: str, records: Sequence[Record]) -> None:
    """Write what became of claimed messages; doing so again changes nothing."""
    parts = [(one.id, number, carrier_id) for one in records for number, carrier_id in one.parts.items()]
    part_of, part_numbers, part_ids = _columns(parts, 3)
    values = {
        "ids": [one.id for one in records],
        "states": [one.state for one in records],
        "carrier_ids": [one.carrier_id for one in records],
        "codes": [one.error_code for one in records],
        "reasons": [one.reason for one in records],
        "delays": [one.delay for one in records],
        "untried": [one.untried for one in records],
        "token": token,
        "route": route_id,
        "part_of": part_of,
        "parts": part_numbers,
        "part_ids": part_ids,
    }
    await database.fetch(_RECORD, values)


async def store_receipts(database: Database, route_id: int, receipts: Sequence[tuple[Deliver, Receipt]]) -> None:
    """Store receipts as they came; committed on return."""
    rows = [
        (one.carrier_id[:65], str(one.status), one.error_code[:20], _recipient(deliver.source), one.raw[:1000])
        for deliver, one in receipts
    ]
    await database.fetch(STORE_RECEIPTS, [route_id, *_columns(rows, 5)])


async def store_parts(database: Database, route_id: int, parts: Sequence[PartRow]) -> None:
    """Store inbound parts as they came; committed on return."""
    await database.fetch(inbound_parts.STORE, inbound_parts.columns_of(route_id, parts))


def _recipient(source: str) -> str:
    """A receipt comes from the number that its message went to; carriers write it with or without "+"."""
    return f"+{source}"[:21] if source.isdigit() else source[:21]


async def write_statuses(database: Database, rows: Sequence[StatusRow]) -> None:
    """Show the state of binds."""
    if rows:
        await database.fetch(_STATUS, _columns([row._replace(detail=row.detail[:200]) for row in rows], 6))


async def add_to_minutes(database: Database, tallies: Sequence[tuple[int, Mapping[str, int]]]) -> None:
    """Count what was recorded (states of ``Record``) into the present minute of each route."""
    rows = [
        (route_id, *(tally.get(state, 0) for state in ("sent", "rejected", "scheduled", "unknown")))
        for route_id, tally in tallies
    ]
    await database.fetch(_MINUTES, _columns(rows, 5))


async def open_claims(database: Database) -> list[tuple[int, str]]:
    """(route, claim) of everything in ``sending``."""
    return [(route_id, token) for route_id, token in await database.fetch(_CLAIMS)]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
