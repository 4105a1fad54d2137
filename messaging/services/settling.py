"""Turning holds into captures and releases, a chunk of messages at a time (PRODUCT.md, money rule 4).

A message that the carrier accepted (``sent_at`` is set) is captured, one that ended otherwise is released. The chunk's
rows, its sums and the ledger's movements are one transaction, so a message is settled exactly once whatever dies.

Most messages are settled by their receipt (messaging/services/receipts.py), which writes to them anyway. Here those are
settled that ended without one, and those whose receipt is not there after RECEIPT_SECONDS.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import Error, transaction

from accounts.prepared import PreparedCursor, fetch_prepared
from billing.exceptions import BillingError
from billing.services import settlement
from billing.services.settlement import Settled, Settlement
from messaging.services.plans import join_by_hash, pin_plans, unpin_plans
from messaging.services.rollups import Captured, note_captured

log = structlog.get_logger(__name__)

BROKEN_BOOKS = (Error, ValueError, BillingError)  # what settling a batch with wrong books may raise
UUID_LENGTH = 36  # characters

CHUNK = 5000  # messages
# A sent message waits this long for its receipt to settle it, so that its row is written once instead of twice. Until
# then its price is held, so nobody can spend it.
RECEIPT_SECONDS = 10

# By the indexes message_unsettled and message_sent.
_ENDED = """state IN ('delivered', 'undelivered', 'expired', 'rejected', 'blocked', 'cancelled', 'failed')
          AND (%(batch)s::uuid IS NULL OR batch_id = %(batch)s) AND batch_id <> ALL(%(without)s::uuid[])
        ORDER BY id"""
_SENT = """state = 'sent' AND sent_at <= statement_timestamp() - %(patience)s * interval '1 second'
          AND (%(batch)s::uuid IS NULL OR batch_id = %(batch)s) AND batch_id <> ALL(%(without)s::uuid[])
        ORDER BY sent_at"""
_PICK = """
    WITH picked AS MATERIALIZED (
        SELECT id, batch_id, quote_id, parts, price, sent_at IS NOT NULL AS was_sent FROM messaging_message
        WHERE settled_at IS NULL AND {which} LIMIT %(chunk)s FOR UPDATE SKIP LOCKED)
    SELECT array_agg(id)::text, batch_id, quote_id, was_sent, count(*), sum(parts), sum(price)
    FROM picked GROUP BY batch_id, quote_id, was_sent
"""
_PICKS = (_PICK.format(which=_ENDED), _PICK.format(which=_SENT))

_STAMP = """
    UPDATE messaging_message m SET settled_at = now(), settlement_id = s.settlement_id
    FROM unnest(%(batches)s::uuid[], %(directions)s::boolean[], %(settlements)s::bigint[])
         AS s(batch_id, was_sent, settlement_id)
    WHERE m.id = ANY(%(ids)s::uuid[]) AND m.batch_id = s.batch_id AND (m.sent_at IS NOT NULL) = s.was_sent
"""

# Whose prices and batches are summed up; a chunk of single messages has as many batches as messages. Their plans are
# pinned: made while there were few batches, they read all that there are for as long as the connection lasts.
_CHAINS = "SELECT id, chain::json FROM billing_quote WHERE id = ANY(%(quotes)s::bigint[])"
_BATCHES = "SELECT id, payer_id, code FROM messaging_batch WHERE id = ANY(%(batches)s::uuid[])"


class Line(NamedTuple):
    """A chunk's messages of one batch, price and direction."""

    batch_id: UUID
    quote_id: int
    was_sent: bool
    messages: int
    parts: int
    price: Decimal


class _Picked(NamedTuple):
    """Messages to be settled together; their ids as PostgreSQL writes an array, which only it reads."""

    ids: str
    line: Line


def settle_lines(
    cursor: PreparedCursor, key: str, lines: Sequence[Line], stamp: Callable[[dict[UUID, Settled]], None]
) -> None:
    """Capture what the carrier took of these messages and release the rest, in the open transaction.

    Plans are pinned when this is called, and not any more afterwards. ``key`` is the id of one of the messages, which
    their movements are named by; ``stamp`` has to write to them that they are settled, before wallets are locked.
    Raises what the ledger raises when a batch's books are wrong.
    """
    settlements = _sum_up(lines)
    unpin_plans(cursor)  # the ledger's statements are not written for them
    settled = settlement.settle(key=key, settlements=settlements, stamp=stamp)
    note_captured([
        Captured(capture_id, line.quote_id, line.messages, line.parts) for line in lines
        if line.was_sent and (capture_id := settled[line.batch_id].capture_id) is not None
    ])  # fmt: skip


def settle_chunk(*, batch_id: UUID | None = None, without: tuple[UUID, ...] = (), patience: float = 0) -> int:
    """Settle up to CHUNK messages, of one batch or of all ``without`` some; returns how many.

    Those that were sent less than ``patience`` seconds ago are left to their receipts. Raises what the ledger raises
    when a batch's books are wrong; then nothing of the chunk is settled.
    """
    with transaction.atomic(), PreparedCursor() as cursor:
        picked = _pick(cursor, batch_id, without, patience)
        if not picked:
            return 0
        key = min(one.ids for one in picked)[1 : 1 + UUID_LENGTH]  # the first message's id
        settle_lines(cursor, key, [one.line for one in picked], partial(_stamp, cursor, picked))
    return sum(one.line.messages for one in picked)


def settle_waiting(limit: int, *, patience: float = 0) -> int:
    """Settle what waits, up to about ``limit`` messages, but for what was sent less than ``patience`` seconds ago.

    Returns how many. A batch whose books are wrong is left out, loudly, so that it does not keep all others from being
    settled; it is tried again next time.
    """
    total, broken = 0, list[UUID]()
    while total < limit:
        try:
            count = settle_chunk(without=tuple(broken), patience=patience)
        except BROKEN_BOOKS:
            culprit = _find_broken(tuple(broken), patience)
            if culprit is None:
                raise
            broken.append(culprit)
            continue
        total += count
        if not count:
            break
    return total


def _pick(cursor: PreparedCursor, batch_id: UUID | None, without: Sequence[UUID], patience: float) -> list[_Picked]:
    values = {"batch": batch_id, "without": list(without), "patience": patience}
    picked, room = list[_Picked](), CHUNK
    for query in _PICKS:
        if room > 0:
            pin_plans(cursor)
            cursor.execute(query, {**values, "chunk": room})
            picked += [_Picked(ids, Line(*row)) for ids, *row in cursor.fetchall()]
            room = CHUNK - sum(one.line.messages for one in picked)
    return picked


def _find_broken(known: tuple[UUID, ...], patience: float) -> UUID | None:
    """The first batch that cannot be settled by itself; those before it are settled on the way."""
    with transaction.atomic(), PreparedCursor() as cursor:
        batches = sorted({one.line.batch_id for one in _pick(cursor, None, known, patience)})
    for batch_id in batches:
        try:
            settle_chunk(batch_id=batch_id, patience=patience)
        except BROKEN_BOOKS as error:
            log.exception("settle.broken_batch", batch=str(batch_id), detail=str(error))
            return batch_id
    return None


def _sum_up(lines: Sequence[Line]) -> list[Settlement]:
    """One settlement per batch, with what every account above the payer earns on the captured parts."""
    quotes = fetch_prepared(_CHAINS, {"quotes": list({line.quote_id for line in lines})})
    margins_of = {pk: _margins(chain) for pk, chain in quotes}
    batches = fetch_prepared(_BATCHES, {"batches": list({line.batch_id for line in lines})})
    settlements = {pk: Settlement(pk, payer, code) for pk, payer, code in batches}
    for line in lines:
        one, margins = settlements[line.batch_id], margins_of[line.quote_id]
        if line.was_sent:
            one.captured += line.price
            one.captured_count += line.messages
        else:
            one.released += line.price
            one.released_count += line.messages
        for owner, margin in margins:
            if margin < 0:
                (one.subsidies if line.was_sent else one.subsidies_released)[owner] -= margin * line.parts
            elif line.was_sent:
                one.earnings[owner] += margin * line.parts
    return [settlements[batch_id] for batch_id in sorted(settlements)]


def _margins(chain: list[tuple[int, str]]) -> list[tuple[int, Decimal]]:
    """(account, what it earns on one part): its child's price less its own, from a quote's chain down to the payer."""
    prices = [(owner, Decimal(price)) for owner, price in chain]
    return [(owner, below - own) for (owner, own), (_, below) in pairwise(prices) if below != own]


def _stamp(cursor: PreparedCursor, picked: list[_Picked], settled: dict[UUID, Settled]) -> None:
    """Write to the chunk's messages that they are settled, and by which ledger transaction."""
    lines = [one.line for one in picked]
    made = [settled[line.batch_id] for line in lines]
    pin_plans(cursor)
    join_by_hash(cursor)
    cursor.execute(_STAMP, {
        "ids": "{" + ",".join(one.ids[1:-1] for one in picked) + "}",
        "batches": [line.batch_id for line in lines],
        "directions": [line.was_sent for line in lines],
        "settlements": [
            one.capture_id if line.was_sent else one.release_id for line, one in zip(lines, made, strict=True)
        ],
    })  # fmt: skip
    unpin_plans(cursor)
