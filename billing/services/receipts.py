"""Receipts of card payments: the mail is an outbox row of the transaction that credits the money."""

import zoneinfo

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, User
from accounts.services.mail import queue_mail
from billing.models import TopUp
from billing.selectors import balance_after


def queue_receipt(topup: TopUp) -> None:
    """Put the receipt into the outbox, for whoever paid, else for the account's owner; once per top-up.

    Runs in the transaction that credits the top-up.
    """
    payer = topup.created_by or _owner_of(topup)
    if payer is None:
        return
    context: dict[str, object] = {
        "topup": topup,
        "payer": payer,
        "balance_after": balance_after(topup),
        "receipt_url": settings.SITE_URL + reverse("billing:topup-detail", args=[topup.code]),
        "zone": topup.account.time_zone.replace("_", " "),
    }
    with timezone.override(zoneinfo.ZoneInfo(topup.account.time_zone)):
        queue_mail(
            key=f"receipt:{topup.code}", to=payer.email, template="billing/mail/receipt", context=context,
            account=topup.account,
        )  # fmt: skip


def _owner_of(topup: TopUp) -> User | None:
    owners = topup.account.memberships.filter(role=Membership.Role.OWNER).select_related("user").order_by("pk")
    first = owners.first()
    return first.user if first else None
