"""Whose receipt is it? By the carrier's id, or, for messages whose answer was lost, by the recipient."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

from accounts.prepared import AnyCursor
from messaging.services.partitions import months_since
from smpp.receipt_ids import IdFormat, likely_ids, receipt_ids

# A carrier's id is looked for among messages accepted since; older ids may be used again. Messages may wait for up to
# 60 days before they are sent (messaging/services/scheduling.py), and their receipts for two weeks more.
MATCH_DAYS = 75
# Tries (0.5 + 1 + 2 s) after which a receipt is no longer just early: the answer would have been recorded by then.
PATIENCE = 3
# A carrier keeps a message for some days; receipts come soon after.
UNKNOWN_DAYS = 7

# An id of a message or a receipt as PostgreSQL writes it. Thousands are read, compared and handed back at a time, and
# making UUIDs of them takes longer than all else.
Key = str

# How many receipts tell of a message: one for each submitted part, one for all where the carrier got it in one piece
# (over HTTP: it has an id and no parts).
PIECES = """CASE WHEN m.parts > 1 AND m.carrier_id <> '' AND NOT EXISTS (
    SELECT FROM messaging_messagepart p WHERE p.message_id = m.id) THEN 1 ELSE m.parts END"""
# Of one month each (months_since), receipt by receipt (OFFSET 0): only the keys serve them, whatever the planner
# estimates from statistics of another time. A key outlives its id when the message is sent once more.
_MESSAGES = f"""
    SELECT r.n, m.id::text, {PIECES}, 0 AS part
    FROM r CROSS JOIN LATERAL (
        SELECT message_id FROM messaging_carrierkey_{{month}}
        WHERE carrier_id = r.carrier_id AND route_id = r.route_id OFFSET 0) AS k
    CROSS JOIN LATERAL (
        SELECT id, parts, carrier_id FROM messaging_message_{{month}}
        WHERE id = k.message_id AND carrier_id = r.carrier_id OFFSET 0) AS m
"""  # noqa: S608 (no values of others in it)
_PARTS = """
    SELECT r.n, p.message_id::text, 2, p.part
    FROM r CROSS JOIN LATERAL (
        SELECT message_id, part FROM messaging_messagepart_{month}
        WHERE carrier_id = r.carrier_id AND route_id = r.route_id OFFSET 0) AS p
"""
_BY_ID = """
    WITH r AS MATERIALIZED (
        SELECT * FROM unnest(%(carrier_ids)s::text[], %(routes)s::bigint[])
            WITH ORDINALITY AS r(carrier_id, route_id, n))
"""
_OPEN_TO_RECIPIENT = """
    SELECT r.n, m.id::text, m.state, m.parts
    FROM unnest(%s::bigint[], %s::text[], %s::uuid[]) WITH ORDINALITY AS r(route_id, recipient, receipt_id, n)
    JOIN messaging_message m ON m.route_id = r.route_id AND m.recipient = r.recipient
        AND m.state IN ('sending', 'unknown')
        AND m.sending_at <= uuid_extract_timestamp(r.receipt_id) + interval '1 second'
        AND m.sending_at > uuid_extract_timestamp(r.receipt_id) - %s * interval '1 day'
"""


# How the carrier of each route writes ids in receipts, and every route to the same account at the same carrier: it
# brings a receipt on any session of that account.
_CARRIERS = """
    SELECT c.route_id, c.receipt_id_format, array_agg(same.route_id ORDER BY same.route_id <> c.route_id, same.route_id)
    FROM messaging_smppconnector c JOIN messaging_smppconnector same
        ON same.host = c.host AND same.port = c.port AND same.system_id = c.system_id
    WHERE c.route_id = ANY(%s) GROUP BY c.route_id, c.receipt_id_format
"""


class OpenReceipt(NamedTuple):
    """A stored receipt that has not been applied."""

    id: Key
    route_id: int
    carrier_id: str
    status: str
    error_code: str
    recipient: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Match:
    """Whose receipt it is; ``part`` is 0 for a message of one part and for a part that no answer had named."""

    message_id: Key
    part: int = 0


class Carrier(NamedTuple):
    """Where a route's receipts may belong: how ids are written (IdFormat), and the routes of the same account."""

    id_format: str
    routes: list[int]


class _Guess(NamedTuple):
    """One way to read a receipt: it may be about ``carrier_id`` on the route; a lower ``rank`` is likelier."""

    rank: int
    receipt: int
    route_id: int
    carrier_id: str


def match_by_id(cursor: AnyCursor, receipts: list[OpenReceipt]) -> dict[Key, Match]:
    """Find messages and parts of long messages by the ids that the carrier gave them; keyed by receipt.

    First as the connector's setting says. What is not found so is looked for with other leading zeros and in the other
    case, and on the other routes to the same account: carriers answer and report by different rules of their own.
    """
    carriers = _carriers(cursor, {one.route_id for one in receipts})
    guesses = [
        _Guess(rank, number, one.route_id, carrier_id)
        for number, one in enumerate(receipts)
        for rank, carrier_id in enumerate(likely_ids(one.carrier_id, _of(carriers, one).id_format))
    ]
    found = _find(cursor, guesses)
    guesses = [
        _Guess(rank, number, route_id, carrier_id)
        for number, one in enumerate(receipts)
        if number not in found and one.carrier_id
        for rank, (carrier_id, route_id) in enumerate(
            (carrier_id, route_id)
            for carrier_id in receipt_ids(one.carrier_id, _of(carriers, one).id_format)
            for route_id in _of(carriers, one).routes
        )
    ]
    found |= _find(cursor, guesses)
    return {receipts[number].id: match for number, match in found.items()}


def _carriers(cursor: AnyCursor, route_ids: set[int]) -> dict[int, Carrier]:
    cursor.execute(_CARRIERS, [list(route_ids)])
    return {route_id: Carrier(id_format, routes) for route_id, id_format, routes in cursor.fetchall()}


def _of(carriers: dict[int, Carrier], receipt: OpenReceipt) -> Carrier:
    """The carrier of a receipt; a route without an SMPP connector has ids as they come."""
    return carriers.get(receipt.route_id) or Carrier(IdFormat.AS_IS, [receipt.route_id])


def _find(cursor: AnyCursor, guesses: list[_Guess]) -> dict[int, Match]:
    """The best match of each receipt, by its number; the likeliest guess counts, and of ids used again the newest."""
    if not guesses:
        return {}
    values: dict[str, Any] = {
        "carrier_ids": [one.carrier_id for one in guesses],
        "routes": [one.route_id for one in guesses],
    }
    cursor.execute(_by_id(cursor), values)
    best: dict[int, tuple[int, Key, int]] = {}
    for position, message_id, parts, part in cursor.fetchall():
        # A long message is found by its parts; its own id is its first part's.
        if part or parts == 1:
            guess = guesses[position - 1]
            found = -guess.rank, message_id, part
            best[guess.receipt] = max(best.get(guess.receipt, found), found)
    return {receipt: Match(message_id, part) for receipt, (_, message_id, part) in best.items()}


def _by_id(cursor: AnyCursor) -> str:
    months = months_since(cursor, MATCH_DAYS)
    return _BY_ID + " UNION ALL ".join(query.format(month=month) for query in (_MESSAGES, _PARTS) for month in months)


def match_unknown(cursor: AnyCursor, receipts: list[OpenReceipt]) -> dict[Key, Match]:
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
    candidates = defaultdict[int, list[tuple[Key, str, int]]](list)
    for number, message_id, state, parts in cursor.fetchall():
        candidates[number].append((message_id, state, parts))
    matches: dict[Key, Match] = {}
    taken: set[Key] = set()
    for number, found in candidates.items():
        message_id, state, parts = found[0]
        if len(found) == 1 and state == "unknown" and message_id not in taken:
            matches[patient[number - 1].id] = Match(message_id)
            if parts == 1:
                taken.add(message_id)
    return matches
