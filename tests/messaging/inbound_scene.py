"""Inbound parts as a carrier would have left them, and the work that makes messages of them."""

from typing import Any
from uuid import UUID

from django.db import connection

from messaging.models import InboundAction, InboundMessage, InboundPart, Route
from messaging.services.inbound import receive_waiting
from messaging.services.inbound_parts import make_part, part_of_deliver, store_parts
from smpp.pdu import Deliver
from smpp.text import encode_parts

PHONE, OTHER_PHONE = "+61412345678", "+61412345679"


def bring(text: str, *, to: str, sender: str = PHONE, session: str = "1", **more: Any) -> UUID:
    """Store one whole message, or with ``reference``, ``total`` and ``sequence`` a part; returns its id."""
    route = Route.objects.get(code="test")
    store_parts(route.pk, [make_part(route.pk, sender, to, text, session=session, **more)])
    return InboundPart.objects.order_by("-pk").values_list("pk", flat=True)[0]


def bring_long(
    text: str,
    *,
    to: str,
    sender: str = PHONE,
    reference: int = 7,
    order: list[int] | None = None,
    session: str = "first",
) -> None:
    """Store the parts of a long message as deliver_sm bring them, all or those of ``order``, in that order."""
    route = Route.objects.get(code="test")
    parts = encode_parts(text, reference)
    for number in order or range(1, len(parts) + 1):
        data_coding, esm_class, payload = parts[number - 1]
        deliver = Deliver(sender, to, payload, data_coding, esm_class)
        store_parts(route.pk, [part_of_deliver(route.pk, deliver, session)])


def receive() -> list[InboundMessage]:
    """Handle what is due; all messages there are, in the order of their arrival."""
    receive_waiting(10_000)
    return list(InboundMessage.objects.order_by("pk"))


def age(seconds: float) -> None:
    """Let everything have come so much earlier."""
    with connection.cursor() as db:
        for table, column in (
            ("messaging_inboundpart", "id"),
            ("messaging_inboundpart", "message_id"),
            ("messaging_inboundmessage", "id"),
            ("messaging_inboundaction", "message_id"),
        ):
            # An id's time is in its first 48 bits; the rest stays, and with it the order.
            db.execute(
                f"UPDATE {table} SET {column} = (substr(messaging_uuid_floor(uuid_extract_timestamp({column})"
                f" - %s * interval '1 second')::text, 1, 13) || substr({column}::text, 14))::uuid"
                f" WHERE {column} IS NOT NULL",
                [seconds],
            )
        db.execute("UPDATE messaging_inboundpart SET due_at = due_at - %s * interval '1 second'", [seconds])


def actions() -> list[tuple[str, str, str]]:
    """(kind, target, state) of every action, in order."""
    return list(InboundAction.objects.order_by("pk").values_list("kind", "target", "state"))
