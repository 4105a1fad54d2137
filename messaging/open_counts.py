"""How many messages are on their way, for staff: by the indexes of those alone, and counted to a bound."""

from django.db import connection, transaction

from messaging.models import Message
from messaging.services.plans import pin_plans

State = Message.State
MOST_COUNTED = 100_000
# By the indexes message_queue, message_released and message_open: the order of each leaves no other, as nothing may be
# sorted.
_COUNT = """
    SELECT 'queued', count(*) FROM (
        SELECT FROM messaging_message WHERE state = 'queued'
        ORDER BY route_id, message_class, account_id, priority DESC, id LIMIT %(most)s) AS waiting
    UNION ALL
    SELECT 'released', count(*) FROM (
        SELECT FROM messaging_message WHERE state = 'released'
        ORDER BY route_id, message_class, priority DESC, released_at, id LIMIT %(most)s) AS ready
    UNION ALL
    SELECT state, count(*) FROM (
        SELECT state FROM messaging_message WHERE state IN ('sending', 'unknown')
        ORDER BY route_id, claim LIMIT %(most)s) AS written
    GROUP BY state
"""


def count_open() -> dict[str, int]:
    """Messages by state: queued, released, sending and unknown; counted up to MOST_COUNTED and one more."""
    counts = dict.fromkeys(map(str, (State.QUEUED, State.RELEASED, State.SENDING, State.UNKNOWN)), 0)
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_COUNT, {"most": MOST_COUNTED + 1})
        return counts | dict(cursor.fetchall())
