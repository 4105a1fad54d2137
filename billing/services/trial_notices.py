"""Mails to a client about its trial: ahead of its end and once it has ended (billing/trial.py counts the days).

A mail's key names the stage and the last day, so that each is sent once, and a trial that is extended is told of anew.
"""

import zoneinfo
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts.models import Account, OutgoingMail
from accounts.services.mail import queue_mail
from billing.models import BillingTerms
from billing.people import notice_address
from billing.selectors import balance_of

# Whole days before the last day of the trial.
EARLY, LATE = 3, 1
# Reminders go out in the client's daytime; that sending stopped is told at once.
REMIND_FROM = time(9)
# An end that is longer ago is no news: the portal stood still, or terms were brought in from elsewhere.
NEWS_FOR = timedelta(days=7)
# Dates differ between time zones by less than this.
ZONES_APART = timedelta(days=1)


class Stage(StrEnum):
    EARLY = "early"
    LATE = "late"
    OVER = "over"


def send_trial_notices(now: datetime) -> int:
    """Queue the mails that trials call for now; returns how many are new."""
    due = [(terms, stage) for terms in _near_their_end(now) if (stage := stage_of(terms, now))]
    sent = OutgoingMail.objects.filter(key__in=[_key(*one) for one in due]).values_list("key", flat=True)
    known = set(sent)
    return sum(_mail(terms, stage, now) for terms, stage in due if _key(terms, stage) not in known)


def _near_their_end(now: datetime) -> list[BillingTerms]:
    """Terms of active accounts whose trial ends soon or ended lately, in every time zone."""
    today = now.date()
    found = BillingTerms.objects.filter(
        trial_closed_at=None, account__status=Account.Status.ACTIVE,
        trial_ends_on__gte=today - NEWS_FOR - ZONES_APART,
        trial_ends_on__lte=today + timedelta(days=EARLY) + ZONES_APART,
    )  # fmt: skip
    return list(found.exclude(method__in=BillingTerms.PARENT_PAYS).select_related("account__parent").order_by("pk"))


def stage_of(terms: BillingTerms, now: datetime) -> Stage | None:
    """Which mail a trial calls for at a moment, by the account's own clock; None for none.

    A trial that is as short as the early reminder's notice calls for no such reminder.
    """
    if not terms.on_trial or terms.trial_ends_on is None:
        return None
    zone = zoneinfo.ZoneInfo(terms.account.time_zone)
    local, made_on = now.astimezone(zone), terms.account.created_at.astimezone(zone).date()
    left = (terms.trial_ends_on - local.date()).days
    if left < 0:
        return Stage.OVER if timedelta(days=-left) <= NEWS_FOR else None
    if left > EARLY or local.time() < REMIND_FROM:
        return None
    if left <= LATE:
        return Stage.LATE if made_on < local.date() else None
    return Stage.EARLY if (terms.trial_ends_on - made_on).days > EARLY else None


def _key(terms: BillingTerms, stage: Stage) -> str:
    return f"trial-{stage}:{terms.account.code}:{terms.trial_ends_on}"


@transaction.atomic
def _mail(terms: BillingTerms, stage: Stage, now: datetime) -> bool:
    account, address = terms.account, notice_address(terms.account)
    if not address or terms.trial_ends_on is None:
        return False
    ends_on: date = terms.trial_ends_on
    today = now.astimezone(zoneinfo.ZoneInfo(account.time_zone)).date()
    page = "billing:add-credit" if terms.pays_by_card else "dashboard"
    queue_mail(
        key=_key(terms, stage), to=address, template="billing/mail/trial_end", account=account,
        context={
            "ends_on": ends_on, "days": (ends_on - today).days, "is_over": stage == Stage.OVER,
            "zone": account.time_zone.replace("_", " "), "pays_by_card": terms.pays_by_card,
            "balance": balance_of(account), "url": settings.SITE_URL + reverse(page),
        },
    )  # fmt: skip
    return True
