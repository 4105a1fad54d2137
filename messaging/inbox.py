"""Reads of the inbox: conversations by page and what they are narrowed to, and how many are unread."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat
from django.http import Http404
from django.utils import timezone

from accounts.models import Account, User
from contacts.models import Contact
from contacts.selectors import contacts_by_number, opted_out_among
from messaging.models import Batch, Conversation, InboundMessage, Message

PAGE_SIZE = 40
MOST_COUNTED = 100  # unread conversations; the badge says "99+" beyond 99
# How far back a search reads texts: a bound, so that it costs the same in an inbox of millions of messages.
SEARCHED_INBOUND = 50_000
SEARCHED_REPLIES = 20_000
MOST_REPLIES = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"(\d{1,17})\.(\w{1,12})")
_NUMBER_LIKE = re.compile(r"[+\d\s().\-/]+")
_NOT_DIGITS = re.compile(r"\D+")
LEAST_DIGITS = 3


class Show:
    """Which conversations a list is narrowed to."""

    ALL, UNREAD, MINE, ASSIGNED = "", "unread", "mine", "assigned"
    CHOICES = ((ALL, "All"), (UNREAD, "Unread"), (MINE, "Mine"), (ASSIGNED, "Assigned"))


@dataclass(frozen=True)
class Row:
    """A conversation in the list."""

    conversation: Conversation
    contact: Contact | None
    is_opted_out: bool

    @property
    def is_today(self) -> bool:
        return timezone.localdate(self.conversation.last_at) == timezone.localdate()

    @property
    def name(self) -> str:
        """The contact's name; "" for a phone that the account knows by its number only."""
        name = str(self.contact) if self.contact else ""
        return "" if name == self.conversation.phone else name


@dataclass(frozen=True)
class ConversationPage:
    """Rows, newest first; the places to ask for the neighbouring pages with, "" where there is none."""

    rows: Sequence[Row]
    newer: str = ""
    older: str = ""

    def digest(self, unread: int) -> str:
        """Changes with everything that the list shows, ``unread`` being the badge's count."""
        shown: list[object] = [unread, timezone.localdate(), self.older]
        for row in self.rows:
            one = row.conversation
            shown.append(
                (one.code, one.last_at, one.unread, one.last_text, one.assigned_to_id, row.name, row.is_opted_out)
            )
        return sha256(repr(shown).encode()).hexdigest()[:16]


def get_conversation_for(account: Account, code: str) -> Conversation:
    """One of the account's own conversations; anything else is 404, as if it did not exist."""
    found = (
        Conversation.objects.filter(account=account, code=code)
        .select_related("account", "number", "assigned_to")
        .first()
    )
    if found is None:
        raise Http404("No such conversation.")
    return found


def unread_count(account: Account) -> int:
    """How many conversations have something unread; counts to MOST_COUNTED, as every page of the portal asks."""
    unread = Conversation.objects.filter(account=account, unread__gt=0).order_by()
    return unread[:MOST_COUNTED].count()


def page_of_conversations(
    account: Account, viewer: User, *, show: str = "", search: str = "", before: str = "", after: str = ""
) -> ConversationPage:
    """Conversations of the account, the latest first, narrowed as Show says and to what ``search`` finds.

    ``before`` and ``after`` are places of an earlier page; what is none is read as the first page. Each page costs
    the same: it is found by the index (account, last_at), wherever it lies.
    """
    found = _narrowed(Conversation.objects.filter(account=account), account, viewer, show, search)
    order: Sequence[str] = ("-last_at", "-code")
    forward, backward = _read_place(after), _read_place(before)
    if forward is not None:
        at, code = forward
        found = found.filter(Q(last_at__gt=at) | Q(last_at=at, code__gt=code), last_at__gte=at)
        order = ("last_at", "code")
    elif backward is not None:
        at, code = backward
        found = found.filter(Q(last_at__lt=at) | Q(last_at=at, code__lt=code), last_at__lte=at)
    rows = list(found.select_related("number", "assigned_to").order_by(*order)[: PAGE_SIZE + 1])
    has_more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if forward is not None:
        rows.reverse()
        has_newer, has_older = has_more, bool(rows)
    else:
        has_newer, has_older = backward is not None and bool(rows), has_more
    return ConversationPage(
        _rows(account, rows), _place(rows[0]) if has_newer else "", _place(rows[-1]) if has_older else ""
    )


def _rows(account: Account, conversations: list[Conversation]) -> list[Row]:
    phones = [one.phone for one in conversations]
    contacts, opted_out = contacts_by_number(account, phones), opted_out_among(account, phones)
    return [Row(one, contacts.get(one.phone), one.phone in opted_out) for one in conversations]


def row_of(conversation: Conversation) -> Row:
    """The conversation with its contact and whether the phone opted out."""
    return _rows(conversation.account, [conversation])[0]


def _place(conversation: Conversation) -> str:
    """Where a conversation stands in the list: its time in microseconds, and its code among those of one moment."""
    return f"{(conversation.last_at - _EPOCH) // timedelta(microseconds=1)}.{conversation.code}"


def _read_place(text: str) -> tuple[datetime, str] | None:
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
    except OverflowError:
        return None


# --- Narrowing -----------------------------------------------------------------------------------------------------


def _narrowed(
    found: QuerySet[Conversation], account: Account, viewer: User, show: str, search: str
) -> QuerySet[Conversation]:
    conditions: dict[str, dict[str, Any]] = {
        Show.UNREAD: {"unread__gt": 0},
        Show.MINE: {"assigned_to": viewer},
        Show.ASSIGNED: {"assigned_to__isnull": False},
    }
    found = found.filter(**conditions.get(show, {}))
    words = search.strip()
    return found.filter(_matches(account, words)) if words else found


def _matches(account: Account, words: str) -> Q:
    """Number, contact's name or text; any of them is enough."""
    wanted = Q(last_text__icontains=words) | Q(pk__in=_by_inbound_text(account, words)) | _by_reply(account, words)
    wanted |= Q(phone__icontains=words) | Q(phone__in=_by_name(account, words))
    digits = _NOT_DIGITS.sub("", words)
    # A local number is written with a trunk zero, which the international form does not have.
    if _NUMBER_LIKE.fullmatch(words) and len(digits) >= LEAST_DIGITS and digits.strip("0"):
        wanted |= Q(phone__contains=digits.lstrip("0"))
    return wanted


def _by_name(account: Account, words: str) -> QuerySet[Any]:
    full = Concat("first_name", Value(" "), "last_name")
    return Contact.objects.filter(account=account).annotate(full=full).filter(full__icontains=words).values("number")


def _by_inbound_text(account: Account, words: str) -> QuerySet[Any]:
    written = _latest(InboundMessage.objects.filter(account=account), SEARCHED_INBOUND)
    return written.filter(conversation__isnull=False, text__icontains=words).values("conversation_id")


def _by_reply(account: Account, words: str) -> Q:
    """What was sent to one person alone, such as a reply from the inbox."""
    sent = _latest(Batch.objects.filter(account=account), SEARCHED_REPLIES)
    said = sent.filter(message_count=1, text__icontains=words).order_by("-pk").values_list("pk", flat=True)
    pairs = set(Message.objects.filter(batch__in=list(said[:MOST_REPLIES])).values_list("sender", "recipient"))
    return _any_pair(pairs) if pairs else Q(pk__in=[])


def _latest(rows: QuerySet[Any], count: int) -> QuerySet[Any]:
    """The newest ``count`` of an account's rows, as a bound on their keys: the index finds it without reading them."""
    bound = rows.order_by("-pk").values_list("pk", flat=True)[count : count + 1].first()
    return rows if bound is None else rows.filter(pk__gt=bound)


def _any_pair(pairs: set[tuple[str, str]]) -> Q:
    by_number: dict[str, list[str]] = {}
    for number, phone in pairs:
        by_number.setdefault(number, []).append(phone)
    wanted = Q()
    for number, phones in by_number.items():
        wanted |= Q(number__number=number, phone__in=phones)
    return wanted
