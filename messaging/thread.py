"""One conversation's thread: what the phone wrote, what was sent to it, and what its messages set off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from django.utils import timezone

from contacts.models import ContactList, OptOut
from messaging.message_keys import keys_between
from messaging.models import Batch, Conversation, InboundAction, InboundMessage, Message, time_of

PAGE_SIZE = 50

State = InboundAction.State
Kind = InboundAction.Kind
_FORWARDING = {
    State.WAITING: "Being forwarded to", State.DONE: "Forwarded to", State.SKIPPED: "Not forwarded to",
    State.FAILED: "Could not be forwarded to",
}  # fmt: skip
_LISTING = {
    State.WAITING: "Being added to the list", State.DONE: "Added to the list", State.SKIPPED: "Not added to the list",
    State.FAILED: "Could not be added to the list",
}  # fmt: skip
# An answer that was sent stands in the thread itself.
_ANSWERING = {
    State.WAITING: "The automatic reply is being sent", State.SKIPPED: "No automatic reply",
    State.FAILED: "The automatic reply could not be sent",
}  # fmt: skip
_WORDS: dict[str, dict[State, str]] = {
    Kind.FORWARD_EMAIL: _FORWARDING, Kind.FORWARD_MOBILE: _FORWARDING, Kind.FORWARD_URL: _FORWARDING,
    Kind.ADD_TO_LIST: _LISTING, Kind.REPLY: _ANSWERING,
}  # fmt: skip
_ICONS: dict[str, str] = {
    Kind.FORWARD_EMAIL: "mail", Kind.FORWARD_MOBILE: "device-mobile", Kind.FORWARD_URL: "world",
    Kind.ADD_TO_LIST: "list-details", Kind.REPLY: "message-2",
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """What a message set off, in words; ``problem`` is why it failed or was left out."""

    icon: str
    words: str
    problem: str = ""
    has_failed: bool = False


@dataclass(frozen=True)
class Entry:
    """One message of the thread."""

    key: UUID
    text: str
    inbound: InboundMessage | None = None
    message: Message | None = None
    effects: list[Effect] = field(default_factory=list)
    keyword: str = ""

    @property
    def is_inbound(self) -> bool:
        return self.inbound is not None

    @property
    def at(self) -> datetime:
        return time_of(self.key)

    @property
    def day(self) -> date:
        return timezone.localdate(self.at)

    @property
    def is_automatic(self) -> bool:
        """Whether a keyword or the number's settings sent it."""
        return self.message is not None and self.message.batch.door == Batch.Door.KEYWORD


@dataclass(frozen=True)
class Thread:
    """A page of the thread, oldest entry first. ``older``: the key to ask for the page before it, None at the start."""

    entries: Sequence[Entry]
    older: UUID | None
    opt_out: OptOut | None

    @property
    def newest_inbound(self) -> UUID | None:
        """The last message from the phone, by which reading is told from arriving."""
        return next((entry.key for entry in reversed(self.entries) if entry.is_inbound), None)

    @cached_property
    def digest(self) -> str:
        """Changes with everything that the thread shows."""
        shown: list[object] = [self.opt_out and self.opt_out.pk]
        shown += [(entry.key, entry.message and entry.message.state, entry.effects) for entry in self.entries]
        return sha256(repr(shown).encode()).hexdigest()[:16]


def thread_of(conversation: Conversation, before: UUID | None = None) -> Thread:
    """The newest PAGE_SIZE messages between the number and the phone, or those before the key ``before``.

    Whatever was sent from the number to the phone belongs to it, through whichever door.
    """
    inbound = InboundMessage.objects.filter(conversation=conversation).select_related("keyword")
    if before is not None:
        inbound = inbound.filter(pk__lt=before)
    came = list(inbound.order_by("-pk")[: PAGE_SIZE + 1])
    keys = keys_between(
        conversation.account_id, conversation.number.number, conversation.phone, before=before, limit=PAGE_SIZE + 1
    )
    went = list(Message.objects.filter(pk__in=keys).select_related("batch__created_by").order_by("-pk"))
    actions = _actions_of(came)
    keywords = {
        action.batch_id: one.keyword.word if one.keyword else ""
        for one in came
        for action in actions.get(one.pk, ())
        if action.batch_id
    }
    lists = _list_names(conversation, actions)
    entries = [
        Entry(one.pk, one.text, inbound=one, effects=_effects(actions.get(one.pk, ()), lists)) for one in came
    ] + [Entry(one.pk, _text_of(one), message=one, keyword=keywords.get(one.batch_id, "")) for one in went]
    entries.sort(key=lambda entry: entry.key, reverse=True)
    shown = entries[:PAGE_SIZE]
    older = shown[-1].key if len(entries) > PAGE_SIZE else None
    return Thread(shown[::-1], older, opt_out_of(conversation))


def opt_out_of(conversation: Conversation) -> OptOut | None:
    """The phone's opt-out that is in force for the account."""
    return OptOut.objects.filter(account=conversation.account_id, number=conversation.phone, ended_at=None).first()


def _text_of(message: Message) -> str:
    return message.batch.text if message.text is None else message.text


def _actions_of(came: list[InboundMessage]) -> dict[UUID, list[InboundAction]]:
    actions: dict[UUID, list[InboundAction]] = {}
    for action in InboundAction.objects.filter(message_id__in=[one.pk for one in came]).order_by("pk"):
        actions.setdefault(action.message_id, []).append(action)
    return actions


def _list_names(conversation: Conversation, actions: dict[UUID, list[InboundAction]]) -> dict[str, str]:
    codes = {one.target for several in actions.values() for one in several if one.kind == Kind.ADD_TO_LIST}
    found = ContactList.objects.filter(account=conversation.account_id, code__in=codes)
    return dict(found.values_list("code", "name"))


def _effects(actions: Sequence[InboundAction], lists: dict[str, str]) -> list[Effect]:
    """What a reader is told of; opting out and in stand in the thread as marks of their own."""
    return [effect for action in actions if (effect := _effect(action, lists)) is not None]


def _effect(action: InboundAction, lists: dict[str, str]) -> Effect | None:
    words = _WORDS.get(action.kind, {}).get(State(action.state))
    if words is None:
        return None
    target = {Kind.ADD_TO_LIST: lists.get(action.target, ""), Kind.REPLY: ""}.get(Kind(action.kind), action.target)
    problem = action.error if action.state in (State.FAILED, State.SKIPPED) else ""
    return Effect(_ICONS[Kind(action.kind)], f"{words} {target}".strip(), problem, action.state == State.FAILED)
