"""Mails to who pays for numbers and keywords: ahead of renewals that the balance will not cover, and while unpaid.

One mail a payer and day lists everything; a subscription notes the day on which its payer was told of it last.
"""

import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from accounts.models import Account, OutgoingMail
from accounts.services.mail import queue_mail
from billing.exceptions import NotAllowed
from billing.forecasts import Due, forecast, spendable
from billing.models import Subscription
from billing.people import notice_address
from billing.selectors import terms_of
from billing.services.service_prices import accounts_paid_by, money_payer_of
from billing.services.trial_notices import REMIND_FROM, ZONES_APART
from billing.trial import local_date

State = Subscription.State
# Days before a renewal that the balance will not cover on which its payer is told.
AHEAD = (1, 3, 7)
# An end that is longer ago is no news.
NEWS_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Item:
    """A subscription in the mail: ``amount`` is what has to be paid (None = nobody knows), ``day`` when, or since when.

    ``until``: when the next thing happens to it if nobody pays. ``missing``: what the balance lacks for it.
    """

    subscription: Subscription
    state: str
    day: date
    amount: Decimal | None = None
    missing: Decimal = Decimal(0)
    until: date | None = None
    is_news: bool = True


def send_renewal_notices(now: datetime) -> int:
    """Queue the mails that renewals call for now; returns how many. May run twice: a payer gets one a day."""
    return sum(_tell(payer, now) for payer in _payers(now) if _is_daytime(payer, now))


def _is_daytime(payer: Account, now: datetime) -> bool:
    return now.astimezone(zoneinfo.ZoneInfo(payer.time_zone)).time() >= REMIND_FROM


def _candidates(now: datetime) -> Q:
    """Subscriptions that may call for a mail, in every time zone."""
    soon = now.date() + timedelta(days=max(AHEAD)) + ZONES_APART
    lately = Q(state=State.ENDED, due_since__isnull=False, ended_at__gt=now - NEWS_FOR)
    return (~Q(state=State.ENDED) & Q(next_renewal_on__lte=soon)) | lately


def _payers(now: datetime) -> list[Account]:
    found: dict[int, Account] = {}
    accounts = Account.objects.filter(pk__in=Subscription.objects.filter(_candidates(now)).values("account"))
    for account in accounts.order_by("pk"):
        try:
            payer = money_payer_of(account)
        except NotAllowed:
            continue
        found[payer.pk] = payer
    return list(found.values())


@transaction.atomic
def _tell(payer: Account, now: datetime) -> bool:
    today, address = local_date(payer, now), notice_address(payer)
    key = f"renewals:{payer.code}:{today}"
    if not address or OutgoingMail.objects.filter(key=key).exists():
        return False
    items = list(_items(payer, now))
    if not any(item.is_news for item in items):
        return False
    terms = terms_of(payer)
    queue_mail(
        key=key, to=address, template="billing/mail/renewals", account=payer,
        context={
            "unpaid": [item for item in items if item.state != State.ACTIVE],
            "ahead": [item for item in items if item.state == State.ACTIVE],
            "available": max(Decimal(0), spendable(payer, now)), "pays_by_card": terms and terms.pays_by_card,
            "add_url": settings.SITE_URL + reverse("billing:add-credit"),
            "url": settings.SITE_URL + reverse("billing:forecast"),
        },
    )  # fmt: skip
    for item in items:
        Subscription.objects.filter(pk=item.subscription.pk).update(told_on=local_date(item.subscription.account, now))
    return True


def _items(payer: Account, now: datetime) -> Iterable[Item]:
    """What the payer's mail lists: what is not paid, what ended for it, and what the balance will not cover."""
    dues: dict[int, list[Due]] = {}
    for due in forecast(payer, max(AHEAD), now):
        dues.setdefault(due.subscription.pk, []).append(due)
    found = Subscription.objects.filter(_candidates(now), account__in=accounts_paid_by(payer))
    for subscription in found.select_related("account").order_by("next_renewal_on", "pk"):
        item = _item(subscription, dues.get(subscription.pk, []), local_date(subscription.account, now))
        if item is not None:
            yield item


def _item(subscription: Subscription, dues: list[Due], today: date) -> Item | None:
    state, told = subscription.state, subscription.told_on or date.min
    if subscription.ended_at is not None:
        day = local_date(subscription.account, subscription.ended_at)
        return Item(subscription, state, day) if told < day else None
    if subscription.due_since is None:
        return _ahead(subscription, dues, today, told)
    owed = [due.amount for due in dues if due.day <= today]
    since, days = subscription.due_since, settings.RENEWAL_GRACE_DAYS
    if subscription.suspended_since is not None:
        since, days = subscription.suspended_since, settings.RENEWAL_SUSPENDED_DAYS
    return Item(
        subscription, state, subscription.next_renewal_on, sum(owed, Decimal(0)) if owed else None,
        until=since + timedelta(days=days), is_news=told < today,
    )  # fmt: skip


def _ahead(subscription: Subscription, dues: list[Due], today: date, told: date) -> Item | None:
    """The next renewal, if the balance will not cover it; news once at each of the days AHEAD of it."""
    if not dues or dues[0].is_covered:
        return None
    due, left = dues[0], (dues[0].day - today).days
    stage = next((days for days in AHEAD if left <= days), None)
    if left < 1 or stage is None:
        return None
    is_news = told < due.day - timedelta(days=stage)
    return Item(subscription, subscription.state, due.day, due.amount, -due.balance_after, is_news=is_news)
