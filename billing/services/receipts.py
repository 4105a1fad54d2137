"""Receipts of card payments, and mails about refunds and disputes: outbox rows of the transaction that moves the
money."""

import zoneinfo

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, User
from accounts.services.mail import queue_mail
from billing.models import Dispute, Refund, TopUp
from billing.selectors import balance_after, balance_of


def queue_receipt(topup: TopUp) -> None:
    """Put the receipt into the outbox, for whoever paid, else for the account's owner; once per top-up.

    Runs in the transaction that credits the top-up.
    """
    _queue(f"receipt:{topup.code}", topup, "receipt", balance_after=balance_after(topup))


def queue_refund_mail(refund: Refund) -> None:
    """Tell whoever paid, else the owner, that money goes back to the card; once per refund."""
    topup = refund.topup
    balance = balance_of(topup.account)
    _queue(f"refund:{refund.code}", topup, "refund", refund=refund, balance_after=balance.available)


def queue_dispute_mail(dispute: Dispute, topup: TopUp) -> None:
    """Tell of a dispute's stage (once each) that takes money, gives it back or decides."""
    if dispute.state != Dispute.State.INQUIRY:
        _queue(f"dispute:{dispute.gateway_id}:{dispute.state}", topup, "dispute", dispute=dispute)


def _queue(key: str, topup: TopUp, template: str, **context: object) -> None:
    payer = topup.created_by or _owner_of(topup)
    if payer is None:
        return
    context |= {
        "topup": topup,
        "payer": payer,
        "receipt_url": settings.SITE_URL + reverse("billing:topup-detail", args=[topup.code]),
        "zone": topup.account.time_zone.replace("_", " "),
    }
    with timezone.override(zoneinfo.ZoneInfo(topup.account.time_zone)):
        queue_mail(key=key, to=payer.email, template=f"billing/mail/{template}", context=context, account=topup.account)


def _owner_of(topup: TopUp) -> User | None:
    owners = topup.account.memberships.filter(role=Membership.Role.OWNER).select_related("user").order_by("pk")
    first = owners.first()
    return first.user if first else None
