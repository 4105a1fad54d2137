"""How many messages of a batch are in which state, from the index (batch, state) alone.

It is not bounded by messages' ids: that would read rows, or all newer ids, in place of the index's own entries.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from django.db import connection

from messaging.models import Batch, Message

State = Message.State

FEW = 2_000  # messages that are counted one by one
# Of those that have more than FEW, the first is not counted. Most of a large batch wait, or are delivered.
_LIKELY = (State.DELIVERED, State.QUEUED, State.SCHEDULED, State.SENT)
_STATES = [str(state) for state in (*_LIKELY, *(state for state in State if state not in _LIKELY))]

_SMALL = "SELECT batch_id, state, count(*) FROM messaging_message WHERE batch_id = ANY(%s) GROUP BY 1, 2"
# One snapshot, so that what is left for the state that is not counted is exact.
_LARGE = """
    WITH few AS MATERIALIZED (
        SELECT b.id, s.state, s.place, (
            SELECT count(*) FROM (
                SELECT FROM messaging_message m WHERE m.batch_id = b.id AND m.state = s.state LIMIT %(few)s) AS found
            ) AS messages
        FROM unnest(%(batches)s::uuid[]) AS b(id)
        CROSS JOIN unnest(%(states)s::text[]) WITH ORDINALITY AS s(state, place)),
    uncounted AS (
        SELECT DISTINCT ON (id) id, state FROM few WHERE messages = %(few)s ORDER BY id, place)
    SELECT few.id, few.state, CASE
        WHEN few.messages < %(few)s THEN few.messages
        WHEN uncounted.state IS NULL THEN (
            SELECT count(*) FROM messaging_message m WHERE m.batch_id = few.id AND m.state = few.state) END
    FROM few LEFT JOIN uncounted USING (id, state) WHERE few.messages > 0
    ORDER BY uncounted.state IS NOT NULL
"""


def counts_of(batches: Iterable[Batch]) -> dict[UUID, dict[str, int]]:
    """Messages by state of each batch; what has none in a state is left out."""
    counts: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    totals = {batch.pk: batch.message_count for batch in batches}
    for key, state, messages in _rows(totals):
        # The one that was not counted comes last.
        counts[key][state] = totals[key] - sum(counts[key].values()) if messages is None else messages
    return dict(counts)


def _rows(totals: Mapping[UUID, int]) -> Iterator[tuple[UUID, str, int | None]]:
    small = [key for key, total in totals.items() if total <= FEW]
    large = [key for key, total in totals.items() if total > FEW]
    with connection.cursor() as cursor:
        if small:
            cursor.execute(_SMALL, [small])
            yield from cursor.fetchall()
        if large:
            cursor.execute(_LARGE, {"batches": large, "states": _STATES, "few": FEW + 1})
            yield from cursor.fetchall()
