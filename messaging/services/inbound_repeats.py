"""Which inbound parts the carrier brought again because an answer of ours got lost.

Equal parts have equal fingerprints (messaging/services/inbound_parts.py). A later one is a repetition

- for a week, where the carrier gives ids of its own;
- for settings.INBOUND_REPEAT_SECONDS, where it is a piece of a long message: its reference names the message;
- for as long, where it came on another session. On the same one the carrier has had its answer, so whoever writes "ok"
  twice in a minute has said it twice.

Only ids are compared, never states, so it does not matter which part is looked at first.
"""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from messaging.services.inbound_assembly import Part

NAMED_SECONDS = 7 * 24 * 60 * 60  # how long a carrier may repeat a call that it gave an id

# One bound only: with two the planner, which has no statistics of a queue, would walk the keys instead.
_EQUAL = """
    SELECT one.id, p.id, p.session, p.message_id
    FROM unnest(%s::uuid[], %s::uuid[], %s::float8[]) AS one(id, fingerprint, age)
    JOIN messaging_inboundpart p ON p.fingerprint = one.fingerprint
        AND p.id >= messaging_uuid_floor(uuid_extract_timestamp(one.id) - one.age * interval '1 second')
"""


def find_repeats(cursor: CursorWrapper, parts: Sequence[Part]) -> dict[UUID, tuple[UUID, UUID | None]]:
    """Repetitions among ``parts``: each with the part that it repeats and that part's message, if it is known yet."""
    by_id = {part.id: part for part in parts if part.fingerprint is not None}
    ages = [NAMED_SECONDS if part.carrier_id else settings.INBOUND_REPEAT_SECONDS for part in by_id.values()]
    cursor.execute(_EQUAL, [list(by_id), [part.fingerprint for part in by_id.values()], ages])
    repeats: dict[UUID, tuple[UUID, UUID | None]] = {}
    for key, earlier, session, message_id in sorted(cursor.fetchall(), key=lambda row: row[:2]):
        part = by_id[key]
        named = bool(part.carrier_id) or part.total > 1
        if earlier < key and (named or session != part.session):
            repeats.setdefault(key, (earlier, message_id))
    return repeats
