"""The mail outbox (STYLE.md: external effects are rows first)."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Account, OutgoingMail

MAX_ATTEMPTS = 12


def queue_mail(
    *,
    key: str,
    to: str,
    template: str,
    context: dict[str, object],
    account: Account | None = None,
    reply_to: str = "",
) -> None:
    """Put a mail into the outbox; one ``key`` is sent once, however often it is queued.

    ``template`` names ``<template>.subject.txt``, ``.txt`` and ``.html``. Must run in the causing transaction.
    """
    from accounts.tasks import send_waiting_mail  # the task imports this module

    context = {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL, "account": account, **context}
    _, made = OutgoingMail.objects.get_or_create(
        key=key,
        defaults={
            "account": account,
            "to": to,
            "reply_to": reply_to,
            "subject": " ".join(render_to_string(f"{template}.subject.txt", context).split()),
            "text": render_to_string(f"{template}.txt", context),
            "html": render_to_string(f"{template}.html", context),
        },
    )
    if made:
        # Robust: the deed is done, and without a broker beat's sweep sends the mail a little later.
        transaction.on_commit(send_waiting_mail.delay, robust=True)


@transaction.atomic
def retry_mail(mail_ids: Iterable[int]) -> int:
    """Have mails that failed, or wait for their next try, tried again now; returns how many. Sent ones stay sent."""
    from accounts.tasks import send_waiting_mail  # the task imports this module

    unsent = OutgoingMail.objects.filter(pk__in=list(mail_ids)).exclude(state=OutgoingMail.State.SENT)
    waiting = unsent.update(state=OutgoingMail.State.WAITING, attempts=0, next_try_at=timezone.now(), error="")
    if waiting:
        # Robust: the deed is done, and without a broker beat's sweep sends the mail a little later.
        transaction.on_commit(send_waiting_mail.delay, robust=True)
    return waiting


def send_due_mail(limit: int = 50) -> int:
    """Send what is due, one claimed row at a time; returns how many went out. Failures back off up to six hours.

    A row is moved on before the mail server is asked, so a crash in between delays that mail and cannot double it
    within the back-off.
    """
    sent = 0
    for _ in range(limit):
        mail = _claim_mail()
        if mail is None:
            break
        sent += _send_claimed(mail)
    return sent


@transaction.atomic
def _claim_mail() -> OutgoingMail | None:
    now = timezone.now()
    due = OutgoingMail.objects.filter(state=OutgoingMail.State.WAITING, next_try_at__lte=now)
    mail = due.select_for_update(skip_locked=True).order_by("next_try_at").first()
    if mail is None:
        return None
    mail.attempts += 1
    mail.next_try_at = now + min(timedelta(hours=6), timedelta(seconds=30 * 2**mail.attempts))
    mail.save(update_fields=["attempts", "next_try_at"])
    return mail


def _send_claimed(mail: OutgoingMail) -> bool:
    reply_to = [mail.reply_to] if mail.reply_to else None
    message = EmailMultiAlternatives(mail.subject, mail.text, settings.DEFAULT_FROM_EMAIL, [mail.to], reply_to=reply_to)
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    this = OutgoingMail.objects.filter(pk=mail.pk)
    try:
        message.send()
    except OSError as error:  # SMTP errors are OSErrors; the row stays due and is tried again
        state = OutgoingMail.State.FAILED if mail.attempts >= MAX_ATTEMPTS else OutgoingMail.State.WAITING
        this.update(error=str(error)[:2000], state=state)
        return False
    this.update(state=OutgoingMail.State.SENT, sent_at=timezone.now(), error="")
    return True
