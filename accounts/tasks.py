from celery import shared_task

from accounts.services.changes import forget_changes
from accounts.services.mail import send_due_mail


@shared_task(name="accounts.tasks.send_waiting_mail")
def send_waiting_mail() -> None:
    """Send due mail; called after commit and by beat, so a lost call delays a mail by a minute at most."""
    send_due_mail()


@shared_task(name="accounts.tasks.forget_changes")
def forget_old_changes() -> None:
    """Every hour: notes of changed terms serve for a minute."""
    forget_changes()
