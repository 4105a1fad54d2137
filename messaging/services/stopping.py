"""Opt-outs reach what was accepted before them: messages that still wait are blocked before anything is released."""

from functools import partial

from django.db import connection, transaction
from django.utils import timezone

from accounts.prepared import fetch_prepared
from contacts.models import OptOut
from messaging.models import Message
from messaging.services.plans import pin_plans
from messaging.services.rollups import CHANGED, NOTE
from messaging.wakeups import SETTLE, wake

AT_ONCE = 500  # opt-outs in one transaction

_ANY = "SELECT EXISTS (SELECT FROM contacts_optout WHERE stopped_at IS NULL)"
# What was accepted after an opt-out was allowed to be: the one message that confirms it.
# Messages are found by an array of their ids, and the empty string keeps the queues' indexes out of it: in a join, the
# planner compares all with all (messaging/services/plans.py).
_BLOCK = f"""
    WITH gone AS MATERIALIZED (
        SELECT one.account_id, one.number, uuidv7(one.created_at - clock_timestamp()) AS key
        FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS one(account_id, number, created_at)),
    found AS MATERIALIZED (
        SELECT k.message_id FROM gone CROSS JOIN LATERAL (
            SELECT message_id FROM messaging_messagekey
            WHERE account_id = gone.account_id AND recipient = gone.number AND message_id < gone.key OFFSET 0) AS k),
    changed AS (UPDATE messaging_message m SET state = %s, done_at = %s, reason = %s
    WHERE m.id = ANY(ARRAY(SELECT message_id FROM found)) AND m.state || '' = ANY(%s)
    {CHANGED}),
    noted AS ({NOTE})
    SELECT count(*) FROM changed
"""  # noqa: S608 (no values of others in it)


def block_opted_out() -> int:
    """Block what waits for numbers that have opted out since; returns how many messages.

    An opt-out waits for batches that are being accepted, so the messages that it comes after are all there. What a
    connector claims at the same moment is sent: the row lock decides. Whoever dispatches waits here for another that
    is doing this, so that nothing is released past it. Without a new opt-out this is one look at an empty index.
    """
    count = 0
    while fetch_prepared(_ANY, ()) == [(True,)]:
        count += _block_some()
    return count


@transaction.atomic
def _block_some() -> int:
    waiting = OptOut.objects.select_for_update().filter(stopped_at=None).order_by("pk")[:AT_ONCE]
    found = list(waiting.values_list("pk", "account_id", "number", "created_at", "ended_at"))
    now = timezone.now()
    in_force = [row for row in found if row[-1] is None]
    with connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(
            _BLOCK,
            [
                [row[1] for row in in_force], [row[2] for row in in_force], [row[3] for row in in_force],
                Message.State.BLOCKED, now, "The recipient opted out before it was sent.",
                [state.value for state in Message.CANCELLABLE],
            ],
        )  # fmt: skip
        count = int(cursor.fetchone()[0])
    OptOut.objects.filter(pk__in=[key for key, *_ in found]).update(stopped_at=now)
    if count:
        transaction.on_commit(partial(wake, SETTLE))
    return count
