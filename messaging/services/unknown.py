"""Messages whose answer was lost and of which nothing has told since: people decide (docs/operations.md).

Decisions are made in sets. Each takes only what is still ``unknown`` under the row's lock, so a receipt that comes at
the same moment either wins or changes nothing; it never counts beside the decision.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from accounts.models import Account, User
from accounts.services import audit
from messaging.models import Batch
from messaging.services.plans import pin_plans, unpin_plans
from messaging.services.rollups import CHANGED, NOTE
from messaging.wakeups import DISPATCH, SETTLE, wake

CHUNK = 5_000  # messages in one transaction
SHOWN_BATCHES = 20  # whose codes the audit trail names
RELEASED_REASON = "Nobody heard whether the carrier took it; it was given up and its price given back."
RESTORED_REASON = "It may have been sent before the database was restored from a back-up."

# Locked in the order of their ids, as receipts lock them (messaging/services/receipts.py).
_LOCK = """
    SELECT m.id FROM unnest(%(ids)s::uuid[]) AS one(id) CROSS JOIN LATERAL (
        SELECT id FROM messaging_message
        WHERE id = one.id AND state = 'unknown' AND (%(of_cancelled)s OR NOT EXISTS (
            SELECT FROM messaging_batch b WHERE b.id = batch_id AND b.state = 'cancelled'))
        FOR UPDATE) AS m
"""
# The carrier gives new ids to the parts of the next attempt.
_FORGET_PARTS = "DELETE FROM messaging_messagepart WHERE message_id = ANY(%s)"
_RESEND = """
    UPDATE messaging_message SET state = 'queued', claim = '', carrier_id = '', error_code = '', reason = '',
        released_at = NULL, sending_at = NULL, not_before = NULL
    WHERE id = ANY(%s) RETURNING account_id, batch_id, route_id
"""
_RELEASE = f"""
    WITH changed AS (
        UPDATE messaging_message SET state = 'failed', done_at = now(), claim = '', reason = %s
        WHERE id = ANY(%s)
        {CHANGED}, new.batch_id, new.route_id),
    noted AS ({NOTE})
    SELECT account_id, batch_id, route_id FROM changed
"""  # noqa: S608 (no values of others in it)
# Whatever waited at the moment of the back-up may have gone out since; what is due later has not.
_DOUBT = """
    UPDATE messaging_message SET state = 'unknown', claim = '', reason = %s, sending_at = coalesce(sending_at, now())
    WHERE state IN ('queued', 'released', 'sending')
       OR state = 'scheduled' AND (not_before IS NULL OR not_before <= now())
"""


class _Decided(NamedTuple):
    """A message about which somebody decided."""

    account_id: int
    batch_id: UUID
    route_id: int


def resend(ids: Iterable[UUID], *, actor: User | None) -> int:
    """Queue unknown messages again, under their hold; returns how many.

    They may reach the phone twice: nobody knows whether the carrier has the first attempt. ``attempts`` goes on
    counting. What is no longer unknown, and what belongs to a cancelled batch, is left alone.
    """
    decided: list[_Decided] = []
    for chunk in _chunks(ids):
        with transaction.atomic(), connection.cursor() as cursor:
            found = _lock(cursor, chunk, of_cancelled=False)
            cursor.execute(_FORGET_PARTS, [found])
            cursor.execute(_RESEND, [found])
            decided += _note(cursor, "messages.sent_again", actor)
    for route_id in sorted({one.route_id for one in decided}):
        wake(DISPATCH, route_id)
    return len(decided)


def release(ids: Iterable[UUID], *, actor: User | None) -> int:
    """End unknown messages as failed, so that their part of the hold is given back; returns how many.

    A receipt that comes later changes nothing any more: the payer has its money back, whatever the phone got.
    """
    count = 0
    for chunk in _chunks(ids):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_RELEASE, [RELEASED_REASON, _lock(cursor, chunk, of_cancelled=True)])
            count += len(_note(cursor, "messages.given_up", actor))
    if count:
        wake(SETTLE)
    return count


@transaction.atomic
def doubt_what_waited() -> int:
    """After a restore: what waited to be sent at the moment of the back-up becomes unknown; returns how many.

    Nothing but the database may be running, or messages that are just being sent would be doubted.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DOUBT, [RESTORED_REASON])
        return cursor.rowcount


def _chunks(ids: Iterable[UUID]) -> Iterator[list[UUID]]:
    """In order: receipts lock messages in the same."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def _lock(cursor: CursorWrapper, ids: list[UUID], *, of_cancelled: bool) -> list[UUID]:
    """Those that are unknown still, and from now on until the transaction ends."""
    pin_plans(cursor)
    cursor.execute(_LOCK, {"ids": ids, "of_cancelled": of_cancelled})
    found = [row[0] for row in cursor.fetchall()]
    unpin_plans(cursor)
    return found


def _note(cursor: CursorWrapper, action: str, actor: User | None) -> list[_Decided]:
    """Write into each account's audit trail who decided about how many messages; returns what the statement did."""
    decided = [_Decided(*row) for row in cursor.fetchall()]
    batches = defaultdict[int, Counter[UUID]](Counter)
    for one in decided:
        batches[one.account_id][one.batch_id] += 1
    accounts = Account.objects.in_bulk(batches)
    for account_id, counts in sorted(batches.items()):
        shown = [batch_id for batch_id, _ in counts.most_common(SHOWN_BATCHES)]
        codes = sorted(Batch.objects.filter(pk__in=shown).values_list("code", flat=True))
        total = counts.total()
        subject = codes[0] if len(counts) == 1 else f"{len(counts):,} batches"
        audit.record(
            account=accounts[account_id], actor=actor, action=action, subject=subject, messages=total, batches=codes
        )
    return decided
