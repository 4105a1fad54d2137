"""Taking back what has not been handed to a carrier yet."""

import time
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from messaging.exceptions import NotCancellable
from messaging.models import Batch, Message
from messaging.services.rollups import CHANGED, NOTE
from messaging.wakeups import SETTLE, wake

# Rows that a dispatcher or connector has in hand at this moment are passed over: waiting for them while holding others
# is how deadlocks begin. The next round finds them in whatever state they are left.
# A batch's messages are younger than itself, so months before it need not be searched.
_CANCEL = f"""
    WITH picked AS MATERIALIZED (
        SELECT id FROM messaging_message WHERE batch_id = %(batch)s AND id >= %(batch)s AND state = ANY(%(states)s)
        FOR UPDATE SKIP LOCKED),
    changed AS (
        UPDATE messaging_message m SET state = 'cancelled', done_at = now(), reason = %(reason)s
        FROM picked WHERE m.id = picked.id
        {CHANGED}),
    noted AS ({NOTE})
    SELECT count(*) FROM changed
"""  # noqa: S608 (no values of others in it)
_WAITS = """
    SELECT EXISTS (
        SELECT FROM messaging_message WHERE batch_id = %(batch)s AND id >= %(batch)s AND state = ANY(%(states)s))
"""
PATIENCE = 5  # seconds for messages that others have in hand
PAUSE = 0.02  # seconds between two rounds


def cancel_batch(*, batch: Batch, actor: User | None) -> int:
    """Cancel every message of the batch that no connector has claimed; returns how many.

    What a connector claims at the same moment is sent: the row lock decides, and only one side finds the message in
    the state that it expects. Their part of the hold is released within seconds. Raises NotCancellable when nothing
    waits any more.
    """
    values = {
        "batch": batch.pk,
        "states": [state.value for state in Message.CANCELLABLE],
        "reason": "Cancelled before it was sent.",
    }
    deadline = time.monotonic() + PATIENCE
    count = _cancel_round(batch, values, actor)
    while _waits(values) and time.monotonic() < deadline:
        time.sleep(PAUSE)
        count += _cancel_round(batch, values, actor)
    if not count:
        raise NotCancellable(
            "Nothing of this batch waits any more: all its messages have gone to the carrier or ended."
        )
    return count


@transaction.atomic
def cancel_preparing(*, batch: Batch, actor: User | None) -> bool:
    """Cancel a batch whose recipients are being prepared: it holds no money and has no message yet.

    False when it is not being prepared any more. The worker that prepares it finds out and stops.
    """
    waiting = Batch.objects.filter(pk=batch.pk, state=Batch.State.PREPARING)
    if not waiting.update(state=Batch.State.CANCELLED, cancelled_at=timezone.now()):
        return False
    audit.record(account=batch.account, actor=actor, action="batch.cancelled", subject=batch.code, messages=0)
    return True


@transaction.atomic
def _cancel_round(batch: Batch, values: dict[str, Any], actor: User | None) -> int:
    batch = Batch.objects.select_for_update().select_related("account").get(pk=batch.pk)
    with connection.cursor() as cursor:
        cursor.execute(_CANCEL, values)
        count = int(cursor.fetchone()[0])
    if count:
        batch.state, batch.cancelled_at = Batch.State.CANCELLED, timezone.now()
        batch.save(update_fields=["state", "cancelled_at"])
        audit.record(account=batch.account, actor=actor, action="batch.cancelled", subject=batch.code, messages=count)
        transaction.on_commit(partial(wake, SETTLE))
    return count


def _waits(values: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITS, values)
        return bool(cursor.fetchone()[0])
