"""Payments that the card's holder contests: the money is withdrawn, spending stops, until the bank has decided.

An event is a snapshot and may come late, twice or before an earlier one: each deed is done once, and a decided dispute
stays decided. Locks are taken in the order top-up, dispute, wallets.
"""

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.gateways import stripe
from billing.models import Dispute, TopUp
from billing.services import card_movements, ledger
from billing.services.receipts import queue_dispute_mail
from billing.services.recharge_pauses import pause_recharge, resume_covered
from billing.services.refunds import PaymentUnknown
from billing.wording import money_text

State = Dispute.State
REINSTATED = "charge.dispute.funds_reinstated"
WITHDRAWN = "charge.dispute.funds_withdrawn"
# What Stripe's own word for a dispute's stage means here; every other word means that it is open.
_STATES = {"won": State.WON, "lost": State.LOST, "warning_closed": State.INQUIRY, "prevented": State.INQUIRY}


def apply_dispute(told: stripe.DisputeState, event_type: str, topup: TopUp | None = None) -> str:
    """Act on what the gateway says about a dispute; returns "" or what an operator should know.

    ``event_type`` matters where it says that money moved. Raises PaymentUnknown while the payment is not credited yet.
    """
    topup = topup or TopUp.objects.filter(payment_intent=told.payment_intent).exclude(payment_intent="").first()
    if topup is None:
        return f"dispute {told.id} of {told.payment_intent}, which paid for no top-up"
    if topup.state == TopUp.State.DISPUTED:
        return f"dispute {told.id} of top-up {topup.code}, which was never credited; nothing booked"
    if topup.transaction_id is None:
        raise PaymentUnknown(f"dispute {told.id} came before the payment of top-up {topup.code}")
    _act(topup, told, event_type)
    return ""


@transaction.atomic
def _act(topup: TopUp, told: stripe.DisputeState, event_type: str) -> None:
    topup = TopUp.objects.select_for_update(of=("self",)).select_related("account").get(pk=topup.pk)
    dispute, is_new = Dispute.objects.get_or_create(
        gateway_id=told.id,
        defaults={
            "topup": topup, "amount": told.amount, "currency": told.currency, "reason": told.reason[:60],
            "state": State.INQUIRY, "opened_at": told.opened_at,
        },
    )  # fmt: skip
    was = dispute.state
    now = _state_of(told)
    if dispute.closed_at is None and not (now == State.INQUIRY and was == State.OPEN):
        dispute.state = now
        is_over = now in (State.WON, State.LOST) or told.status in ("warning_closed", "prevented")
        dispute.closed_at = timezone.now() if is_over else None
    if dispute.state != State.INQUIRY or event_type in (WITHDRAWN, REINSTATED):
        _withdraw(dispute, topup)
    if dispute.state == State.WON or event_type == REINSTATED:
        _give_back(dispute, topup)
    dispute.save(update_fields=["state", "closed_at", "withdrawn_transaction", "returned_transaction"])
    is_frozen = ledger.set_frozen(topup.account, lambda: _has_open(topup))
    if is_new or dispute.state != was:
        audit.record(
            account=topup.account, actor=None, action=f"dispute.{dispute.state}", subject=topup.code,
            dispute=dispute.gateway_id, amount=f"{dispute.amount:.6f}", frozen=is_frozen,
        )  # fmt: skip
        queue_dispute_mail(dispute, topup)


def _state_of(told: stripe.DisputeState) -> Dispute.State:
    if told.status.startswith("warning"):
        return State.INQUIRY
    return _STATES.get(told.status, State.OPEN)


def _has_open(topup: TopUp) -> bool:
    return Dispute.objects.filter(topup__account=topup.account_id, state=State.OPEN).exists()


def _withdraw(dispute: Dispute, topup: TopUp) -> None:
    if dispute.withdrawn_transaction_id is None:
        dispute.withdrawn_transaction = card_movements.card_dispute(
            account=topup.account, amount=dispute.amount, dispute_id=dispute.gateway_id, topup_code=topup.code
        )
        withdrawn = money_text(dispute.amount, dispute.currency)
        reason = f"your bank withdrew a disputed payment of {withdrawn}"
        pause_recharge(account=topup.account, reason=reason, key=f"dispute:{dispute.pk}")


def _give_back(dispute: Dispute, topup: TopUp) -> None:
    if dispute.returned_transaction_id is None:
        dispute.returned_transaction = card_movements.card_dispute_won(
            account=topup.account, amount=dispute.amount, dispute_id=dispute.gateway_id, topup_code=topup.code
        )
        resume_covered(topup.account)
