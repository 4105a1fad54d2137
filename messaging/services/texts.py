"""What each recipient reads: the text as it will be sent, with the recipient's own values in place of merge fields."""

from collections.abc import Collection
from dataclasses import dataclass

from accounts.models import Account
from contacts import merge
from contacts.selectors import people_by_number
from messaging.exceptions import BadText, TextTooLong
from smpp.text import Segments, segment

MAX_PARTS = 10


def check_text(text: str, *, merges: bool = False) -> str:
    """Return the text as it will be sent: forms send line ends as two characters, handsets need one.

    With ``merges`` the text may have merge fields: then only what stands around them is measured here, as each
    recipient's text has a length of its own. Raises BadText, TextTooLong.
    """
    text = storable(text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise BadText("Enter the text of the message.")
    measured = merge.without_fields(text) if merges else text
    parts = segment(measured).parts
    if parts > MAX_PARTS:
        raise TextTooLong(
            f"The text has {len(measured):,} characters and would need {parts} parts; at most {MAX_PARTS} are possible."
            " Shorten it."
        )
    return text


def storable(text: str) -> str:
    """Without what the database cannot store: NUL, and halves of surrogate pairs (JSON can carry them)."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@dataclass(frozen=True, slots=True)
class OwnText:
    """A recipient's text, None where it is the batch's own, and how it is cut into parts."""

    text: str | None
    segments: Segments


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Why a recipient's text cannot be sent, in words."""

    detail: str


class Texts:
    """The texts of one batch. A text without merge fields (or with ``merges`` off) is the same for everybody."""

    def __init__(self, account: Account, text: str, *, merges: bool) -> None:
        self.encodings: set[str] = set()
        self._account = account
        self._text = text
        self._differs = merges and merge.has_fields(text)
        self._people: dict[str, merge.Person] = {}
        self._found: dict[str, OwnText | Unsendable] = {}

    def load(self, numbers: Collection[str]) -> None:
        """Look up the account's contacts among the recipients (E.164), in one query where it is needed at all."""
        if self._differs:
            self._people = people_by_number(self._account, numbers)

    def of(self, number: str) -> OwnText | Unsendable:
        """What this recipient gets."""
        text = self._text
        if self._differs:
            text = merge.render(text, self._people.get(number) or merge.Person(number))
        if text not in self._found:
            self._found[text] = self._measure(text)
        return self._found[text]

    def _measure(self, text: str) -> OwnText | Unsendable:
        if not text.strip():
            return Unsendable("Nothing is left of the text: the contact has none of its merge fields.")
        segments = segment(text)
        if segments.parts > MAX_PARTS:
            return Unsendable(f"With this contact’s fields the text needs {segments.parts} parts; at most {MAX_PARTS}.")
        return OwnText(None if text == self._text else text, segments)
