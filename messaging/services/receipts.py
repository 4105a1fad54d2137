"""Applying the carrier's word to messages, in sets (docs/message-way.md).

Connectors only store receipts (messaging/connectors). Here each is matched by the carrier's id to a message or to a
part of a long one. It may come before the answer to the submit is recorded (tried again, with back-off), twice (the
second changes nothing), out of order, or for a message whose answer was lost (settled by its recipient, if that is
beyond doubt). A message that is not settled yet is captured in the same transaction, by the same write.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import transaction

from accounts.prepared import PreparedCursor
from billing.services.settlement import Settled
from messaging.models import Message
from messaging.services.carrier_keys import NAMED, WITH_IDS
from messaging.services.part_receipts import Long, last_word, load_long, save_parts
from messaging.services.plans import join_by_hash, pin_plans, unpin_plans
from messaging.services.receipt_matching import PIECES, Key, Match, OpenReceipt, match_by_id, match_unknown
from messaging.services.rollups import CHANGED, NOTE
from messaging.services.settling import BROKEN_BOOKS, Line, settle_lines

log = structlog.get_logger(__name__)

CHUNK = 2000  # receipts
# 0.5 s, 1 s, 2 s, … 34 minutes: about 70 minutes in all; after that a receipt stays visible without a message.
FIRST_RETRY_SECONDS = 0.5
MAX_ATTEMPTS = 13

State = Message.State

# Route, then an array a column; whoever brings a receipt stores it so before it is acknowledged.
STORE_RECEIPTS = """
    INSERT INTO messaging_receipt (route_id, carrier_id, status, error_code, recipient, raw)
    SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
"""
_PICK = """
    SELECT id::text, route_id, carrier_id, status, error_code, recipient, attempts FROM messaging_receipt
    WHERE applied_at IS NULL AND next_try_at <= now() ORDER BY next_try_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
# One by one in the order of their ids (they come sorted), so that two workers never wait for each other.
_LOCK = f"""
    SELECT m.* FROM unnest(%s::uuid[]) AS one(id) CROSS JOIN LATERAL (
        SELECT id::text, state, {PIECES}, batch_id::text, quote_id, parts, price, settled_at IS NOT NULL
        FROM messaging_message m WHERE id = one.id FOR UPDATE) AS m
"""  # noqa: S608 (no values of others in it)
# Rows are found by their ids; the empty string keeps other indexes out of it (messaging/services/plans.py).
_APPLY = f"""
    WITH changed AS (UPDATE messaging_message m SET
        state = r.state,
        sent_at = coalesce(m.sent_at, now()),
        done_at = CASE WHEN r.state = 'sent' THEN NULL ELSE now() END,
        error_code = r.error_code, reason = r.reason, claim = '',
        carrier_id = CASE WHEN m.carrier_id = '' THEN r.carrier_id ELSE m.carrier_id END,
        settled_at = CASE WHEN r.settles THEN now() ELSE m.settled_at END,
        settlement_id = CASE WHEN r.settles THEN r.settlement_id ELSE m.settlement_id END
    FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(codes)s::text[], %(reasons)s::text[], %(carrier_ids)s::text[],
                %(settles)s::boolean[], %(settlements)s::bigint[])
        AS r(id, state, error_code, reason, carrier_id, settles, settlement_id)
    WHERE m.id = ANY(%(ids)s::uuid[]) AND m.id = r.id AND m.state || '' IN ('sent', 'unknown')
    {CHANGED}, {WITH_IDS}), named AS ({NAMED}) {NOTE}
"""  # noqa: S608
_DONE = """
    UPDATE messaging_receipt r SET applied_at = now(), message_id = one.message_id, attempts = r.attempts + 1
    FROM unnest(%(ids)s::uuid[], %(messages)s::uuid[]) AS one(id, message_id)
    WHERE r.id = ANY(%(ids)s::uuid[]) AND r.id = one.id
"""
_AGAIN = """
    UPDATE messaging_receipt r SET attempts = r.attempts + 1,
        next_try_at = now() + %s * power(2, r.attempts) * interval '1 second',
        applied_at = CASE WHEN r.attempts + 1 >= %s THEN now() END
    WHERE r.id = ANY(%s::uuid[])
"""


@dataclass(slots=True)
class Outcome:
    """What a message becomes."""

    state: str
    error_code: str
    reason: str
    carrier_id: str


class _Found(NamedTuple):
    """A message that receipts speak of, locked; ``pieces`` is how many receipts tell of it."""

    state: str
    pieces: int
    batch_id: Key
    quote_id: int
    parts: int
    price: Decimal
    is_settled: bool


def apply_waiting(limit: int) -> int:
    """Apply receipts that are due, up to about ``limit``; returns how many were looked at."""
    total = 0
    while total < limit:
        count = apply_chunk()
        total += count
        if count < CHUNK:
            break
    return total


@transaction.atomic
def apply_chunk() -> int:
    """Apply up to CHUNK stored receipts in one transaction; returns how many were looked at."""
    with PreparedCursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_PICK, [CHUNK])
        receipts = [OpenReceipt(*row) for row in cursor.fetchall()]
        if not receipts:
            return 0
        matches = match_by_id(cursor, receipts)
        matches |= match_unknown(cursor, [one for one in receipts if one.id not in matches])
        _apply(cursor, [(one, matches[one.id]) for one in receipts if one.id in matches])
        _file(cursor, receipts, matches)
    return len(receipts)


def _apply(cursor: PreparedCursor, matched: list[tuple[OpenReceipt, Match]]) -> None:
    cursor.execute(_LOCK, [sorted({match.message_id for _, match in matched})])
    found = {row[0]: _Found(*row[1:]) for row in cursor.fetchall()}
    long = load_long(cursor, [message_id for message_id, one in found.items() if one.pieces > 1])
    outcomes: dict[Key, Outcome] = {}
    for receipt, match in matched:
        one = found.get(match.message_id)
        if one is None or one.state not in (State.SENT, State.UNKNOWN):
            continue  # ended before: the same receipt again, or a long message one of whose parts was refused
        outcome = _outcome(receipt, match, one.state, long[match.message_id] if one.pieces > 1 else None)
        earlier = outcomes.get(match.message_id)
        if outcome is not None and (earlier is None or earlier.state == State.SENT):
            outcomes[match.message_id] = outcome
    save_parts(cursor, long)
    if outcomes:
        _settle_and_write(cursor, outcomes, found)


def _settle_and_write(cursor: PreparedCursor, outcomes: dict[Key, Outcome], found: dict[Key, _Found]) -> None:
    """Write what messages become, and capture those that are not settled: the carrier has what it reports on.

    Where the ledger refuses, the receipts count all the same; settling finds out which batch's books are wrong.
    """
    batches = {key: found[key].batch_id for key in outcomes if not found[key].is_settled}
    write = partial(_write, cursor, outcomes, batches)
    if not batches:
        return write({})
    try:
        with transaction.atomic():
            settle_lines(cursor, min(batches), _lines([found[key] for key in batches]), write)
    except BROKEN_BOOKS as error:
        log.warning("receipts.not_settled", detail=str(error))
        _write(cursor, outcomes, {}, {})


def _lines(messages: Iterable[_Found]) -> list[Line]:
    """Their sums by batch and price."""
    groups = defaultdict[tuple[Key, int], list[_Found]](list)
    for one in messages:
        groups[one.batch_id, one.quote_id].append(one)
    return [
        Line(
            UUID(batch),
            quote,
            True,
            len(group),
            sum(one.parts for one in group),
            sum((one.price for one in group), Decimal(0)),
        )
        for (batch, quote), group in groups.items()
    ]


def _write(
    cursor: PreparedCursor, outcomes: dict[Key, Outcome], batches: dict[Key, Key], settled: dict[UUID, Settled]
) -> None:
    """Write outcomes; messages in ``batches`` (message: batch) are settled as their batch was."""
    keys, captures = sorted(outcomes), {str(batch_id): one.capture_id for batch_id, one in settled.items()}
    values: dict[str, Any] = {
        "ids": keys,
        "states": [outcomes[key].state for key in keys],
        "codes": [outcomes[key].error_code for key in keys],
        "reasons": [outcomes[key].reason for key in keys],
        "carrier_ids": [outcomes[key].carrier_id for key in keys],
        "settles": [key in batches for key in keys],
        "settlements": [captures.get(batches.get(key, "")) for key in keys],
    }
    pin_plans(cursor)
    join_by_hash(cursor)
    cursor.execute(_APPLY, values)
    unpin_plans(cursor)


def _outcome(receipt: OpenReceipt, match: Match, state: str, long: Long | None) -> Outcome | None:
    """What the receipt makes of its message; None = nothing yet."""
    word = last_word(receipt)
    if long is not None:
        if word is not None:
            long.note(match.part, word, receipt)
        word = long.verdict()
    if word is not None:
        return Outcome(*word, receipt.carrier_id)
    # Whatever the word is, a receipt proves that the carrier has what it speaks of: a message, or one part of it.
    is_proven = state == State.UNKNOWN and (long is None or long.is_whole)
    return Outcome(State.SENT.value, "", "", receipt.carrier_id) if is_proven else None


def _file(cursor: PreparedCursor, receipts: list[OpenReceipt], matches: dict[Key, Match]) -> None:
    """Note which receipts are applied and when the others are tried again."""
    done = [one.id for one in receipts if one.id in matches]
    if done:
        pin_plans(cursor)
        join_by_hash(cursor)
        cursor.execute(_DONE, {"ids": done, "messages": [matches[key].message_id for key in done]})
        unpin_plans(cursor)
    again = [one.id for one in receipts if one.id not in matches]
    if again:
        cursor.execute(_AGAIN, [FIRST_RETRY_SECONDS, MAX_ATTEMPTS, again])
