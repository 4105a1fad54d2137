"""Moving a scheduled batch to another time."""

from datetime import datetime
from functools import partial

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from messaging.exceptions import NotReschedulable
from messaging.models import Batch
from messaging.services.scheduling import make_schedule
from messaging.wakeups import DUE, wake

# What waits after a carrier's "later" has begun already. A batch's messages are younger than itself.
_MOVE = """
    UPDATE messaging_message SET not_before = coalesce(%s, now()), valid_until = %s
    WHERE batch_id = %s AND id >= %s AND state = 'scheduled' AND attempts = 0 AND tried_routes IS NULL
"""


@transaction.atomic
def reschedule_batch(*, batch: Batch, send_at: datetime | None, actor: User | None) -> int:
    """Have what waits for the batch's time sent at another one, None = at once; returns how many messages.

    They stay valid for as long as before, counted from the new time. Raises NotReschedulable when the batch has begun
    or was cancelled, and BadSchedule as make_schedule does.
    """
    batch = Batch.objects.select_for_update().select_related("account").get(pk=batch.pk)
    if batch.send_at is None or batch.state != Batch.State.ACCEPTED:
        raise NotReschedulable("This batch does not wait for a time, so there is none to change.")
    start = send_at or timezone.now()
    valid_until = None if batch.valid_until is None else start + (batch.valid_until - batch.send_at)
    make_schedule(send_at)
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, [send_at, valid_until, batch.pk, batch.pk])
        count: int = cursor.rowcount
    if not count:
        raise NotReschedulable("This batch has begun: its time cannot be changed any more.")
    before, batch.send_at, batch.valid_until = batch.send_at, start, valid_until
    batch.save(update_fields=["send_at", "valid_until"])
    audit.record(
        account=batch.account, actor=actor, action="batch.rescheduled", subject=batch.code,
        before=before.isoformat(), after=start.isoformat(), messages=count,
    )  # fmt: skip
    if send_at is None:
        transaction.on_commit(partial(wake, DUE))
    return count
