"""Webhooks of the card gateway: verified, stored under their id, answered, then processed, however often they come."""

from datetime import datetime, timedelta

import structlog
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing.gateways import stripe
from billing.gateways.exceptions import GatewayError
from billing.models import PaymentEvent, TopUp
from billing.services import cards, disputes, recharges, refunds, topups

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
        return _settle(event)
    if event.refund or event.type == "charge.refunded":
        return _act_on_refund(event)
    if event.dispute:
        return disputes.apply_dispute(event.dispute, event.type, _credited(event))
    if event.type == "checkout.session.completed":
        topups.note_processing(event.reference)
    elif event.type == "checkout.session.expired":
        topups.expire_topup(event.reference)
    elif event.type == "checkout.session.async_payment_failed":
        topups.fail_topup(event.reference, event.failure)
    elif event.type == "payment_intent.payment_failed":
        topups.note_decline(event.reference, event.failure)
    return ""


def _act_on_refund(event: stripe.GatewayEvent) -> str:
    """A refund's own event tells it whole; that of its payment only says that there is news."""
    topup = _credited(event)
    told = [event.refund] if event.refund else stripe.list_refunds(event.payment_intent)
    return "; ".join(filter(None, (refunds.apply_refund(one, topup) for one in told)))


def _credited(event: stripe.GatewayEvent) -> TopUp | None:
    """The top-up that the event's payment paid, credited first when word of that has not come yet."""
    if not event.payment_intent:
        return None
    if found := TopUp.objects.filter(payment_intent=event.payment_intent, state=TopUp.State.PAID).first():
        return found
    payment = stripe.fetch_payment(event.payment_intent)
    if payment.paid and payment.reference:
        topups.settle_payment(topups.payment_from(payment))
    return TopUp.objects.filter(payment_intent=event.payment_intent).first()


def _settle(event: stripe.GatewayEvent) -> str:
    """Credit the top-up, and keep its card where its payer agreed to that."""
    topup = TopUp.objects.select_related("account").filter(code=event.reference).first()
    card = _card_for(event, topup) if topup else None
    problem = topups.settle_payment(
        topups.Payment(
            reference=event.reference,
            amount=event.amount,
            currency=event.currency,
            payment_intent=event.payment_intent,
            paid_at=min(event.created_at, timezone.now()),
            card=card,
        )
    )
    if topup is not None and not problem:
        cards.keep_card_of(topup, card)
        recharges.note_success(topup)
    return problem


def _card_for(event: stripe.GatewayEvent, topup: TopUp) -> stripe.Card | None:
    """The card, for the receipt and to be kept. Events do not carry it.

    For the receipt alone it is not worth a late credit; a card to be kept is, so the event is tried again.
    """
    if not topup.session_id or (topup.state == TopUp.State.PAID and not topup.saves_card):
        return None
    try:
        return stripe.fetch_checkout(topup.session_id).card
    except GatewayError as error:
        if topup.saves_card and topup.state == TopUp.State.PAID:
            raise
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
