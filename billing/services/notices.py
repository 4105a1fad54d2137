"""Low-balance notices: once each time that an account's balance falls below its notification limit (seed 2)."""

import zoneinfo
from collections import defaultdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from accounts.services.mail import queue_mail
from billing.low_balances import LowAccount, watched
from billing.models import NoticeTerms
from billing.people import notice_address

EDITABLE = {"limit", "credits_limit", "email", "tells_of_clients"}
AT_ONCE = 500


@transaction.atomic
def set_notices(*, account: Account, actor: User | None, **values: Any) -> NoticeTerms:
    """Change when and where the account hears of a low balance (keys of EDITABLE).

    A limit that the balance is below already counts as crossed: the next mail comes after the balance rose above it.
    """
    unknown = set(values) - EDITABLE
    if unknown:
        raise TypeError(f"unknown notice terms: {sorted(unknown)}")
    NoticeTerms.objects.get_or_create(account=account)
    terms = NoticeTerms.objects.select_for_update().get(account=account)
    changed = {key: value for key, value in values.items() if getattr(terms, key) != value}
    if not changed:
        return terms
    before = {key: str(getattr(terms, key)) for key in changed}
    NoticeTerms.objects.filter(account=account).update(**changed)
    if {"limit", "credits_limit"} & set(changed):
        is_low = watched().filter(account=account, available__lt=F("threshold")).exists()
        NoticeTerms.objects.filter(account=account).update(is_low=is_low, low_since=timezone.now() if is_low else None)
    audit.record(
        account=account, actor=actor, action="notices.updated", subject=account.code, before=before,
        after={key: str(value) for key, value in changed.items()},
    )  # fmt: skip
    terms.refresh_from_db()
    return terms


def send_notices(now: datetime) -> int:
    """Note every balance that crossed its limit since the last time, and queue the mails; returns how many fell.

    One statement finds the accounts whose state changed, whatever the number of wallets. Runs side by side share the
    work: each takes rows that no other holds.
    """
    _note_risen()
    fell = _note_fallen(now)
    return len(fell)


def _changed() -> QuerySet[Any]:
    below = ExpressionWrapper(Q(available__lt=F("threshold")), output_field=BooleanField())
    return watched().annotate(below=below)


def _note_risen() -> None:
    risen = _changed().filter(is_low=True, below=False).values_list("pk", flat=True)
    NoticeTerms.objects.filter(pk__in=list(risen)).update(is_low=False, low_since=None)


@transaction.atomic
def _note_fallen(now: datetime) -> list[LowAccount]:
    found = _changed().filter(is_low=False, below=True).select_related("account__parent").order_by("pk")
    rows = list(found.select_for_update(of=("self",), skip_locked=True)[:AT_ONCE])
    NoticeTerms.objects.filter(pk__in=[row.pk for row in rows]).update(is_low=True, low_since=now)
    fell = [LowAccount.of(row) for row in rows]
    for low in fell:
        _mail_account(low, now)
    by_parent: defaultdict[int, list[LowAccount]] = defaultdict(list)
    for low in fell:
        if low.account.parent is not None and not low.account.parent.is_platform:
            by_parent[low.account.parent.pk].append(low)
    for lows in by_parent.values():
        _mail_parent(lows, now)
    return fell


def _mail_account(low: LowAccount, now: datetime) -> None:
    address = notice_address(low.account)
    if not address:
        return
    with timezone.override(zoneinfo.ZoneInfo(low.account.time_zone)):
        queue_mail(
            key=f"low-balance:{low.account.code}:{now:%Y%m%dT%H%M%S.%f}", to=address,
            template="billing/mail/low_balance",
            context={"low": low, "billing_url": settings.SITE_URL + reverse("dashboard")},
            account=low.account,
        )  # fmt: skip


def _mail_parent(lows: list[LowAccount], now: datetime) -> None:
    parent = lows[0].account.parent
    if parent is None or not _wants_to_hear_of_clients(parent):
        return
    address = notice_address(parent)
    if address:
        queue_mail(
            key=f"low-clients:{parent.code}:{now:%Y%m%dT%H%M%S.%f}", to=address,
            template="billing/mail/low_clients",
            context={"lows": lows, "clients_url": settings.SITE_URL + reverse("clients:list")}, account=parent,
        )  # fmt: skip


def _wants_to_hear_of_clients(parent: Account) -> bool:
    """Unless it is switched off; never for an account that sees no money itself (PRODUCT.md, money rule 3)."""
    terms = getattr(parent, "billing_terms", None)
    off = NoticeTerms.objects.filter(account=parent, tells_of_clients=False).exists()
    return terms is not None and terms.shows_money and not off
