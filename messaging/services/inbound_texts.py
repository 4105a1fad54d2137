"""Texts that inbound messages set off: automatic replies and forwards to mobiles, and what keeps them from looping.

Each is a batch like any other: priced, held, billed and sent at the account's and the route's rates. Those of a turn
are accepted together, which costs a fraction of the time.
"""

from collections import defaultdict
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from accounts.models import Account
from contacts.selectors import opted_out_among
from keywords.actions import is_phone
from messaging.models import Batch, InboundAction, InboundMessage
from messaging.services.acceptance import Single
from messaging.services.planning import MAX_PARTS
from smpp.text import segment
from virtual_numbers.models import VirtualNumber
from virtual_numbers.selectors import senders_of

# The bound leaves the newest partitions to search; a reply is sent within minutes of its message.
_REPLIES = """
    SELECT m.conversation_id, count(*)
    FROM unnest(%s::bigint[]) AS one(id)
    JOIN messaging_inboundmessage m ON m.conversation_id = one.id
        AND m.id >= messaging_uuid_floor(now() - interval '2 hours')
    JOIN messaging_inboundaction a ON a.message_id = m.id AND a.kind = 'reply' AND a.state = 'done'
        AND a.done_at > now() - interval '1 hour'
    GROUP BY m.conversation_id
"""


@dataclass(frozen=True)
class TextAction:
    """A reply or a forward to a mobile with the message that set it off."""

    action: InboundAction
    message: InboundMessage

    @property
    def is_reply(self) -> bool:
        return self.action.kind == InboundAction.Kind.REPLY

    @property
    def phone(self) -> str:
        return self.message.sender if self.is_reply else self.action.target

    @property
    def text(self) -> str:
        return shorten(self.action.payload.get("text", ""))

    @property
    def confirms_opt_out(self) -> bool:
        """The one reply that whoever opted out gets."""
        return self.is_reply and bool(self.action.payload.get("confirms_opt_out"))

    @property
    def number(self) -> VirtualNumber:
        assert self.message.number is not None  # noqa: S101  (actions are of messages to a held number)
        return self.message.number


def shorten(text: str) -> str:
    """``text``, or as much of it as one message can carry: a phone may write 255 parts, we send MAX_PARTS."""
    while segment(text).parts > MAX_PARTS:
        text = text[: len(text) * 9 // 10].rstrip() + "…"
    return text


class Texting:
    """The texts of one account's turn, in order."""

    def __init__(self, account: Account, texts: list[TextAction]) -> None:
        self._account = account
        self._left_out: list[tuple[TextAction, str]] = []
        self._impossible: list[tuple[TextAction, str]] = []
        self._fit: list[TextAction] = []
        if texts:
            self._sort(texts)

    def left_out(self) -> list[tuple[TextAction, str]]:
        """What must not be sent, with the reason."""
        return self._left_out

    def impossible(self) -> list[tuple[TextAction, str]]:
        """What cannot be sent from its number, with the reason."""
        return self._impossible

    def fit(self) -> list[TextAction]:
        """What can be accepted, in order."""
        return self._fit

    def single(self, one: TextAction) -> Single:
        """A text as it is accepted, under a key that lets its action be done once."""
        return Single(
            account=self._account, actor=None, door=Batch.Door.KEYWORD, sender=one.number.number, text=one.text,
            recipient=one.phone, idempotency_key=f"inbound-action-{one.action.pk}",
            confirms_opt_out=one.confirms_opt_out,
        )  # fmt: skip

    def _sort(self, texts: list[TextAction]) -> None:
        phones = {one.phone for one in texts}
        ours = set(VirtualNumber.objects.filter(number__in=phones).values_list("number", flat=True))
        opted_out = opted_out_among(self._account, phones)
        senders = {number.pk for number in senders_of(self._account)}
        replies = _count_replies({one.message.conversation_id or 0 for one in texts if one.is_reply})
        for one in texts:
            words = self._why_not(one, ours, opted_out, replies)
            if words:
                self._left_out.append((one, words))
            elif one.number.pk not in senders:
                self._impossible.append((one, f"The account cannot send from {one.number.number} (any more)."))
            else:
                self._fit.append(one)
                replies[one.message.conversation_id or 0] += one.is_reply

    def _why_not(self, one: TextAction, ours: set[str], opted_out: set[str], replies: dict[int, int]) -> str:
        """Why a text must not be sent; "" when it may. Two machines that answer each other would never end."""
        if not is_phone(one.phone):
            return f"{one.phone} is no number that can be answered."
        if one.phone in ours:
            return f"{one.phone} is a number of this portal; automatic messages between such numbers could never end."
        if not one.is_reply:
            return "The sender gets no copy of its own message." if one.phone == one.message.sender else ""
        if one.phone in opted_out and not one.confirms_opt_out:
            return f"{one.phone} has opted out."
        limit = settings.INBOUND_REPLIES_PER_HOUR
        if replies[one.message.conversation_id or 0] >= limit:
            return f"{one.phone} got {limit} automatic replies from this number within an hour, the most that it may."
        return ""


def _count_replies(conversations: set[int]) -> defaultdict[int, int]:
    """How many automatic replies each conversation had in the last hour."""
    counts: defaultdict[int, int] = defaultdict(int)
    if conversations:
        with connection.cursor() as cursor:
            cursor.execute(_REPLIES, [sorted(conversations)])
            counts.update(dict(cursor.fetchall()))
    return counts
