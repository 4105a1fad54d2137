from celery import shared_task
from django.utils import timezone

from virtual_numbers.services import imports, leasing


@shared_task(name="virtual_numbers.tasks.renew_numbers")
def renew_numbers() -> None:
    """Every minute: charge the numbers' months that are due, and suspend or release what is not paid in time."""
    leasing.renew_numbers(timezone.now())


@shared_task(name="virtual_numbers.tasks.end_quarantines")
def end_quarantines() -> None:
    """Every hour: offer numbers again that rested long enough after their release."""
    leasing.end_quarantines(timezone.now())


@shared_task(name="virtual_numbers.tasks.remove_imports")
def remove_imports() -> None:
    """Four times a day: forget uploaded lists that nobody confirmed."""
    imports.remove_unconfirmed(timezone.now())
