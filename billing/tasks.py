from celery import Task, shared_task
from django.utils import timezone

from billing.services import credits, payment_events, topups


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


@shared_task(name="billing.tasks.collect_stranded_credits")
def collect_stranded_credits() -> None:
    """Every two minutes: take back the credits that accounts got back after they ceased to send with credits."""
    credits.collect_stranded_credits()
