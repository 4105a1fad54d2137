"""What receipts say for good. Every part of a long message has its own; together they decide (docs/message-way.md)."""

from dataclasses import dataclass, field
from typing import NamedTuple

from accounts.prepared import PreparedCursor
from messaging.models import Message
from messaging.services.receipt_matching import Key, OpenReceipt
from smpp.receipts import ReceiptStatus

State = Message.State


class Word(NamedTuple):
    """A carrier's last word: the state, and of a failure the carrier's error code and the sentence for people."""

    state: str
    error_code: str = ""
    reason: str = ""


# State and sentence of each status that is final.
_FINAL: dict[str, tuple[str, str]] = {
    ReceiptStatus.DELIVERED: (State.DELIVERED.value, ""),
    ReceiptStatus.EXPIRED: (State.EXPIRED.value, "The carrier could not deliver it in time."),
    ReceiptStatus.UNDELIVERABLE: (State.UNDELIVERED.value, "The carrier could not deliver it."),
    ReceiptStatus.DELETED: (State.UNDELIVERED.value, "The carrier deleted it."),
    ReceiptStatus.REJECTED: (State.UNDELIVERED.value, "The carrier refused it after accepting it."),
}
# Rows of parts keep the state and the code only.
_USUAL_REASONS = dict(reversed(_FINAL.values()))

_LOAD = """
    SELECT m.id::text, m.parts, m.route_id, p.part, p.state, p.error_code
    FROM unnest(%s::uuid[]) AS one(id) JOIN messaging_message m ON m.id = one.id
    LEFT JOIN messaging_messagepart p ON p.message_id = m.id
"""
# A part that no answer had named (its message is unknown) gets its row by its receipt.
_SAVE = """
    INSERT INTO messaging_messagepart (message_id, part, route_id, carrier_id, state, error_code)
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    ON CONFLICT (message_id, part) DO UPDATE SET state = EXCLUDED.state, error_code = EXCLUDED.error_code
"""


def last_word(receipt: OpenReceipt) -> Word | None:
    """What the receipt says for good; None while its message, or part, is still on its way."""
    if receipt.status not in _FINAL:
        return None
    state, reason = _FINAL[receipt.status]
    return Word(state, receipt.error_code if state != State.DELIVERED else "", reason)


@dataclass
class Long:
    """A long message's parts with their last words (None = none yet)."""

    message_id: Key
    route_id: int
    parts: int
    words: dict[int, Word | None] = field(default_factory=dict)
    changed: dict[int, OpenReceipt] = field(default_factory=dict)

    def note(self, part: int, word: Word, receipt: OpenReceipt) -> None:
        """Take a part's final word, the first of which counts. ``part`` 0 = one that no answer had named."""
        part = part or next((number for number in range(1, self.parts + 1) if number not in self.words), 0)
        if part and not self.words.get(part):
            self.words[part] = word
            self.changed[part] = receipt

    @property
    def is_whole(self) -> bool:
        """Whether every part is known to have reached the carrier, by an answer or by a receipt."""
        return len(self.words) >= self.parts

    def verdict(self) -> Word | None:
        """The message's last word: the first failure decides, delivered once every part is; None before.

        None too while parts may not have reached the carrier, whatever became of the others: nobody pays for those.
        """
        if not self.is_whole:
            return None
        known = [word for word in self.words.values() if word]
        failure = next((word for word in known if word.state != State.DELIVERED), None)
        return failure or (Word(State.DELIVERED.value) if len(known) == len(self.words) else None)


def load_long(cursor: PreparedCursor, message_ids: list[Key]) -> dict[Key, Long]:
    """Read the parts of these messages; the caller has locked the messages."""
    long: dict[Key, Long] = {}
    if message_ids:
        cursor.execute(_LOAD, [message_ids])
        for message_id, parts, route_id, part, state, code in cursor.fetchall():
            one = long.setdefault(message_id, Long(message_id, route_id, parts))
            if part is not None:
                one.words[part] = Word(state, code, _USUAL_REASONS[state]) if state else None
    return long


def save_parts(cursor: PreparedCursor, long: dict[Key, Long]) -> None:
    """Write the words that parts got."""
    rows = [
        (one.message_id, part, one.route_id, receipt.carrier_id, word.state, receipt.error_code)
        for one in long.values()
        for part, receipt in one.changed.items()
        if (word := one.words[part])
    ]
    if rows:
        cursor.execute(_SAVE, [list(column) for column in zip(*rows, strict=True)])
