"""Taking back what has not been handed to a carrier yet."""

from functools import partial

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from messaging.exceptions import NotCancellable
from messaging.models import Batch, Message
from messaging.wakeups import SETTLE, wake


@transaction.atomic
def cancel_batch(*, batch: Batch, actor: User | None) -> int:
    """Cancel every message of the batch that no connector has claimed; returns how many.

    What a connector claims at the same moment is sent: the row lock decides, and only one side finds the message in
    the state that it expects. Their part of the hold is released within seconds. Raises NotCancellable when nothing
    waits any more.
    """
    batch = Batch.objects.select_for_update().select_related("account").get(pk=batch.pk)
    now = timezone.now()
    with connection.cursor() as cursor:
        # A batch's messages are younger than itself, so months before it need not be searched.
        cursor.execute(
            "UPDATE messaging_message SET state = %s, done_at = %s, reason = %s"
            " WHERE batch_id = %s AND id >= %s AND state = ANY(%s)",
            [
                Message.State.CANCELLED, now, "Cancelled before it was sent.", batch.pk, batch.pk,
                [state.value for state in Message.CANCELLABLE],
            ],
        )  # fmt: skip
        count = cursor.rowcount
    if not count:
        raise NotCancellable(
            "Nothing of this batch waits any more: all its messages have gone to the carrier or ended."
        )
    batch.state, batch.cancelled_at = Batch.State.CANCELLED, now
    batch.save(update_fields=["state", "cancelled_at"])
    audit.record(account=batch.account, actor=actor, action="batch.cancelled", subject=batch.code, messages=count)
    transaction.on_commit(partial(wake, SETTLE))
    return count
