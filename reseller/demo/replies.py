"""What people write to the demo's numbers: lists, keywords, and conversations of the last days."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from contacts.models import OptOut
from contacts.services.lists import add_to_list, create_list
from contacts.services.opt_outs import opt_out
from keywords.models import Keyword
from keywords.services.keywords import KeywordValues, create_keyword
from messaging.models import Conversation, InboundAction, InboundMessage, Route
from reseller.demo.inventory import LEASED_FOR
from reseller.demo.people import Person
from virtual_numbers.models import Lease

_PATIENTS = (
    ("+61491570110", "Mia", "Novak"), ("+61491570313", "Liam", "Chen"), ("+61491570737", "Aroha", "Tane"),
    ("+61491575254", "Noah", "Reid"), ("+61491576398", "Zoe", "Marsh"), ("+61491576801", "Omar", "Haddad"),
    ("+61491577426", "Ruby", "Silva"), ("+61491577644", "Theo", "Grant"),
)  # fmt: skip
# (phone by its place above, what it wrote, how many hours ago, read already)
_TALK = (
    (0, "Hi, is my appointment on Tuesday still at 3 pm?", 2, False),
    (1, "Running ten minutes late, sorry!", 5, False),
    (2, "Thank you, see you next week", 28, True),
    (3, "Can I bring my daughter along?", 31, True),
    (3, "She has a sore tooth", 30, True),
)


def load_replies(people: dict[str, Person], leases: dict[str, Lease], route: Route, now: datetime) -> None:
    """Two lists, two keywords, and what came in; written as the portal would have, without sending anything."""
    client, billed = people["client"], people["billed"]
    patients = create_list(account=client.account, name="Patients", actor=client.user)
    for number, first, last in _PATIENTS:
        fields = {"first_name": first, "last_name": last}
        add_to_list(contact_list=patients, number=number, source="by hand", fields=fields)
    news = create_list(account=client.account, name="Newsletter", actor=client.user)
    at = now - LEASED_FOR + timedelta(hours=1)
    replies = KeywordValues(
        aliases=("SIGNUP",), contact_list=news, later_reply="You are on our list already. Reply STOP to leave it.",
        first_reply="Welcome {first_name|to our list}! News of Harbourside Dental come here. Reply STOP to leave it.",
    )  # fmt: skip
    join = create_keyword(
        account=client.account, number=leases["client"].number, word="JOIN", values=replies,
        expected=client.account.keyword_terms.price, actor=client.user, now=at,
    )  # fmt: skip
    hours = KeywordValues(first_reply="Bayside Books is open 9 to 6, and until 8 on Thursdays.")
    create_keyword(
        account=billed.account, number=leases["billed"].number, word="HOURS", values=hours, expected=None,
        actor=billed.user, now=at,
    )  # fmt: skip
    for place, text, ago, is_read in _TALK:
        _say(leases["client"], route, _PATIENTS[place][0], text, now - timedelta(hours=ago), is_read=is_read)
    _join(leases["client"], route, join, _PATIENTS[4][0], now - timedelta(days=3))
    _stop(leases["client"], route, _PATIENTS[5][0], now - timedelta(days=4))


def _say(
    lease: Lease, route: Route, phone: str, text: str, at: datetime, *, is_read: bool = True,
    keyword: Keyword | None = None, consent: str = "",
) -> InboundMessage:  # fmt: skip
    """One message from a phone to the number, at a moment of the past."""
    talk, _ = Conversation.objects.get_or_create(account=lease.holder, number=lease.number, phone=phone)
    with connection.cursor() as cursor:
        offset: Any = at - timezone.now()
        cursor.execute("SELECT uuidv7(%s)", [offset])
        key = cursor.fetchone()[0]
    message = InboundMessage.objects.create(
        pk=key, route=route, account=lease.holder, number=lease.number, conversation=talk, keyword=keyword,
        sender=phone, recipient=lease.number.number, text=text, consent=consent,
    )  # fmt: skip
    talk.last_text, talk.last_at, talk.last_inbound_at = text, at, at
    talk.unread += not is_read
    talk.save(update_fields=["last_text", "last_at", "last_inbound_at", "unread"])
    return message


def _join(lease: Lease, route: Route, keyword: Keyword, phone: str, at: datetime) -> None:
    """Somebody joined the keyword's list."""
    message = _say(lease, route, phone, keyword.word.title(), at, keyword=keyword)
    news = keyword.contact_list
    if news is None:
        raise ValueError("the keyword adds to a list")
    add_to_list(contact_list=news, number=phone, source=f"keyword {keyword.word}")
    InboundAction.objects.create(
        message_id=message.pk, account=lease.holder, kind=InboundAction.Kind.ADD_TO_LIST, target=news.code,
        state=InboundAction.State.DONE, attempts=1, created_at=at, done_at=at, next_try_at=at,
    )  # fmt: skip


def _stop(lease: Lease, route: Route, phone: str, at: datetime) -> None:
    """Somebody wants no messages any more."""
    _say(lease, route, phone, "Stop", at, consent="opt_out")
    opt_out(account=lease.holder, number=phone, source=OptOut.Source.REPLY, detail="Stop")
    OptOut.objects.filter(account=lease.holder, number=phone).update(created_at=at)
