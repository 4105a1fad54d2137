"""Webhooks of the card gateway: verified, stored under their id, answered, then processed, however often they come."""

from datetime import datetime, timedelta

import structlog
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing.gateways import stripe
from billing.gateways.exceptions import GatewayError
from billing.models import PaymentEvent, TopUp
from billing.services import topups

log = structlog.get_logger(__name__)

# Each says by itself that a top-up is paid; whichever comes first credits it.
_PAID = {
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "payment_intent.succeeded",
}
STUCK_AFTER = timedelta(seconds=30)
MAX_ATTEMPTS = 60
SWEEP_AT_MOST = 100


def record_event(payload: bytes, signature: str) -> PaymentEvent:
    """Store a webhook under its own id and have it processed. Raises InvalidSignature.

    Once stored nothing is lost: a broker that is down only delays it until the next sweep.
    """
    from billing.tasks import process_payment_event  # the task imports this module

    event = stripe.verify_event(payload, signature)
    stored, _ = PaymentEvent.objects.get_or_create(
        event_id=event.id, defaults={"type": event.type, "payload": event.raw}
    )
    if stored.processed_at is None:
        try:
            process_payment_event.delay(stored.event_id)
        except OperationalError as error:
            log.warning("payment_event.not_queued", gateway_event=stored.event_id, detail=str(error))
    return stored


def process_event(event_id: str) -> None:
    """Act on a stored event; repeating it changes nothing.

    What goes wrong is kept on the row and raised, and the sweep tries again.
    """
    stored = PaymentEvent.objects.get(event_id=event_id)
    if stored.processed_at is not None:
        return
    this = PaymentEvent.objects.filter(pk=stored.pk)
    this.update(attempts=F("attempts") + 1)
    try:
        problem = _act_on(stripe.read_event(stored.payload))
    except Exception as error:
        this.update(error=f"{type(error).__name__}: {error}"[:2000])
        raise
    this.update(processed_at=timezone.now(), error=problem)
    if problem:
        log.error("payment_event.needs_attention", gateway_event=event_id, problem=problem)


def _act_on(event: stripe.GatewayEvent) -> str:
    """Do what the event means for its top-up; returns "" or what an operator should know."""
    if event.type in _PAID and event.paid:
        return topups.settle_payment(_payment_of(event))
    if event.type == "checkout.session.expired":
        topups.expire_topup(event.reference)
    elif event.type == "checkout.session.async_payment_failed":
        topups.fail_topup(event.reference, event.failure)
    elif event.type == "payment_intent.payment_failed":
        topups.note_decline(event.reference, event.failure)
    return ""


def _payment_of(event: stripe.GatewayEvent) -> topups.Payment:
    return topups.Payment(
        reference=event.reference,
        amount=event.amount,
        currency=event.currency,
        payment_intent=event.payment_intent,
        paid_at=min(event.created_at, timezone.now()),
        card=_card_for(event),
    )


def _card_for(event: stripe.GatewayEvent) -> stripe.Card | None:
    """The card for the receipt. Events do not carry it; a receipt without it is better than a late credit."""
    unpaid = TopUp.objects.filter(code=event.reference).exclude(state=TopUp.State.PAID).first()
    if unpaid is None or not unpaid.session_id:
        return None
    try:
        return stripe.fetch_checkout(unpaid.session_id).card
    except GatewayError as error:
        log.warning("payment_event.no_card", gateway_event=event.id, detail=error.detail)
        return None


def sweep_events(now: datetime) -> int:
    """Process what got stuck (lost task, error, database away); returns how many are done now."""
    stuck = PaymentEvent.objects.filter(
        processed_at=None, received_at__lt=now - STUCK_AFTER, attempts__lt=MAX_ATTEMPTS
    ).order_by("received_at")
    done = 0
    for event_id in stuck.values_list("event_id", flat=True)[:SWEEP_AT_MOST]:
        try:
            process_event(event_id)
            done += 1
        except Exception:
            log.exception("payment_event.failed", gateway_event=event_id)
    return done
