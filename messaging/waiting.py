"""Why messages of a batch wait, in words for whoever sent it; names no route, and no account above."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from accounts.selectors import suspended_in_line
from messaging.models import Batch, Message, MessageClass, Route, SendingDay, SendingTerms
from messaging.selectors import Progress
from messaging.services.route_states import down_routes
from messaging.services.sending_limits import local_day, next_midnight, next_opening

State = Message.State


@dataclass(frozen=True)
class Reason:
    """A sentence, and the moment that it ends with, if there is one."""

    text: str
    until: datetime | None = None


def why_waiting(progress: Progress) -> list[Reason]:
    """What keeps the batch's messages from being sent now; empty where only their turn is waited for."""
    batch, now, reasons = progress.batch, timezone.now(), list[Reason]()
    waiting = progress.counts.get(State.SCHEDULED, 0)
    if waiting and batch.send_at is not None and batch.send_at > now:
        return [Reason("Waits for its time:", batch.send_at)]
    if waiting:
        reasons.append(Reason(f"The carrier was too busy for {waiting:,}: they are tried again soon."))
    if progress.counts.get(State.QUEUED, 0):
        reasons += _why_queued(batch, now)
    if progress.counts.get(State.QUEUED, 0) or progress.counts.get(State.RELEASED, 0):
        reasons += _why_not_taken(batch)
    return reasons


def _why_queued(batch: Batch, now: datetime) -> list[Reason]:
    account, reasons = batch.account, list[Reason]()
    if suspended_in_line(account) is not None:
        reasons.append(Reason("Sending is stopped for this account."))
    own = SendingTerms.objects.filter(account=account).first()
    if own is not None and batch.message_class != MessageClass.PASSCODE:
        opening = next_opening(own.dispatch_from, own.dispatch_until, account.time_zone, now)
        if opening is not None:
            reasons.append(Reason("Waits for the dispatch hours, which begin at", opening))
    return reasons + _why_limited(batch, now)


def _why_not_taken(batch: Batch) -> list[Reason]:
    """What is so with the batch's routes."""
    paused = set(Route.objects.filter(is_paused=True).values_list("pk", flat=True))
    down, reasons = down_routes() - paused, list[Reason]()
    waiting = Message.objects.filter(batch=batch, state__in=(State.QUEUED, State.RELEASED))
    if paused and waiting.filter(route__in=paused).exists():
        reasons.append(Reason("The route to these numbers is paused; they go when it is opened again."))
    if down and waiting.filter(route__in=down).exists():
        reasons.append(Reason("The carrier of these numbers cannot be reached now; they go when it can be again."))
    return reasons


def _why_limited(batch: Batch, now: datetime) -> list[Reason]:
    """Limits of the account, and of those above it without their figures."""
    terms = SendingTerms.objects.filter(account__in=batch.account.path).select_related("account").order_by("-account")
    reasons = []
    for one in terms:
        zone, is_own = one.account.time_zone, one.account_id == batch.account_id
        if one.daily_limit is not None and _released_today(one, now) >= one.daily_limit:
            what = f"The daily limit of {_messages(one.daily_limit)}" if is_own else "A daily limit"
            reasons.append(Reason(f"{what} is reached; it goes on at", next_midnight(zone, now)))
        elif one.throughput is not None and is_own:
            reasons.append(Reason(f"At most {_messages(one.throughput)} a second can go from this account."))
    return reasons


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _released_today(terms: SendingTerms, now: datetime) -> int:
    day = local_day(terms.account.time_zone, now)
    found = SendingDay.objects.filter(account=terms.account, day=day).values_list("released", flat=True).first()
    return found or 0
