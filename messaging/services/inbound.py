"""From stored inbound parts to messages, conversations and what they set off, in sets (docs/message-way.md).

Connectors and the HTTP webhook only store parts. Here, for a route at a time, repetitions are put aside, long messages
made whole, and each message finds its number, who holds it, its keyword and its actions. All of a chunk is one
transaction: whatever dies, a part is handled with all that follows from it, or not at all.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from messaging.models import InboundAction
from messaging.services.inbound_assembly import Arrived, Part, assemble
from messaging.services.inbound_repeats import find_repeats
from messaging.services.inbound_writing import Delivered, write_messages
from messaging.services.plans import join_by_hash, pin_plans
from messaging.wakeups import ACTIONS, CALLS, wake

log = structlog.get_logger(__name__)

CHUNK = 1000  # parts
LOCK_SPACE = 0x494E4244  # "INBD": the first key of the advisory locks of routes
POSTPONED_SECONDS = 60  # until a part that cannot be handled is tried again

_DUE_ROUTES = """
    SELECT r.id FROM messaging_route r
    WHERE EXISTS (SELECT FROM messaging_inboundpart
                  WHERE route_id = r.id AND handled_at IS NULL AND due_at <= statement_timestamp())
    ORDER BY r.id
"""
# One worker at a time on a route: messages are handled in the order of their arrival, STOP before START.
_LOCK = "SELECT pg_try_advisory_xact_lock(%s, %s)"
_COLUMNS = """id, sender, recipient, text, octets, data_coding, reference, total, sequence, carrier_id, fingerprint,
              session"""
_PICK = f"""
    SELECT {_COLUMNS} FROM messaging_inboundpart
    WHERE route_id = %s AND handled_at IS NULL AND due_at <= statement_timestamp()
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
"""  # noqa: S608
# Pair by pair on the index of waiting parts: without statistics a join would compare all with all.
_WAITING_WITH = f"""
    SELECT p.* FROM unnest(%s::text[], %s::text[]) AS pair(sender, recipient) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM messaging_inboundpart
        WHERE route_id = %s AND sender = pair.sender AND recipient = pair.recipient AND handled_at IS NULL AND total > 1
        OFFSET 0) AS p
"""  # noqa: S608
# Rows are found by their ids (messaging/services/plans.py).
_HANDLED = """
    UPDATE messaging_inboundpart p SET handled_at = now(), message_id = one.message_id
    FROM unnest(%(ids)s::uuid[], %(messages)s::uuid[]) AS one(id, message_id)
    WHERE p.id = ANY(%(ids)s::uuid[]) AND p.id = one.id
"""
_WAIT = """
    UPDATE messaging_inboundpart p SET due_at = one.due_at
    FROM unnest(%(ids)s::uuid[], %(moments)s::timestamptz[]) AS one(id, due_at)
    WHERE p.id = ANY(%(ids)s::uuid[]) AND p.id = one.id
"""
_POSTPONE = """
    UPDATE messaging_inboundpart SET due_at = now() + %s * interval '1 second'
    WHERE id = ANY(%s::uuid[]) AND handled_at IS NULL
"""


def receive_waiting(limit: int) -> int:
    """Handle what is due on every route, up to about ``limit`` parts of each; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_ROUTES)
        routes = [row[0] for row in cursor.fetchall()]
    return sum(_receive_route(route_id, limit) for route_id in routes)


def _receive_route(route_id: int, limit: int) -> int:
    total = 0
    while total < limit:
        count = _receive_or_put_aside(route_id)
        total += count
        if count < CHUNK:
            break
    return total


def _receive_or_put_aside(route_id: int) -> int:
    """As receive_chunk; when a part breaks its chunk, the others are handled one by one and that one is put aside."""
    try:
        return receive_chunk(route_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("inbound.chunk_broke", route=route_id, detail=str(error))
    total = 0
    for _ in range(CHUNK):
        seen: list[Part] = []
        try:
            count = receive_chunk(route_id, size=1, on_picked=seen.extend)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("inbound.part_put_aside", parts=[str(part.id) for part in seen], detail=str(error))
            _postpone([part.id for part in seen])
            count = 1
        total += count
        if not count:
            break
    return total


def _postpone(ids: list[UUID]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_POSTPONE, [POSTPONED_SECONDS, ids])


@transaction.atomic
def receive_chunk(
    route_id: int, *, size: int = CHUNK, on_picked: Callable[[list[Part]], object] = lambda parts: None
) -> int:
    """Handle up to ``size`` parts of a route that are due, oldest first; returns how many, 0 while another does."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [LOCK_SPACE, route_id])
        if not cursor.fetchone()[0]:
            return 0
        pin_plans(cursor)
        cursor.execute(_PICK, [route_id, size])
        picked = [Part(*row) for row in cursor.fetchall()]
        if not picked:
            return 0
        on_picked(picked)
        repeats = find_repeats(cursor, picked)
        fresh = {part.id: part for part in picked if part.id not in repeats}
        fresh |= {part.id: part for part in _load_waiting(cursor, route_id, list(fresh.values()))}
        now = timezone.now()
        arrived, waiting = assemble(
            [part for part in fresh.values() if part.id not in repeats],
            now,
            timedelta(seconds=settings.INBOUND_PART_SECONDS),
        )
        delivered = write_messages(cursor, route_id, arrived, now)
        _file(cursor, arrived, repeats, waiting)
    _wake(delivered)
    return len(picked)


def _load_waiting(cursor: CursorWrapper, route_id: int, parts: list[Part]) -> list[Part]:
    """What waits for parts like these."""
    pairs = sorted({(part.sender, part.recipient) for part in parts if part.total > 1})
    if not pairs:
        return []
    senders, recipients = zip(*pairs, strict=True)
    cursor.execute(_WAITING_WITH, [list(senders), list(recipients), route_id])
    return [Part(*row) for row in cursor.fetchall()]


def _file(
    cursor: CursorWrapper,
    arrived: list[Arrived],
    repeats: dict[UUID, tuple[UUID, UUID | None]],
    waiting: dict[UUID, datetime],
) -> None:
    """Note which parts are handled, by which message, and until when the others wait."""
    messages: dict[UUID, UUID | None] = {part.id: one.first.id for one in arrived for part in one.parts.values()}
    for key in sorted(repeats):
        earlier, message_id = repeats[key]
        messages[key] = message_id or messages.get(earlier)
    join_by_hash(cursor)
    if messages:
        cursor.execute(_HANDLED, {"ids": list(messages), "messages": list(messages.values())})
    if waiting:
        cursor.execute(_WAIT, {"ids": list(waiting), "moments": list(waiting.values())})


def _wake(delivered: Delivered) -> None:
    if delivered.kinds - {InboundAction.Kind.FORWARD_URL}:
        transaction.on_commit(partial(wake, ACTIONS))
    if InboundAction.Kind.FORWARD_URL in delivered.kinds:
        transaction.on_commit(partial(wake, CALLS))
