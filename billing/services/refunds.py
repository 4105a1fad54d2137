"""Giving card payments back: asked for by staff, or made at the gateway and told to us.

The wallet is debited when the refund is asked for, so that nobody spends meanwhile what is on its way back; a refund
that the bank refuses puts the money back. Locks are taken in the order top-up, refund, wallets; the gateway is called
with nothing locked, and again with the same key until it answers.
"""

from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from billing.exceptions import BillingError, NotAllowed
from billing.gateways import stripe
from billing.gateways.exceptions import GatewayError, GatewayMisconfigured, GatewayUnavailable
from billing.gateways.money import to_minor_units
from billing.models import Refund, TopUp
from billing.services import card_movements
from billing.services.receipts import queue_refund_mail
from billing.services.recharge_pauses import pause_recharge, resume_covered
from billing.wording import money_text

log = structlog.get_logger(__name__)

FAILED_STATUSES = {"failed", "canceled"}
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=6)
SWEEP_AT_MOST = 50


class PaymentUnknown(BillingError):
    """Word of a refund or dispute came before word of its payment; it is processed again later."""


@transaction.atomic
def request_refund(*, topup: TopUp, amount: Decimal, reason: str, key: str, actor: User) -> Refund:
    """Take ``amount`` out of the wallet and put its refund into the outbox; ``send_refund`` tells the gateway.

    ``key`` (at most 12 letters and digits) is made with the form, so that a form sent twice refunds once. Raises
    NotAllowed (not paid, more than is left) and BillingError without a reason, with nothing written.
    """
    from billing import tasks  # the task imports this module

    reason = reason.strip()
    if not reason:
        raise BillingError("A refund needs a reason; enter one.")
    topup = _locked(topup.code)
    if known := Refund.objects.filter(code=key).first():
        return known
    _check(topup, amount)
    refund = Refund.objects.create(
        code=key, topup=topup, amount=amount, currency=topup.currency, reason=reason, created_by=actor
    )
    _book(refund, key=refund.code, actor=actor)
    # Robust: the outbox row stands, and without a broker beat's sweep tells the gateway a little later.
    transaction.on_commit(lambda: tasks.send_refund.delay(refund.pk), robust=True)
    return refund


def _check(topup: TopUp, amount: Decimal) -> None:
    left = topup.amount - topup.refunded
    asked, most = money_text(amount, topup.currency), money_text(left, topup.currency)
    if topup.state != TopUp.State.PAID:
        raise NotAllowed(f"Top-up {topup.code} is not paid, so there is nothing to give back.")
    if not 0 < amount <= left:
        raise NotAllowed(f"Amount {asked}: {most} of top-up {topup.code} can be given back; enter no more than that.")
    to_minor_units(amount, topup.currency)


def _locked(code: str) -> TopUp:
    return TopUp.objects.select_for_update(of=("self",)).select_related("account").get(code=code)


def _book(refund: Refund, *, key: str, actor: User | None) -> None:
    """Debit the wallet, count the refund into its payment and note it. The top-up is locked."""
    topup = refund.topup
    refund.transaction = card_movements.card_refund(
        account=topup.account, amount=refund.amount, key=key, topup_code=topup.code, reason=refund.reason, actor=actor
    )
    refund.save(update_fields=["transaction"])
    given_back = money_text(refund.amount, refund.currency)
    pause_recharge(account=topup.account, reason=f"a refund of {given_back}", key=f"refund:{refund.code}")
    TopUp.objects.filter(pk=topup.pk).update(refunded=F("refunded") + refund.amount)
    audit.record(
        account=topup.account, actor=actor, action="refund.booked", subject=topup.code, refund=refund.code,
        amount=f"{refund.amount:.6f}", reason=refund.reason,
    )  # fmt: skip


def send_refund(refund: Refund) -> Refund:
    """Ask the gateway to give the money back, and record its answer; a refund that is not waiting is left alone.

    A gateway that is away leaves it waiting for the sweep; one that refuses puts the money back into the wallet.
    """
    if refund.state != Refund.State.WAITING:
        return refund
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**refund.attempts)
    Refund.objects.filter(pk=refund.pk).update(attempts=F("attempts") + 1, next_try_at=timezone.now() + pause)
    try:
        answer = stripe.refund_payment(
            payment_intent=refund.topup.payment_intent,
            amount=refund.amount,
            currency=refund.currency,
            reference=refund.code,
            idempotency_key=f"refund-{refund.code}",
        )
    except (GatewayUnavailable, GatewayMisconfigured) as error:
        log.warning("refund.not_sent", refund=refund.code, detail=error.detail)
        Refund.objects.filter(pk=refund.pk).update(error=str(error)[:300])
    except GatewayError as error:
        _fail(refund.topup.code, refund.code, error.detail)
    else:
        apply_refund(answer)
    refund.refresh_from_db()
    return refund


def apply_refund(told: stripe.RefundState, topup: TopUp | None = None) -> str:
    """Act on what the gateway says about a refund; repeating it, in any order, changes nothing.

    ``topup`` is the payment's where the caller knows it. Returns "" or what an operator should know. Raises
    PaymentUnknown while the payment itself is not credited yet.
    """
    topup = topup or TopUp.objects.filter(payment_intent=told.payment_intent).exclude(payment_intent="").first()
    if topup is None:
        return f"refund {told.id} of {told.payment_intent}, which paid for no top-up"
    if topup.state == TopUp.State.DISPUTED:
        return f"refund {told.id} of top-up {topup.code}, which was never credited; nothing booked"
    if topup.transaction_id is None:
        raise PaymentUnknown(f"refund {told.id} came before the payment of top-up {topup.code}")
    if told.status in FAILED_STATUSES:
        _fail(topup.code, told.reference, told.failure or told.status, told)
    else:
        _succeed(topup.code, told)
    return ""


@transaction.atomic
def _succeed(topup_code: str, told: stripe.RefundState) -> None:
    refund = _refund_of(_locked(topup_code), told)
    if refund.state == Refund.State.FAILED:
        return  # word of it came late: the bank had refused already
    if refund.transaction_id is None:
        _book(refund, key=told.id, actor=None)
    if refund.state != Refund.State.REFUNDED:
        refund.state, refund.error, refund.gateway_id = Refund.State.REFUNDED, "", told.id
        refund.save(update_fields=["state", "error", "gateway_id"])
        queue_refund_mail(refund)


@transaction.atomic
def _fail(topup_code: str, code: str, problem: str, told: stripe.RefundState | None = None) -> None:
    """Note that the money did not go back to the card, and put it into the wallet again if it had been taken."""
    topup = _locked(topup_code)
    refund = _refund_of(topup, told) if told else Refund.objects.get(code=code, topup=topup)
    if refund.state == Refund.State.FAILED:
        return
    if refund.transaction_id is not None:
        refund.returned_transaction = card_movements.card_refund_failed(
            account=topup.account, amount=refund.amount, key=refund.code, topup_code=topup.code
        )
        TopUp.objects.filter(pk=topup.pk).update(refunded=F("refunded") - refund.amount)
        resume_covered(topup.account)
    refund.state, refund.error = Refund.State.FAILED, problem[:300]
    refund.gateway_id = told.id if told else refund.gateway_id
    refund.save(update_fields=["state", "error", "gateway_id", "returned_transaction"])
    audit.record(
        account=topup.account, actor=None, action="refund.failed", subject=topup.code, refund=refund.code,
        amount=f"{refund.amount:.6f}", problem=problem[:300],
    )  # fmt: skip


def _refund_of(topup: TopUp, told: stripe.RefundState) -> Refund:
    """Our row of what the gateway speaks of: by its id, by our code that it bears, else a new one (made there)."""
    found = Refund.objects.filter(gateway_id=told.id).first()
    if found is None and told.reference:
        found = Refund.objects.filter(code=told.reference, topup=topup).first()
    if found is None:
        found = Refund.objects.create(
            topup=topup, amount=told.amount, currency=told.currency, gateway_id=told.id, reason="Refunded at Stripe"
        )
    found.topup = topup
    return found


def sweep_refunds(now: datetime) -> int:
    """Ask the gateway again about refunds that it has not answered; returns how many were asked."""
    due = Refund.objects.filter(state=Refund.State.WAITING, next_try_at__lt=now, transaction__isnull=False)
    waiting = list(due.select_related("topup__account").order_by("next_try_at")[:SWEEP_AT_MOST])
    for refund in waiting:
        send_refund(refund)
    return len(waiting)
