"""Whose receipt is it? By the carrier's id, or, for messages whose answer was lost, by the recipient."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.utils import CursorWrapper

MATCH_DAYS = 30  # a carrier's id is looked for among messages of that age; older ids may be used again
# Tries (0.5 + 1 + 2 s) after which a receipt is no longer just early: the answer would have been recorded by then.
PATIENCE = 3
# A carrier keeps a message for some days; receipts come soon after.
UNKNOWN_DAYS = 7

# Bounds on the ids leave two months' partitions to search.
_BY_ID = """
    SELECT r.n, p.message_id, p.part, m.id
    FROM unnest(%(carrier_ids)s::text[], %(routes)s::bigint[]) WITH ORDINALITY AS r(carrier_id, route_id, n)
    LEFT JOIN LATERAL (
        SELECT message_id, part FROM messaging_messagepart
        WHERE carrier_id = r.carrier_id AND route_id = r.route_id
          AND message_id >= messaging_uuid_floor(now() - %(age)s * interval '1 day')
          AND message_id < messaging_uuid_floor(now() + interval '1 day')
        ORDER BY message_id DESC LIMIT 1) AS p ON true
    LEFT JOIN LATERAL (
        SELECT id FROM messaging_message
        WHERE p.message_id IS NULL AND carrier_id = r.carrier_id AND carrier_id <> '' AND route_id = r.route_id
          AND id >= messaging_uuid_floor(now() - %(age)s * interval '1 day')
          AND id < messaging_uuid_floor(now() + interval '1 day')
        ORDER BY id DESC LIMIT 1) AS m ON true
    WHERE p.message_id IS NOT NULL OR m.id IS NOT NULL
"""
_OPEN_TO_RECIPIENT = """
    SELECT r.n, m.id, m.state, m.parts
    FROM unnest(%s::bigint[], %s::text[], %s::uuid[]) WITH ORDINALITY AS r(route_id, recipient, receipt_id, n)
    JOIN messaging_message m ON m.route_id = r.route_id AND m.recipient = r.recipient
        AND m.state IN ('sending', 'unknown')
        AND m.sending_at <= uuid_extract_timestamp(r.receipt_id) + interval '1 second'
        AND m.sending_at > uuid_extract_timestamp(r.receipt_id) - %s * interval '1 day'
    ORDER BY r.n
"""


class OpenReceipt(NamedTuple):
    """A stored receipt that has not been applied."""

    id: UUID
    route_id: int
    carrier_id: str
    status: str
    error_code: str
    recipient: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Match:
    """Whose receipt it is; ``part`` is 0 for a message of one part and for a part that no answer had named."""

    message_id: UUID
    part: int = 0


def match_by_id(cursor: CursorWrapper, receipts: list[OpenReceipt]) -> dict[UUID, Match]:
    """Find messages and parts of long messages by the ids that the carrier gave them; keyed by receipt."""
    values: dict[str, Any] = {
        "carrier_ids": [one.carrier_id for one in receipts],
        "routes": [one.route_id for one in receipts],
        "age": MATCH_DAYS,
    }
    cursor.execute(_BY_ID, values)
    return {
        receipts[number - 1].id: Match(part_of, part) if part_of else Match(message_id)
        for number, part_of, part, message_id in cursor.fetchall()
    }


def match_unknown(cursor: CursorWrapper, receipts: list[OpenReceipt]) -> dict[UUID, Match]:
    """Match receipts with an id that nobody knows to messages that are ``unknown``: perhaps they reached the carrier.

    A receipt proves that its message did, provided that no other can be meant: it must be the only open message of
    the route to this recipient. One in ``sending`` makes it doubtful: the receipt waits for that one's answer. Of
    several receipts for one message of a single part only the first is taken; the others then find its id.
    """
    patient = [one for one in receipts if one.attempts >= PATIENCE and one.recipient]
    if not patient:
        return {}
    routes, recipients = [one.route_id for one in patient], [one.recipient for one in patient]
    cursor.execute(_OPEN_TO_RECIPIENT, [routes, recipients, [one.id for one in patient], UNKNOWN_DAYS])
    candidates = defaultdict[int, list[tuple[UUID, str, int]]](list)
    for number, message_id, state, parts in cursor.fetchall():
        candidates[number].append((message_id, state, parts))
    matches: dict[UUID, Match] = {}
    taken: set[UUID] = set()
    for number, found in candidates.items():
        message_id, state, parts = found[0]
        if len(found) == 1 and state == "unknown" and message_id not in taken:
            matches[patient[number - 1].id] = Match(message_id)
            if parts == 1:
                taken.add(message_id)
    return matches
