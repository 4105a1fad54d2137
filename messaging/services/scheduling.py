"""Messages that wait for their time: a schedule of the account, or the back-off after a carrier's "later".

They are ``scheduled`` with ``not_before`` and stand in no queue, so however many there are, what may go now does not
have to pass them. When their time has come they are queued, oldest first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.prepared import PreparedCursor
from messaging.exceptions import BadSchedule, BadValidity
from messaging.services.plans import pin_plans
from messaging.services.rollups import note_late

CHUNK = 5000  # messages
# Receipts are looked for among messages that were accepted within receipt_matching.MATCH_DAYS: whatever waits, waits
# less than that.
MOST_DAYS_AHEAD = 30
LONGEST_VALIDITY = timedelta(days=30)
LATE = "Its validity ended before it could be sent."

_QUEUE = f"""
    WITH due AS MATERIALIZED (
        SELECT id, account_id, quote_id, coalesce(valid_until <= now(), false) AS is_late FROM messaging_message m
        WHERE state = 'scheduled' AND not_before <= now()
          AND NOT EXISTS (SELECT FROM messaging_route r WHERE r.id = m.route_id AND m.attempts >= r.max_attempts)
        ORDER BY not_before LIMIT %(chunk)s FOR UPDATE SKIP LOCKED),
    moved AS (
        UPDATE messaging_message m SET
            state = CASE WHEN due.is_late THEN 'expired' ELSE 'queued' END,
            done_at = CASE WHEN due.is_late THEN now() END,
            reason = CASE WHEN due.is_late THEN %(late)s ELSE m.reason END
        FROM due WHERE m.id = due.id
        RETURNING m.route_id),
    noted AS ({note_late("due")})
    SELECT route_id, count(*) FROM moved GROUP BY route_id
"""  # noqa: S608 (no values of others in it)


@dataclass(frozen=True)
class Schedule:
    """When a batch is sent (None = at once) and until when it may be (None = whenever it can)."""

    send_at: datetime | None
    valid_until: datetime | None


def make_schedule(send_at: datetime | None = None, valid_until: datetime | None = None) -> Schedule:
    """Check both moments; without ``valid_until`` the setting VALIDITY_HOURS counts, from the time of sending on.

    Raises BadSchedule for a time that has passed or is more than MOST_DAYS_AHEAD days ahead, BadValidity for an end
    before the time of sending, or more than LONGEST_VALIDITY after it.
    """
    now = timezone.now()
    if send_at is not None and send_at <= now:
        raise BadSchedule(f"{_at(send_at)} has passed: it is {_at(now)} now. Choose a later time, or send at once.")
    if send_at is not None and send_at > now + timedelta(days=MOST_DAYS_AHEAD):
        last = _at(now + timedelta(days=MOST_DAYS_AHEAD))
        raise BadSchedule(f"{_at(send_at)} is too far ahead; choose a time within {MOST_DAYS_AHEAD} days, to {last}.")
    start = send_at or now
    if valid_until is None:
        hours = settings.VALIDITY_HOURS
        return Schedule(send_at, start + timedelta(hours=hours) if hours else None)
    if valid_until <= start:
        raise BadValidity(f"It would end at {_at(valid_until)}, before the messages go at {_at(start)}; choose longer.")
    if valid_until > start + LONGEST_VALIDITY:
        raise BadValidity(f"Messages can wait at most {LONGEST_VALIDITY.days} days; choose a shorter time.")
    return Schedule(send_at, valid_until)


def _at(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Queued:
    """What one round brought: how many messages left ``scheduled``, and on which routes."""

    count: int
    routes: list[int]


def queue_due() -> Queued:
    """Queue up to CHUNK messages whose time has come; those whose validity has ended meanwhile expire."""
    with transaction.atomic(), PreparedCursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_QUEUE, {"chunk": CHUNK, "late": LATE})
        rows = cursor.fetchall()
    return Queued(sum(count for _, count in rows), sorted(route_id for route_id, _ in rows))
