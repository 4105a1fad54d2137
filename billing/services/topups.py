"""Adding credit by card: a top-up is reserved, paid on Stripe's page, and credited once when the payment is sure.

No call leaves the process while a row is locked: reserve and commit, then ask the gateway, then record its answer.
Locks are taken in the order terms, top-up, wallets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import NotAllowed
from billing.gateways import stripe
from billing.gateways.exceptions import GatewayError, GatewayRefused
from billing.models import BillingTerms, SavedCard, TopUp
from billing.services import card_movements
from billing.services.receipts import queue_receipt
from billing.services.recharge_pauses import resume_covered
from billing.services.topup_limits import CHECKOUT_LIFETIME, check_amount
from billing.services.trials import close_trial_by_payment, lock_terms_of_topup
from billing.wording import money_text

log = structlog.get_logger(__name__)

# When a payment page that nobody has heard of is looked up at Stripe: soon after a payment usually ends, and again
# once the page is closed for sure.
QUIET_FOR = timedelta(seconds=90)
LOOK_AGAIN_FOR = timedelta(minutes=10)
# A top-up without a payment page: the process died between reserving it and asking the gateway.
ORPHANED_AFTER = timedelta(minutes=5)
SWEEP_AT_MOST = 50


@dataclass(frozen=True)
class Payment:
    """Money that Stripe says it took for the top-up with code ``reference``."""

    reference: str
    amount: Decimal
    currency: str
    payment_intent: str
    paid_at: datetime
    card: stripe.Card | None = None


def payment_from(state: stripe.PaymentState) -> Payment:
    """What a payment that succeeded means for its top-up."""
    return Payment(
        reference=state.reference, amount=state.amount, currency=state.currency, payment_intent=state.payment_intent,
        paid_at=timezone.now(), card=state.card,
    )  # fmt: skip


def start_topup(*, account: Account, amount: Decimal, actor: User, saves_card: bool = False) -> TopUp:
    """Reserve ``amount`` within the account's limits and open a payment page for it (``checkout_url``).

    ``saves_card``: ``actor`` agreed that the card that pays is kept for later payments.

    Raises NotAllowed and TopUpRefused (terms, amount, daily limit) with nothing written, and GatewayError when the
    page could not be opened (the top-up is then marked as failed and counts no more).
    """
    from billing.services.cards import customer_of  # cards settles top-ups

    topup = _reserve(account, amount, actor, saves_card=saves_card)
    page = settings.SITE_URL + reverse("billing:topup-detail", args=[topup.code])
    try:
        checkout = stripe.create_checkout(
            reference=topup.code,
            amount=topup.amount,
            currency=topup.currency,
            description=f"{settings.SITE_NAME} credit for {account.name}",
            customer_email=actor.email,
            success_url=f"{page}?returned=paid",
            cancel_url=f"{page}?returned=left",
            expires_at=topup.expires_at,
            idempotency_key=f"topup-{topup.code}",
            customer=customer_of(account, actor.email) if saves_card else "",
            saves_card=saves_card,
        )
    except GatewayError as error:
        # Nobody has seen the page's address, so nothing can be paid on it even if Stripe did open it.
        log.warning("topup.not_opened", topup=topup.code, detail=error.detail)
        close(topup, TopUp.State.FAILED, str(error))
        raise
    topup.session_id, topup.checkout_url = checkout.session_id, checkout.url
    topup.save(update_fields=["session_id", "checkout_url"])
    return topup


def pay_with_card(*, account: Account, amount: Decimal, card: SavedCard, actor: User) -> TopUp:
    """Reserve ``amount`` within the account's limits and charge it to a kept card while its customer is there.

    The top-up is then paid, or failed (``error`` says why), or still pending: with ``checkout_url`` where the bank
    asks the customer, without it while the gateway has not answered. Raises NotAllowed and TopUpRefused with nothing
    written.
    """
    from billing.services.cards import charge  # cards settles top-ups

    if card.account_id != account.pk or card.removed_at is not None:
        raise NotAllowed("This card is not kept any more; choose another way to pay.")
    topup = _reserve(account, amount, actor, way=TopUp.Way.SAVED_CARD, saved_card=card, card=str(card))
    try:
        charge(topup)
    except GatewayError as error:  # the card may have been charged: the sweep asks again with the same key
        log.warning("topup.no_answer", topup=topup.code, detail=error.detail)
    topup.refresh_from_db()
    return topup


@transaction.atomic
def _reserve(account: Account, amount: Decimal, actor: User, **details: Any) -> TopUp:
    """Check and write under the lock of the account's terms, so that two browsers cannot both take what is left."""
    terms = locked_terms(account)
    now = timezone.now()
    check_amount(terms=terms, amount=amount, now=now)
    topup = TopUp.objects.create(
        account=account, amount=amount, currency=account.currency, created_by=actor, created_at=now,
        expires_at=now + CHECKOUT_LIFETIME, **details,
    )  # fmt: skip
    audit.record(account=account, actor=actor, action="topup.started", subject=topup.code, amount=str(amount))
    return topup


def locked_terms(account: Account) -> BillingTerms:
    """The account's terms, locked until the transaction ends. Raises NotAllowed when it has none."""
    terms = BillingTerms.objects.select_related("account").select_for_update(of=("self",)).filter(pk=account.pk).first()
    if terms is None:
        raise NotAllowed(f"{account.name} has no billing terms yet; ask whoever manages the account.")
    return terms


def cancel_topup(*, topup: TopUp, actor: User) -> TopUp:
    """Close the payment page and free up what it reserved; a payment that was made meanwhile is credited instead.

    Returns the top-up as it is then. Raises GatewayError when Stripe cannot be asked (nothing changes).
    """
    if topup.state == TopUp.State.PENDING:
        try:
            if topup.way != TopUp.Way.CHECKOUT:
                return _cancel_charge(topup)
            if topup.session_id:
                stripe.expire_checkout(topup.session_id)
        except GatewayRefused:  # paid or expired a moment ago
            look_up(topup)
        else:
            close(topup, TopUp.State.CANCELLED, actor=actor)
    topup.refresh_from_db()
    return topup


def _cancel_charge(topup: TopUp) -> TopUp:
    """Give up a charge that waits for its customer; one without an answer stays until there is one."""
    from billing.services.cards import apply_payment  # cards settles top-ups

    if topup.payment_intent:
        try:
            state = stripe.cancel_payment(topup.payment_intent)
        except GatewayRefused:  # paid or over a moment ago
            state = stripe.fetch_payment(topup.payment_intent)
        apply_payment(topup, state)
    topup.refresh_from_db()
    return topup


@transaction.atomic
def close(topup: TopUp, state: str, error: str = "", actor: User | None = None) -> bool:
    """End a top-up that is not paid; False when it was no longer pending."""
    pending = TopUp.objects.filter(pk=topup.pk, state=TopUp.State.PENDING)
    if not pending.update(state=state, error=error[:300]):
        return False
    audit.record(account=topup.account, actor=actor, action=f"topup.{state}", subject=topup.code)
    return True


def settle_payment(payment: Payment) -> str:
    """Credit a payment, once, whatever was heard before; returns "" or what an operator should know.

    Money of another amount or currency than the top-up's is never credited: the top-up is flagged. A payment of a
    top-up that had expired or been cancelled is credited, as the money was taken.
    """
    with transaction.atomic():
        lock_terms_of_topup(payment.reference)
        topup = TopUp.objects.select_for_update().select_related("account").filter(code=payment.reference).first()
        if topup is None:
            return f"no top-up {payment.reference}"
        if topup.state == TopUp.State.PAID:
            return _compare_with_paid(topup, payment)
        if (payment.amount, payment.currency) != (topup.amount, topup.currency):
            return _flag(topup, payment)
        _credit(topup, payment)
    return ""


def _credit(topup: TopUp, payment: Payment) -> None:
    topup.transaction = card_movements.credit_card_payment(
        account=topup.account, amount=topup.amount, topup_code=topup.code, actor=topup.created_by
    )
    topup.state, topup.paid_at = TopUp.State.PAID, payment.paid_at
    topup.payment_intent = payment.payment_intent
    if payment.card:
        topup.card = f"{payment.card.brand.capitalize()} {payment.card.last4}"
    topup.save(update_fields=["transaction", "state", "paid_at", "payment_intent", "card"])
    audit.record(account=topup.account, actor=None, action="topup.paid", subject=topup.code, amount=str(topup.amount))
    close_trial_by_payment(account=topup.account, amount=topup.amount, reference=topup.code)
    resume_covered(topup.account)
    queue_receipt(topup)


def _compare_with_paid(topup: TopUp, payment: Payment) -> str:
    """A repeated word about the same payment is nothing; another payment for the same top-up is."""
    if payment.payment_intent == topup.payment_intent:
        return ""
    return f"top-up {topup.code} is paid by {topup.payment_intent}; {payment.payment_intent} is a second payment"


@transaction.atomic
def flag_unknown(topup: TopUp) -> None:
    """Note that nobody can say any more by asking whether a card was charged; staff looks at the gateway."""
    if close(topup, TopUp.State.DISPUTED, "The payment service never said whether the card was charged."):
        log.error("topup.unknown", topup=topup.code)


def _flag(topup: TopUp, payment: Payment) -> str:
    found, asked = money_text(payment.amount, payment.currency), money_text(topup.amount, topup.currency)
    problem = f"Stripe took {found}, the top-up is for {asked}; not credited."
    topup.state, topup.error, topup.payment_intent = TopUp.State.DISPUTED, problem, payment.payment_intent
    topup.save(update_fields=["state", "error", "payment_intent"])
    audit.record(account=topup.account, actor=None, action="topup.flagged", subject=topup.code, problem=problem)
    log.error("topup.flagged", topup=topup.code, problem=problem)
    return problem


def expire_topup(reference: str) -> None:
    """Note that a payment page was closed unpaid; a top-up that ended otherwise stays as it is."""
    topup = TopUp.objects.select_related("account").filter(code=reference).first()
    if topup is not None:
        close(topup, TopUp.State.EXPIRED)


def fail_topup(reference: str, reason: str) -> None:
    """Note that a payment failed for good; a top-up that ended otherwise stays as it is."""
    topup = TopUp.objects.select_related("account").filter(code=reference).first()
    if topup is not None:
        close(topup, TopUp.State.FAILED, reason or "The payment failed.")


def note_processing(reference: str) -> None:
    """Note that the payment page is over and the bank has not paid yet: open, and counted, until it says."""
    TopUp.objects.filter(code=reference, state=TopUp.State.PENDING).update(is_processing=True)


def note_decline(reference: str, reason: str) -> None:
    """Keep what the bank said to an attempt; the payment page stays open for another card."""
    TopUp.objects.filter(code=reference, state=TopUp.State.PENDING).update(error=reason[:300])


def look_up(topup: TopUp) -> None:
    """Ask Stripe what became of a payment page and act on it as a webhook would. Raises GatewayError."""
    from billing.services.cards import keep_card_of  # cards settles top-ups

    state = stripe.fetch_checkout(topup.session_id)
    if state.paid:
        keep_card_of(topup, state.card)
        problem = settle_payment(
            Payment(
                reference=topup.code, amount=state.amount, currency=state.currency,
                payment_intent=state.payment_intent, paid_at=timezone.now(), card=state.card,
            )
        )  # fmt: skip
        if problem:
            log.error("topup.look_up", topup=topup.code, problem=problem)
    elif state.status == "expired":
        expire_topup(topup.code)
    elif state.status == "complete":
        note_processing(topup.code)


def sweep_topups(now: datetime) -> int:
    """Look up payment pages whose webhook may be lost and fail top-ups that never got a page; returns how many."""
    pending = TopUp.objects.filter(state=TopUp.State.PENDING, way=TopUp.Way.CHECKOUT).select_related("account")
    pending = pending.order_by("created_at")
    orphans = pending.filter(session_id="", created_at__lt=now - ORPHANED_AFTER)
    quiet = pending.exclude(session_id="").filter(
        Q(created_at__lt=now - QUIET_FOR, created_at__gt=now - LOOK_AGAIN_FOR) | Q(expires_at__lt=now)
    )
    acted = sum(_swept(topup, _fail_orphan) for topup in orphans[:SWEEP_AT_MOST])
    return acted + sum(_swept(topup, look_up) for topup in quiet[:SWEEP_AT_MOST])


def _fail_orphan(topup: TopUp) -> None:
    close(topup, TopUp.State.FAILED, "The payment page was never opened.")


def _swept(topup: TopUp, action: Callable[[TopUp], None]) -> bool:
    """One top-up's trouble must not keep the sweep from the others."""
    try:
        action(topup)
    except GatewayError as error:
        log.warning("topup.look_up_failed", topup=topup.code, detail=error.detail)
        return False
    return True
