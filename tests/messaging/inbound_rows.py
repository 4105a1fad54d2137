"""Conversations and inbound messages as the inbound pipeline leaves them, written as rows."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.utils import timezone

from accounts.codes import new_code
from messaging.models import Conversation, InboundAction, InboundMessage, Route, time_of
from tests.cast import Member
from tests.keywords.scene import NUMBER, PHONE, hold_number
from virtual_numbers.models import VirtualNumber


def make_conversation(member: Member, phone: str = PHONE, number: str = NUMBER, **values: Any) -> Conversation:
    """An empty conversation of the member, who holds the number (leased here when nobody has it)."""
    row = VirtualNumber.objects.filter(number=number).first() or hold_number(member, number)
    return Conversation.objects.create(account=member.account, number=row, phone=phone, **values)


def write(conversation: Conversation, text: str = "Hello", at: datetime | None = None, **values: Any) -> InboundMessage:
    """A message from the conversation's phone, unread."""
    offset = (at - timezone.now()) if at else timedelta(0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT uuidv7(%s)", [offset])
        key = cursor.fetchone()[0]
    message = InboundMessage.objects.create(
        pk=key, route=Route.objects.get(), account=conversation.account, number=conversation.number,
        conversation=conversation, sender=conversation.phone, recipient=conversation.number.number, text=text, **values,
    )  # fmt: skip
    Conversation.objects.filter(pk=conversation.pk).update(
        unread=F("unread") + 1, last_text=text[:160], last_inbound_at=time_of(key), last_at=time_of(key)
    )
    return message


def set_off(message: InboundMessage, kind: str, target: str = "", state: str = "done", **values: Any) -> InboundAction:
    """Something that the message set off."""
    return InboundAction.objects.create(
        message_id=message.pk, account=message.account, kind=kind, target=target, state=state, **values
    )


def fill_inbox(member: Member, count: int) -> None:
    """Many conversations in one statement, the first of them the latest; every tenth is unread."""
    number = hold_number(member)
    now = timezone.now()
    Conversation.objects.bulk_create(
        [
            Conversation(
                code=new_code(), account=member.account, number=number, phone=f"+614{index:08d}",
                unread=int(index % 10 == 0), last_text=f"Text {index}", last_at=now - timedelta(seconds=index),
            )
            for index in range(count)
        ],
        batch_size=5_000,
    )  # fmt: skip
