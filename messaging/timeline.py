"""What happened to a message and when, in words."""

from dataclasses import dataclass
from datetime import datetime

from messaging.models import Message, MessagePart, Receipt, Route
from messaging.services.expiring import SILENT

State = Message.State

# The carrier's words (SMPP 3.4, appendix B) in ours.
RECEIPT_WORDS = {
    "DELIVRD": ("Delivered to the handset", "good"),
    "UNDELIV": ("Could not be delivered", "bad"),
    "EXPIRED": ("Expired before it could be delivered", "bad"),
    "DELETED": ("Deleted by the carrier", "bad"),
    "REJECTD": ("Rejected by the carrier", "bad"),
    "ACCEPTD": ("Accepted for delivery", "sent"),
    "ENROUTE": ("On its way", "progress"),
    "UNKNOWN": ("The carrier does not know its state", "waiting"),
}
_END_WORDS = {
    State.REJECTED: ("Refused by the carrier", "bad"),
    State.FAILED: ("Failed", "bad"),
    State.BLOCKED: ("Blocked", "bad"),
    State.CANCELLED: ("Cancelled before it was submitted", "neutral"),
    State.EXPIRED: ("Expired", "bad"),
}


@dataclass(frozen=True)
class Event:
    """One step: ``code`` is the carrier's, ``detail`` a sentence; ``tone`` as in the state badges."""

    at: datetime
    title: str
    tone: str = "neutral"
    code: str = ""
    detail: str = ""


def timeline_of(message: Message, *, shows_money: bool, shows_routes: bool = False) -> list[Event]:
    """Everything known of the message's way, in the order in which it happened; routes are for staff alone."""
    events = [Event(message.accepted_at, "Accepted", detail=_origin(message))]
    way = _way_of(message) if shows_routes else ""
    if message.released_at:
        events.append(Event(message.released_at, "Released to the carrier's queue"))
    if message.sending_at:
        events.append(Event(message.sending_at, "Submitted to the carrier", "progress", detail=way))
    if message.sent_at:
        answer = f"Its id there: {message.carrier_id}" if message.carrier_id else ""
        events.append(Event(message.sent_at, "Accepted by the carrier", "sent", detail=answer))
    if message.state == State.UNKNOWN:
        events.append(_doubt_event(message, shows_money=shows_money))
    receipts = Receipt.objects.filter(message=message.pk).order_by("pk")
    events += [_receipt_event(receipt, message) for receipt in receipts]
    events += _end_events(message, has_receipt=any(event.code for event in events))
    if message.settled_at and shows_money:
        charged = "Charged" if message.sent_at else "Given back: what was held for it costs nothing"
        events.append(Event(message.settled_at, charged))
    return sorted(events, key=lambda event: event.at)


def _origin(message: Message) -> str:
    batch = message.batch
    door = f"through {batch.get_door_display()}"
    return f"{door}, by {batch.created_by}" if batch.created_by else door


def _doubt_event(message: Message, *, shows_money: bool) -> Event:
    detail = (
        "We do not know whether the carrier took this message. It is not sent again by itself, so that nobody gets it"
        " twice; a late receipt may still tell, and otherwise our staff decide."
    )
    money = " Its price stays set aside: nothing is charged while that is open." if shows_money else ""
    return Event(message.sending_at or message.accepted_at, "No answer came", "waiting", detail=detail + money)


def _way_of(message: Message) -> str:
    """The route that has it, and those that it left before."""
    tried = message.tried_routes or []
    names = dict(Route.objects.filter(pk__in=[*tried, message.route_id]).values_list("pk", "name"))
    left = ", ".join(names[key] for key in tried)
    return f"Over {names[message.route_id]}" + (f", after {left}" if left else "")


def _receipt_event(receipt: Receipt, message: Message) -> Event:
    title, tone = RECEIPT_WORDS.get(receipt.status, (f"The carrier says {receipt.status}", "neutral"))
    code = f"{receipt.status} {receipt.error_code}".strip()
    part = f"Part with the id {receipt.carrier_id}." if message.parts > 1 else ""
    return Event(receipt.received_at, f"Receipt: {title}", tone, code, part)


def _end_events(message: Message, *, has_receipt: bool) -> list[Event]:
    """How it ended where no receipt says so."""
    if message.done_at is not None and message.sent_at and message.reason.startswith(SILENT):
        counted = f"{message.reason} It counts as {message.get_state_display().lower()}."
        return [Event(message.done_at, "No receipt came in time", detail=counted)]
    if message.done_at is None or message.state not in _END_WORDS or (message.sent_at and has_receipt):
        return []
    title, tone = _END_WORDS[State(message.state)]
    if message.state == State.EXPIRED and message.sent_at:
        title = "No receipt came in time"
    return [Event(message.done_at, title, tone, message.error_code, message.reason)]


def parts_of(message: Message) -> list[MessagePart]:
    """The submitted parts of a long message; empty for one of a single part."""
    if message.parts == 1:
        return []
    return list(MessagePart.objects.filter(message_id=message.pk).order_by("part"))
