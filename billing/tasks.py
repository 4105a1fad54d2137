from celery import Task, shared_task
from django.utils import timezone

from billing.models import Refund
from billing.services import (
    cards,
    credits,
    invoices,
    notices,
    payment_events,
    recharges,
    refunds,
    renewal_notices,
    topups,
    trial_notices,
)


@shared_task(name="billing.tasks.process_payment_event", bind=True, max_retries=5)
def process_payment_event(self: Task, event_id: str) -> None:
    """Act on one stored webhook; what still fails after a few tries is the sweep's."""
    try:
        payment_events.process_event(event_id)
    except Exception as error:
        raise self.retry(exc=error, countdown=min(60, 2**self.request.retries)) from error


@shared_task(name="billing.tasks.sweep_payments")
def sweep_payments() -> None:
    """Every minute: webhooks that got stuck, and top-ups whose webhook never came."""
    now = timezone.now()
    payment_events.sweep_events(now)
    topups.sweep_topups(now)
    refunds.sweep_refunds(now)
    cards.sweep_cards(now)


@shared_task(name="billing.tasks.sweep_cards")
def sweep_cards() -> None:
    """Tell the gateway of removed cards, and learn what became of charges without an answer."""
    cards.sweep_cards(timezone.now())


@shared_task(name="billing.tasks.sweep_recharges")
def sweep_recharges() -> None:
    """Every minute: accounts that fell below their threshold of automatic recharge."""
    recharges.sweep_recharges(timezone.now())


@shared_task(name=recharges.RECHARGE)
def recharge_account(account_id: int) -> None:
    """An account that recharges automatically has just spent something; what this misses is the sweep's."""
    recharges.look_at(account_id, timezone.now())


@shared_task(name="billing.tasks.send_refund")
def send_refund(refund_id: int) -> None:
    """Tell the gateway of one refund; what it does not answer is the sweep's."""
    refunds.send_refund(Refund.objects.select_related("topup__account").get(pk=refund_id))


@shared_task(name="billing.tasks.collect_stranded_credits")
def collect_stranded_credits() -> None:
    """Every two minutes: take back the credits that accounts got back after they ceased to send with credits."""
    credits.collect_stranded_credits()


@shared_task(name="billing.tasks.keep_invoice_terms")
def keep_invoice_terms() -> None:
    """Every minute: overdraws whose last day is over end, and monthly top-ups that are due are booked."""
    now = timezone.now()
    invoices.end_overdraws(now)
    invoices.book_postpaid(now)


@shared_task(name="billing.tasks.send_notices")
def send_notices() -> None:
    """Every minute: mails about balances that fell below their notification limit."""
    notices.send_notices(timezone.now())


@shared_task(name="billing.tasks.send_trial_notices")
def send_trial_notices() -> None:
    """Every minute: mails to clients whose trial ends soon or has ended."""
    trial_notices.send_trial_notices(timezone.now())


@shared_task(name="billing.tasks.send_renewal_notices")
def send_renewal_notices() -> None:
    """Every quarter of an hour: mails about renewals that the balance will not cover, and about unpaid ones."""
    renewal_notices.send_renewal_notices(timezone.now())
