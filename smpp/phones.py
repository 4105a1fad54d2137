"""The simulator's phones: the last messages that each number received and sent, as its screen would show them.

They are kept in memory, and few of them: the latest phones, and of each its latest messages.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from smpp.behaviours import behaviour_for
from smpp.journal import Accepted, TextPart
from smpp.text import decode_payload

MAX_PHONES: Final = 1_000
MAX_MESSAGES: Final = 100  # a phone
MAX_INCOMPLETE: Final = 10  # long messages a phone, of which parts are missing


@dataclass(slots=True)
class PhoneMessage:
    """A message on a phone's screen.

    `is_sent` tells what the phone sent from what it received; `other` is the sender, or the number written to; `at` is
    in seconds since 1970. `is_taken`: whether everything sent was acknowledged (True for what was received).
    """

    id: str
    is_sent: bool
    other: str
    text: str
    at: float
    parts: int
    is_taken: bool = True


@dataclass(slots=True)
class _Phone:
    messages: deque[PhoneMessage] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    # Of long messages the parts that came: {(sender, reference, total): {sequence: text}}.
    incomplete: OrderedDict[tuple[str, int, int], dict[int, str]] = field(default_factory=OrderedDict)


class Phones:
    """All phones. Not safe across threads."""

    def __init__(self) -> None:
        self._phones: OrderedDict[str, _Phone] = OrderedDict()

    def messages(self, number: str) -> list[dict[str, Any]]:
        """The phone's messages, oldest first, as plain values; [] for a phone that nobody wrote to."""
        phone = self._phones.get(number)
        return [asdict(message) for message in phone.messages] if phone else []

    def latest(self, count: int) -> list[str]:
        """The numbers that received or sent something last, latest first."""
        return list(reversed(self._phones))[:count]

    def receive(self, entry: Accepted) -> None:
        """A part arrives, unless its recipient is one that nothing reaches (smpp.behaviours).

        A long message shows once its last missing part is there, as on a phone.
        """
        if not behaviour_for(entry.destination).reaches_phone:
            return
        phone = self._phone(entry.destination)
        text, piece = decode_payload(entry.data_coding, entry.esm_class, entry.payload)
        if piece is None or piece.total < 2:
            phone.messages.append(PhoneMessage(entry.id, False, entry.source, text, entry.at, 1))
            return
        key = (entry.source, piece.reference, piece.total)
        texts = phone.incomplete.setdefault(key, {})
        texts[piece.sequence] = text
        if len(texts) == piece.total:
            del phone.incomplete[key]
            whole = "".join(text for _, text in sorted(texts.items()))
            phone.messages.append(PhoneMessage(entry.id, False, entry.source, whole, entry.at, piece.total))
        elif len(phone.incomplete) > MAX_INCOMPLETE:
            phone.incomplete.popitem(last=False)

    def send(self, part: TextPart) -> None:
        """A part leaves the phone; those of one text are one message on its screen."""
        phone = self._phone(part.source)
        text, _ = decode_payload(part.data_coding, part.esm_class, part.payload)
        last = phone.messages[-1] if phone.messages else None
        if last is not None and last.is_sent and last.id == part.id:
            last.text += text
            last.parts += 1
        else:
            phone.messages.append(PhoneMessage(part.id, True, part.destination, text, part.at, 1, is_taken=False))

    def mark_taken(self, number: str, text_id: str) -> None:
        """Everything of that text from the phone ``number`` was acknowledged."""
        phone = self._phones.get(number)
        for message in phone.messages if phone else ():
            if message.is_sent and message.id == text_id:
                message.is_taken = True

    def restore(self, parts: Iterable[Accepted | TextPart], waiting: set[str]) -> None:
        """Show again what an earlier run showed; ``waiting`` are the ids of texts that nobody took yet."""
        for part in parts:
            if isinstance(part, Accepted):
                self.receive(part)
            else:
                self.send(part)
                if part.id not in waiting:
                    self.mark_taken(part.source, part.id)

    def _phone(self, number: str) -> _Phone:
        phone = self._phones.setdefault(number, _Phone())
        self._phones.move_to_end(number)
        if len(self._phones) > MAX_PHONES:
            self._phones.popitem(last=False)
        return phone
