"""Accepted batches brought by hand into the states that the send engine would bring them into."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from messaging.models import Batch, Message, MessageKey, Receipt
from messaging.services.acceptance import accept_batch
from tests.cast import Member

# An Australian mobile at 0.05, one of the dearer block at 0.08, and one of New Zealand at 0.012345 (tests/cast.py).
AU, AU_DEAR, NZ = "+61412345678", "+61491570156", "+64211234567"
AMOUNT = re.compile(r"\d\.\d{2}|\b(?:AUD|balances?|prices?|costs?|credits?|margins?)\b", re.IGNORECASE)


def accept(member: Member, recipients: list[str] | None = None, text: str = "Hello", **more: Any) -> Batch:
    """A batch of the member, sent by its owner in the web."""
    values: dict[str, Any] = {"door": "web", "sender": "Shop", "actor": member.user} | more
    return accept_batch(account=member.account, text=text, recipients=recipients or [AU], **values)


def settle_as(batch: Batch, state: str, **values: Any) -> None:
    """Bring the batch's messages into a state, as sent when a carrier would have taken them."""
    now = timezone.now()
    taken = state in {"sent", "delivered", "undelivered"}
    done = now if state not in {"sent", "sending"} else None
    defaults = {"released_at": now, "sending_at": now, "sent_at": now if taken else None, "done_at": done}
    Message.objects.filter(batch=batch).update(state=state, **(defaults | values))
    count_anew()


def move_to(batch: Batch, moment: datetime) -> None:
    """Let the batch and its messages have been accepted at another moment: their ids say when."""
    MessageKey.objects.filter(message_id__in=Message.objects.filter(batch=batch).values("pk")).delete()
    with connection.cursor() as db:
        db.execute(
            "UPDATE messaging_message SET id = uuidv7(%s - clock_timestamp()) WHERE batch_id = %s", [moment, batch.pk]
        )
    Batch.objects.filter(pk=batch.pk).update(created_at=moment, accepted_at=moment)
    count_anew()


SPAN = "(now() - interval '1 year', now() + interval '1 year')"


def count_anew() -> int:
    """Count and find what was written past the send engine; returns how many counts and keys were wrong."""
    with connection.cursor() as db:
        db.execute(f"SELECT messaging_recount{SPAN} + messaging_fill_keys{SPAN}")
        return int(db.fetchone()[0])


def fill_keys() -> None:
    """Let messages that were given carriers' ids past the send engine be found by them."""
    with connection.cursor() as db:
        db.execute(f"SELECT messaging_fill_keys{SPAN}")


def receive(message: Message, status: str, error_code: str = "000") -> Receipt:
    """A receipt that has been matched to the message."""
    return Receipt.objects.create(
        route=message.route, carrier_id=message.carrier_id or "c-1", status=status, error_code=error_code,
        message=message, applied_at=timezone.now() + timedelta(milliseconds=5),
    )  # fmt: skip


def words(page: str) -> str:
    """The page's text with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def amounts_in(page: str) -> list[str]:
    """Whatever in the page's HTML (attributes too; neither drawings nor moments) looks like money or speaks of it."""
    return AMOUNT.findall(re.sub(r'<svg.*?</svg>|datetime="[^"]*"', "", page, flags=re.DOTALL))
