"""Ends that time brings: validity that passed before a message was sent, and receipts that never came.

Both sweeps look at everything once, by an index, and remember how far they have come (SweepMark). What the dispatcher
and connectors meet past its validity they let expire themselves; here is found what they do not come to, because its
route is paused, its account's hours are over or its schedule lies ahead.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from messaging.models import SendingTerms, SweepMark
from messaging.services.plans import pin_plans
from messaging.services.rollups import CHANGED, NOTE
from messaging.services.scheduling import LATE
from messaging.wakeups import SETTLE, wake

BATCHES = 500  # whose validity ended, in one transaction
MESSAGES = 5000
# Days of waiting are at least one: before that nothing needs to be looked at.
SILENT_AFTER = timedelta(days=1)
SILENT = "No receipt came within"  # how the reason begins
OVERLAP = timedelta(seconds=60)  # a batch that is being accepted may show up after its end was passed

_ENDED = """
    SELECT id, valid_until FROM messaging_batch
    WHERE valid_until > %s AND valid_until <= %s ORDER BY valid_until LIMIT %s
"""
# By the index (batch, state). No message is older than its batch.
_EXPIRE = f"""
    WITH changed AS (UPDATE messaging_message m SET state = 'expired', done_at = now(), reason = %s
    FROM unnest(%s::uuid[]) AS one(id)
    WHERE m.batch_id = one.id AND m.id >= one.id AND m.state IN ('scheduled', 'held', 'queued', 'released')
      AND m.valid_until <= now()
    {CHANGED}) {NOTE}
"""  # noqa: S608 (no values of others in it)
_FIND_SILENT = """
    WITH seen AS MATERIALIZED (
        SELECT id, account_id, state FROM messaging_message
        WHERE id >= messaging_uuid_floor(%s) AND id < messaging_uuid_floor(%s) ORDER BY id LIMIT %s),
    kept AS (
        INSERT INTO messaging_silentmessage (message_id, account_id, look_at)
        SELECT id, account_id, now() FROM seen
        WHERE state IN ('scheduled', 'held', 'queued', 'released', 'sending', 'unknown', 'sent')
        ON CONFLICT (message_id) DO NOTHING)
    SELECT count(*), max(uuid_extract_timestamp(id)) FROM seen
"""
_LOOK = f"""
    WITH due AS MATERIALIZED (
        SELECT message_id, account_id FROM messaging_silentmessage
        WHERE look_at <= now() ORDER BY look_at LIMIT %(count)s FOR UPDATE SKIP LOCKED),
    judged AS MATERIALIZED (
        SELECT due.message_id, m.state, t.days, t.ends, m.sent_at + t.days * interval '1 day' AS until
        FROM due
        CROSS JOIN LATERAL (SELECT state, sent_at FROM messaging_message WHERE id = due.message_id FOR UPDATE) AS m
        CROSS JOIN LATERAL (
            SELECT coalesce(max(waiting_days), %(days)s) AS days, coalesce(max(expired_state), %(ends)s) AS ends
            FROM messaging_sendingterms WHERE account_id = due.account_id) AS t),
    changed AS (
        UPDATE messaging_message m SET state = judged.ends, done_at = now(),
            reason = %(silent)s || ' ' || judged.days || CASE judged.days WHEN 1 THEN ' day.' ELSE ' days.' END
        FROM judged WHERE m.id = judged.message_id AND judged.state = 'sent' AND judged.until <= now()
        {CHANGED}),
    noted AS ({NOTE}),
    gone AS (
        DELETE FROM messaging_silentmessage s USING judged
        WHERE s.message_id = judged.message_id AND (
            judged.state NOT IN ('scheduled', 'held', 'queued', 'released', 'sending', 'unknown', 'sent')
            OR (judged.state = 'sent' AND judged.until <= now()))),
    later AS (
        UPDATE messaging_silentmessage s
        SET look_at = CASE WHEN judged.state = 'sent' THEN judged.until ELSE now() + interval '1 hour' END
        FROM judged WHERE s.message_id = judged.message_id AND (
            judged.state IN ('scheduled', 'held', 'queued', 'released', 'sending', 'unknown')
            OR (judged.state = 'sent' AND judged.until > now())))
    SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM changed)
"""  # noqa: S608


@transaction.atomic
def expire_late() -> int:
    """Let messages expire whose batch's validity ended since the last look; returns how many batches were looked at."""
    now = timezone.now()
    mark = _mark(SweepMark.Sweep.VALIDITY, now - timedelta(days=1))
    if mark is None:
        return 0
    with connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_ENDED, [mark.moment, now, BATCHES])
        rows = cursor.fetchall()
        if rows:
            cursor.execute(_EXPIRE, [LATE, [batch_id for batch_id, _ in rows]])
            if cursor.rowcount:
                transaction.on_commit(partial(wake, SETTLE))
    mark.moment = rows[-1][1] if len(rows) == BATCHES else now - OVERLAP
    mark.save(update_fields=["moment"])
    return len(rows)


@transaction.atomic
def find_silent() -> int:
    """Note messages that are a day old and have not ended; returns how many messages were looked at."""
    until = timezone.now() - SILENT_AFTER
    mark = _mark(SweepMark.Sweep.SILENT, until - timedelta(days=90))
    if mark is None:
        return 0
    with connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_FIND_SILENT, [mark.moment, until, MESSAGES])
        count, last = cursor.fetchone()
    # The last millisecond is read again: there may be more in it, though never as many as are read at once.
    mark.moment = max(last, mark.moment + timedelta(milliseconds=1)) if count == MESSAGES else until
    mark.save(update_fields=["moment"])
    return int(count)


@transaction.atomic
def end_silent() -> int:
    """Give messages without a receipt their account's delivery status; returns how many were looked at.

    A receipt that comes later is stored and shown with its message, and changes nothing any more.
    """
    usual = SendingTerms()
    values: dict[str, Any] = {
        "count": MESSAGES,
        "days": usual.waiting_days,
        "ends": usual.expired_state,
        "silent": SILENT,
    }
    with connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_LOOK, values)
        looked, _ = cursor.fetchone()
    return int(looked)


def _mark(sweep: str, start: datetime) -> SweepMark | None:
    """How far the sweep has come, locked; None while another worker is at it."""
    SweepMark.objects.get_or_create(sweep=sweep, defaults={"moment": start})
    return SweepMark.objects.select_for_update(skip_locked=True).filter(sweep=sweep).first()
