"""Turning holds into captures and releases, a chunk of messages at a time (PRODUCT.md, money rule 4).

A message that the carrier accepted (``sent_at`` is set) is captured, one that ended otherwise is released. The chunk's
rows, its sums and the ledger's movements are one transaction, so a message is settled exactly once whatever dies.
"""

from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import Error, connection, transaction
from django.db.backends.utils import CursorWrapper

from billing.exceptions import BillingError
from billing.models import Quote
from billing.services import settlement
from billing.services.settlement import Settled, Settlement
from messaging.models import Batch
from messaging.services.plans import join_by_hash, pin_plans, unpin_plans

log = structlog.get_logger(__name__)

CHUNK = 5000  # messages

_PICK = """
    WITH picked AS MATERIALIZED (
        SELECT id, batch_id, quote_id, parts, price, sent_at IS NOT NULL AS was_sent FROM messaging_message
        WHERE settled_at IS NULL AND state IN
            ('sent', 'delivered', 'undelivered', 'expired', 'rejected', 'blocked', 'cancelled', 'failed')
          AND (%(batch)s::uuid IS NULL OR batch_id = %(batch)s) AND batch_id <> ALL(%(without)s::uuid[])
        ORDER BY id LIMIT %(chunk)s FOR UPDATE SKIP LOCKED)
    SELECT batch_id, quote_id, was_sent, count(*), sum(parts), sum(price), array_agg(id)::text
    FROM picked GROUP BY batch_id, quote_id, was_sent
"""

_STAMP = """
    UPDATE messaging_message m SET settled_at = now(), settlement_id = s.settlement_id
    FROM unnest(%(batches)s::uuid[], %(directions)s::boolean[], %(settlements)s::bigint[])
         AS s(batch_id, was_sent, settlement_id)
    WHERE m.id = ANY(%(ids)s::uuid[]) AND m.batch_id = s.batch_id AND (m.sent_at IS NOT NULL) = s.was_sent
"""


class _Line(NamedTuple):
    """The chunk's messages of one batch, price and direction."""

    batch_id: UUID
    quote_id: int
    was_sent: bool
    messages: int
    parts: int
    price: Decimal
    ids: str  # as PostgreSQL writes an array: only it reads them, so nobody parses thousands


def settle_chunk(*, batch_id: UUID | None = None, without: tuple[UUID, ...] = ()) -> int:
    """Settle up to CHUNK messages, of one batch or of all ``without`` some; returns how many.

    Raises what the ledger raises when a batch's books are wrong; then nothing of the chunk is settled.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_PICK, {"batch": batch_id, "without": list(without), "chunk": CHUNK})
        lines = [_Line(*row) for row in cursor.fetchall()]
        if not lines:
            return 0
        unpin_plans(cursor)  # the ledger's statements are not written for them
        key = min(line.ids for line in lines)[1 : 1 + len(str(lines[0].batch_id))]  # the first message's id
        settlement.settle(key=key, settlements=_sum_up(lines), stamp=partial(_stamp, cursor, lines))
    return sum(line.messages for line in lines)


def settle_waiting(limit: int) -> int:
    """Settle what waits, up to about ``limit`` messages; returns how many.

    A batch whose books are wrong is left out, loudly, so that it does not keep all others from being settled; it is
    tried again next time.
    """
    total, broken = 0, list[UUID]()
    while total < limit:
        try:
            count = settle_chunk(without=tuple(broken))
        except (Error, ValueError, BillingError):
            culprit = _find_broken(tuple(broken))
            if culprit is None:
                raise
            broken.append(culprit)
            continue
        total += count
        if not count:
            break
    return total


def _find_broken(known: tuple[UUID, ...]) -> UUID | None:
    """The first batch that cannot be settled by itself; those before it are settled on the way."""
    with connection.cursor() as cursor:
        cursor.execute(_PICK, {"batch": None, "without": list(known), "chunk": CHUNK})
        batches = sorted({row[0] for row in cursor.fetchall()})
    for batch_id in batches:
        try:
            settle_chunk(batch_id=batch_id)
        except (Error, ValueError, BillingError) as error:
            log.exception("settle.broken_batch", batch=str(batch_id), detail=str(error))
            return batch_id
    return None


def _sum_up(lines: list[_Line]) -> list[Settlement]:
    """One settlement per batch, with what every account above the payer earns on the captured parts."""
    quotes = Quote.objects.in_bulk({line.quote_id for line in lines})
    batches = Batch.objects.filter(pk__in={line.batch_id for line in lines}).values_list("pk", "payer", "code")
    settlements = {pk: Settlement(pk, payer, code) for pk, payer, code in batches}
    for line in lines:
        one, margins = settlements[line.batch_id], _margins(quotes[line.quote_id])
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


def _margins(quote: Quote) -> list[tuple[int, Decimal]]:
    """(account, what it earns on one part): its child's price less its own, from the chain down to the payer."""
    chain = [(owner, Decimal(price)) for owner, price in quote.chain]
    return [(owner, below - own) for (owner, own), (_, below) in pairwise(chain) if below != own]


def _stamp(cursor: CursorWrapper, lines: list[_Line], settled: dict[UUID, Settled]) -> None:
    """Write to the chunk's messages that they are settled, and by which ledger transaction."""
    made = [settled[line.batch_id] for line in lines]
    pin_plans(cursor)
    join_by_hash(cursor)
    cursor.execute(_STAMP, {
        "ids": "{" + ",".join(line.ids[1:-1] for line in lines) + "}",
        "batches": [line.batch_id for line in lines],
        "directions": [line.was_sent for line in lines],
        "settlements": [
            one.capture_id if line.was_sent else one.release_id for line, one in zip(lines, made, strict=True)
        ],
    })  # fmt: skip
    unpin_plans(cursor)
