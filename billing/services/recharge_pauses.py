"""When an automatic recharge waits although little is left: after money went back to the customer.

A refund, a dispute or a correction is no spending, so the card is not charged again to make up for it. The recharge
goes on by itself once the threshold is reached again, or when its customer switches it on again.

The recharge's row is locked last of all: whoever holds it locks nothing else.
"""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from accounts.services import audit
from accounts.services.mail import queue_mail
from billing.models import AutoRecharge, LedgerAccount
from billing.people import notice_address
from billing.selectors import balance_of


def with_available() -> QuerySet[Any]:
    """Recharges that are on, annotated with ``available``: what their account can spend, credit included."""
    wallet = {"account__ledger_accounts__kind": LedgerAccount.Kind.WALLET}
    return AutoRecharge.objects.filter(
        is_on=True, account__ledger_accounts__currency=F("account__currency"), **wallet
    ).annotate(
        available=F("account__ledger_accounts__balance")
        + F("account__ledger_accounts__credit_limit")
        + F("account__ledger_accounts__overdraft_limit")
    )


def pause_recharge(*, account: Account, reason: str, key: str) -> bool:
    """Pause the account's recharge if less than its threshold is left, and tell the customer; False when it goes on.

    Runs in the transaction that took the money out. ``reason`` reads on after "after", ``key`` names the movement.
    """
    wanted = AutoRecharge.objects.select_for_update(of=("self",)).filter(account=account, is_on=True, paused_at=None)
    found = wanted.select_related("card").first()
    if found is None or (available := balance_of(account).available) >= found.threshold:
        return False
    found.paused_at, found.paused_for = timezone.now(), reason[:200]
    found.save(update_fields=["paused_at", "paused_for"])
    audit.record(account=account, actor=None, action="recharge.paused", subject=key, reason=found.paused_for)
    _mail(account, found, available, key)
    return True


def resume_covered(account: Account | None = None) -> int:
    """Let recharges go on whose threshold is reached again, the account's or everyone's; returns how many."""
    covered = with_available().filter(paused_at__isnull=False, available__gte=F("threshold"))
    found = covered.filter(account=account) if account else covered
    return sum(_resume(row) for row in found.select_related("account"))


@transaction.atomic
def _resume(row: AutoRecharge) -> bool:
    paused = AutoRecharge.objects.filter(pk=row.pk, paused_at=row.paused_at)
    if not paused.update(paused_at=None, paused_for=""):
        return False
    audit.record(account=row.account, actor=None, action="recharge.resumed", subject=row.account.code)
    return True


def _mail(account: Account, recharge: AutoRecharge, available: Decimal, key: str) -> None:
    address = notice_address(account)
    if address:
        queue_mail(
            key=f"recharge-paused:{key}", to=address, template="billing/mail/recharge_paused", account=account,
            context={
                "recharge": recharge, "available": available,
                "cards_url": settings.SITE_URL + reverse("billing:cards"),
            },
        )  # fmt: skip
