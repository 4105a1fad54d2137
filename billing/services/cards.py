"""Cards that the gateway keeps for an account with its consent: kept after a payment, charged, removed.

Locks are taken in the order terms, top-up or card, wallets; the gateway is called with nothing locked.
"""

import hashlib
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from billing.gateways import stripe
from billing.gateways.exceptions import CardDeclined, GatewayError, GatewayUnavailable
from billing.models import AutoRecharge, CardCustomer, SavedCard, TopUp
from billing.services import topups

log = structlog.get_logger(__name__)

# A charge without an answer is asked for again after this; a person must have approved theirs by the top-up's expiry.
ASK_AGAIN_AFTER = timedelta(minutes=1)
SWEEP_AT_MOST = 50
# Stripe forgets an idempotency key after 24 hours; past this a charge is not repeated.
KEY_LIVES = timedelta(hours=23)


def customer_of(account: Account, email: str) -> str:
    """The account's customer at the gateway, made when it has none. Raises GatewayError."""
    known = CardCustomer.objects.filter(account=account).first()
    if known is None:
        # A key stands for its parameters; two people of one account may ask at once.
        digest = hashlib.sha256(f"{account.name}\n{email}".encode()).hexdigest()[:16]
        made = stripe.create_customer(
            reference=account.code, name=account.name, email=email, idempotency_key=f"customer-{account.code}-{digest}"
        )
        known, _ = CardCustomer.objects.get_or_create(account=account, defaults={"customer_id": made})
    return known.customer_id


def keep_card_of(topup: TopUp, card: stripe.Card | None) -> SavedCard | None:
    """Keep the card that paid a top-up whose payer agreed to it; repeating it changes nothing."""
    if not topup.saves_card or card is None or not card.payment_method:
        return None
    with transaction.atomic():
        kept, is_new = SavedCard.objects.get_or_create(
            payment_method=card.payment_method,
            defaults={
                "account": topup.account, "brand": card.brand, "last4": card.last4,
                "expires_month": card.expires_month, "expires_year": card.expires_year,
                "consent_by": topup.created_by, "consent_at": topup.created_at,
            },
        )  # fmt: skip
        if is_new:
            audit.record(account=topup.account, actor=topup.created_by, action="card.kept", subject=kept.code)
    return kept


@transaction.atomic
def remove_card(*, card: SavedCard, actor: User) -> bool:
    """Forget a card, and switch the automatic recharge off that uses it; the gateway is told after the commit.

    False when it was removed before.
    """
    from billing import tasks  # the task imports this module

    kept = SavedCard.objects.filter(pk=card.pk, removed_at=None)
    recharge = AutoRecharge.objects.select_for_update().filter(card=card, is_on=True).first()
    if not kept.update(removed_at=timezone.now()):
        return False
    if recharge is not None:
        AutoRecharge.objects.filter(pk=recharge.pk).update(is_on=False)
        audit.record(account=card.account, actor=actor, action="recharge.off", reason="card removed")
    audit.record(account=card.account, actor=actor, action="card.removed", subject=card.code)
    # Robust: the row says what is to be done, and beat's sweep does it without a broker.
    transaction.on_commit(lambda: tasks.sweep_cards.delay(), robust=True)
    return True


def sweep_cards(now: datetime) -> None:
    """Tell the gateway of removed cards, and find out about charges that nobody heard of."""
    for card in SavedCard.objects.filter(removed_at__isnull=False, detached_at=None)[:SWEEP_AT_MOST]:
        try:
            stripe.detach_card(card.payment_method)
        except GatewayError as error:
            log.warning("card.not_detached", card=card.code, detail=error.detail)
        else:
            SavedCard.objects.filter(pk=card.pk).update(detached_at=timezone.now())
    open_charges = TopUp.objects.filter(state=TopUp.State.PENDING, created_at__lt=now - ASK_AGAIN_AFTER)
    for topup in open_charges.exclude(way=TopUp.Way.CHECKOUT).order_by("created_at")[:SWEEP_AT_MOST]:
        try:
            resume(topup, now)
        except GatewayError as error:
            log.warning("card.no_answer", topup=topup.code, detail=error.detail)


def resume(topup: TopUp, now: datetime) -> None:
    """Find out what became of a charge whose answer was lost, or which waits for its customer. Raises GatewayError."""
    if not topup.payment_intent:
        if topup.created_at < now - KEY_LIVES:
            topups.flag_unknown(topup)
            return
        charge(topup)
        return
    state = stripe.fetch_payment(topup.payment_intent)
    if state.status == "requires_action" and topup.expires_at < now:
        state = stripe.cancel_payment(topup.payment_intent)
    apply_payment(topup, state)


def charge(topup: TopUp) -> stripe.PaymentState | None:
    """Charge the top-up's card, or learn again what became of it, and record the answer.

    Returns the payment; None when the bank declined. A recharge's decline counts (billing/services/recharges.py).
    Raises GatewayUnavailable when nobody knows: the top-up stays open, counted, and is asked about again.
    """
    from billing.services import recharges  # recharges charge cards

    card = topup.saved_card
    assert card is not None  # noqa: S101 - every way but the payment page has one
    is_recharge = topup.way == TopUp.Way.RECHARGE
    try:
        state = stripe.charge_card(
            reference=topup.code,
            amount=topup.amount,
            currency=topup.currency,
            description=f"{settings.SITE_NAME} credit {topup.code}",
            customer=topup.account.card_customer.customer_id,
            payment_method=card.payment_method,
            off_session=is_recharge,
            return_url=settings.SITE_URL + reverse("billing:topup-detail", args=[topup.code]) + "?returned=paid",
            idempotency_key=f"topup-{topup.code}",
        )
    except GatewayUnavailable:
        raise
    except GatewayError as error:
        needs_customer = isinstance(error, CardDeclined) and error.needs_customer
        log.info("card.declined", topup=topup.code, detail=error.detail)
        if topups.close(topup, TopUp.State.FAILED, str(error)) and is_recharge:
            recharges.note_failure(topup, str(error), needs_customer=needs_customer)
        return None
    apply_payment(topup, state)
    return state


def apply_payment(topup: TopUp, state: stripe.PaymentState) -> None:
    """Act on what the gateway says about a charge; repeating it changes nothing."""
    from billing.services import recharges  # recharges charge cards

    TopUp.objects.filter(pk=topup.pk, payment_intent="").update(payment_intent=state.payment_intent)
    if state.paid:
        topups.settle_payment(topups.payment_from(state))
        recharges.note_success(topup)
    elif state.status == "processing":
        topups.note_processing(topup.code)
    elif state.status == "canceled":
        topups.close(topup, TopUp.State.EXPIRED)
    elif state.status == "requires_payment_method":
        topups.close(topup, TopUp.State.FAILED, state.failure)
    elif state.next_url:
        TopUp.objects.filter(pk=topup.pk).update(checkout_url=state.next_url)
        topup.checkout_url = state.next_url
