"""Receipts of long messages: every part has its own, and together they decide (docs/message-way.md)."""

from dataclasses import dataclass, field

from billing.prepared import PreparedCursor
from messaging.models import Message
from messaging.services.receipt_matching import Key, OpenReceipt

State = Message.State

_LOAD = """
    SELECT m.id::text, m.parts, m.route_id, p.part, p.state
    FROM unnest(%s::uuid[]) AS one(id) JOIN messaging_message m ON m.id = one.id
    LEFT JOIN messaging_messagepart p ON p.message_id = m.id
"""
# A part that no answer had named (its message is unknown) gets its row by its receipt.
_SAVE = """
    INSERT INTO messaging_messagepart (message_id, part, route_id, carrier_id, state, error_code)
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    ON CONFLICT (message_id, part) DO UPDATE SET state = EXCLUDED.state, error_code = EXCLUDED.error_code
"""


@dataclass
class Long:
    """A long message's parts with their last words ("" = none yet)."""

    message_id: Key
    route_id: int
    parts: int
    states: dict[int, str] = field(default_factory=dict)
    changed: dict[int, OpenReceipt] = field(default_factory=dict)

    def note(self, part: int, state: str, receipt: OpenReceipt) -> None:
        """Take a part's final word, the first of which counts. ``part`` 0 = one that no answer had named."""
        part = part or next((number for number in range(1, self.parts + 1) if number not in self.states), 0)
        if part and not self.states.get(part):
            self.states[part] = state
            self.changed[part] = receipt

    @property
    def is_whole(self) -> bool:
        """Whether every part is known to have reached the carrier, by an answer or by a receipt."""
        return len(self.states) >= self.parts

    def verdict(self) -> str | None:
        """The message's final state: the first failure decides, delivered once every part is; None before.

        None too while parts may not have reached the carrier, whatever became of the others: nobody pays for those.
        """
        if not self.is_whole:
            return None
        failure = next((state for state in self.states.values() if state not in ("", State.DELIVERED)), None)
        if failure is not None:
            return failure
        return State.DELIVERED if all(self.states.values()) else None


def load_long(cursor: PreparedCursor, message_ids: list[Key]) -> dict[Key, Long]:
    """Read the parts of these messages; the caller has locked the messages."""
    long: dict[Key, Long] = {}
    if message_ids:
        cursor.execute(_LOAD, [message_ids])
        for message_id, parts, route_id, part, state in cursor.fetchall():
            one = long.setdefault(message_id, Long(message_id, route_id, parts))
            if part is not None:
                one.states[part] = state
    return long


def save_parts(cursor: PreparedCursor, long: dict[Key, Long]) -> None:
    """Write the words that parts got."""
    rows = [
        (one.message_id, part, one.route_id, receipt.carrier_id, one.states[part], receipt.error_code)
        for one in long.values()
        for part, receipt in one.changed.items()
    ]
    if rows:
        cursor.execute(_SAVE, [list(column) for column in zip(*rows, strict=True)])
