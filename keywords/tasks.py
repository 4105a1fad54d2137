"""Renewals of keywords."""

from celery import shared_task
from django.utils import timezone

from keywords.services.renewals import renew_keywords as renew_due_keywords


@shared_task(name="keywords.tasks.renew_keywords")
def renew_keywords() -> None:
    """Every minute: charge the months that are due, and suspend or end what is not paid in time."""
    renew_due_keywords(timezone.now())
