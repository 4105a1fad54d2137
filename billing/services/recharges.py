"""Adding credit automatically from a saved card when less than a threshold is available (issue: auto-recharge).

One attempt at a time for an account, under its terms' row lock and, beneath it, a unique index. Locks are taken in the
order terms, top-up, wallets, recharge; the gateway is called with nothing locked.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from accounts.prepared import fetch_prepared
from accounts.selectors import suspended_in_line
from accounts.services import audit
from accounts.services.mail import queue_mail
from billing.exceptions import BillingError, NotAllowed, TopUpRefused
from billing.gateways.exceptions import GatewayError
from billing.models import AutoRecharge, BillingTerms, SavedCard, TopUp
from billing.people import notice_address
from billing.selectors import balance_of
from billing.services import cards, topups
from billing.services.recharge_pauses import resume_covered, with_available
from billing.services.topup_limits import CHECKOUT_LIFETIME, check_amount, check_method, room_of
from billing.wording import money_text

log = structlog.get_logger(__name__)

# The task that looks at one account: a hint of whoever has just spent its money (the sweep finds what it misses).
RECHARGE = "billing.tasks.recharge_account"
# Asked after every group of messages: most accounts have no recharge, and balances are looked at for the others only.
_WATCHED = """
    SELECT account_id FROM billing_autorecharge WHERE account_id = ANY(%(accounts)s::bigint[]) AND is_on
"""
MOST_FAILURES = 3
FIRST_PAUSE = timedelta(minutes=15)
# How long a daily limit that has no room is left alone when nobody can say when it frees up.
FULL_PAUSE = timedelta(hours=1)


def set_recharge(
    *, account: Account, threshold: Decimal, amount: Decimal, card: SavedCard, actor: User
) -> AutoRecharge:
    """Switch it on, or change it, with the consent that ``actor`` just gave.

    Raises NotAllowed (no card method, card removed, threshold below zero) and TopUpRefused (amount not within the
    terms), with nothing written.
    """
    with transaction.atomic():
        terms = topups.locked_terms(account)
        if not terms.pays_by_card:
            raise NotAllowed(f"{account.name} does not add credit by card.")
        if card.account_id != account.pk or card.removed_at is not None:
            raise NotAllowed("This card is not kept any more; choose another.")
        if threshold < 0:
            raise NotAllowed(f"Threshold {money_text(threshold, account.currency)}: enter 0 or more.")
        check_method(terms, amount)
        made, _ = AutoRecharge.objects.update_or_create(
            account=account,
            defaults={
                "is_on": True, "threshold": threshold, "amount": amount, "card": card, "consent_by": actor,
                "consent_at": timezone.now(), "failures": 0, "next_try_at": timezone.now(), "last_error": "",
                "paused_at": None, "paused_for": "",
            },
        )  # fmt: skip
        audit.record(
            account=account, actor=actor, action="recharge.on", subject=card.code, threshold=f"{threshold:.6f}",
            amount=f"{amount:.6f}",
        )  # fmt: skip
    return made


@transaction.atomic
def stop_recharge(*, account: Account, actor: User) -> bool:
    """Switch it off; False when it was off. An attempt that is under way is finished."""
    if not AutoRecharge.objects.filter(account=account, is_on=True).update(is_on=False):
        return False
    audit.record(account=account, actor=actor, action="recharge.off")
    return True


def sweep_recharges(now: datetime) -> int:
    """Recharge every account that fell below its threshold and may be tried now; returns how many were charged."""
    resume_covered()
    due = _due(now).select_related("account").order_by("next_try_at")
    return sum(recharge(row.account) is not None for row in due)


def due_among(account_ids: Collection[int]) -> list[int]:
    """Which of these accounts are to be recharged now: whoever has just spent their money asks for them (RECHARGE)."""
    watched = [pk for (pk,) in fetch_prepared(_WATCHED, {"accounts": list(account_ids)})]
    return [*_due(timezone.now()).filter(account__in=watched).values_list("account", flat=True)] if watched else []


def look_at(account_id: int, now: datetime) -> TopUp | None:
    """As the sweep, for one account whose balance may have fallen a moment ago."""
    found = _due(now).filter(account=account_id).select_related("account").first()
    return recharge(found.account) if found else None


def _due(now: datetime) -> QuerySet[Any]:
    return with_available().filter(paused_at=None, next_try_at__lte=now, available__lt=F("threshold"))


def recharge(account: Account) -> TopUp | None:
    """Charge the account's card if less than its threshold is available; returns the attempt, None without one."""
    topup = _reserve(account)
    if topup is None:
        return None
    try:
        cards.charge(topup)
    except GatewayError as error:  # nobody knows yet whether it was charged; the sweep of charges asks again
        log.warning("recharge.no_answer", topup=topup.code, detail=error.detail)
    topup.refresh_from_db()
    return topup


@transaction.atomic
def _reserve(account: Account) -> TopUp | None:
    """Check and write the attempt under the lock of the account's terms, as every other top-up is."""
    terms = topups.locked_terms(account)
    wanted = AutoRecharge.objects.select_for_update().filter(account=account).first()
    now = timezone.now()
    if wanted is None or not wanted.is_on or wanted.card is None or wanted.paused_at or wanted.next_try_at > now:
        return None
    balance = balance_of(account)
    if _in_flight(account) or balance.is_frozen or balance.available >= wanted.threshold:
        return None  # frozen: a card whose payment is disputed is not charged again meanwhile
    if suspended_in_line(account) is not None:
        return None  # nobody of it can log in to switch this off, and nothing can be sent with the money
    if not _may_add(wanted, terms, now):
        return None
    topup = TopUp.objects.create(
        account=account, amount=wanted.amount, currency=account.currency, way=TopUp.Way.RECHARGE,
        saved_card=wanted.card, card=str(wanted.card), created_by=wanted.consent_by, created_at=now,
        expires_at=now + CHECKOUT_LIFETIME,
    )  # fmt: skip
    audit.record(account=account, actor=None, action="recharge.started", subject=topup.code, amount=str(topup.amount))
    return topup


def _may_add(wanted: AutoRecharge, terms: BillingTerms, now: datetime) -> bool:
    """Whether its amount may be added now. Postponed where it may later, switched off where the terms have changed."""
    try:
        if terms.pays_by_card:
            check_method(terms, wanted.amount)
    except TopUpRefused as error:
        _end(wanted, str(error))
        return False
    try:
        check_amount(terms=terms, amount=wanted.amount, now=now)
    except TopUpRefused as error:
        release = room_of(terms, now).release_for(wanted.amount)
        _postpone(wanted, release[0] if release else now + FULL_PAUSE, str(error))
        return False
    except BillingError as error:
        _postpone(wanted, now + FULL_PAUSE, str(error))
        return False
    return True


def _end(wanted: AutoRecharge, problem: str) -> None:
    """Switch it off, as the account may not add its amount any more, and tell the customer: it agreed to no other."""
    wanted.is_on, wanted.last_error = False, problem[:300]
    wanted.save(update_fields=["is_on", "last_error"])
    audit.record(account=wanted.account, actor=None, action="recharge.off", reason=wanted.last_error)
    address = notice_address(wanted.account)
    if address:
        queue_mail(
            key=f"recharge-ended:{wanted.account.code}:{wanted.consent_at:%Y%m%dT%H%M%S.%f}", to=address,
            template="billing/mail/recharge_ended", account=wanted.account,
            context={
                "recharge": wanted, "problem": problem, "cards_url": settings.SITE_URL + reverse("billing:cards"),
            },
        )  # fmt: skip


def _in_flight(account: Account) -> bool:
    return TopUp.objects.filter(account=account, way=TopUp.Way.RECHARGE, state=TopUp.State.PENDING).exists()


def _postpone(wanted: AutoRecharge, until: datetime, why: str) -> None:
    wanted.next_try_at, wanted.last_error = until, why[:300]
    wanted.save(update_fields=["next_try_at", "last_error"])


def note_success(topup: TopUp) -> None:
    """The card was charged: failures begin to count anew."""
    if topup.way == TopUp.Way.RECHARGE:
        AutoRecharge.objects.filter(account=topup.account_id).update(failures=0, last_error="")


@transaction.atomic
def note_failure(topup: TopUp, problem: str, *, needs_customer: bool) -> None:
    """Count a declined attempt: try later, ask the customer to pay where the bank wants them, give up after three."""
    wanted = AutoRecharge.objects.select_for_update().filter(account=topup.account_id).first()
    if wanted is None:
        return
    wanted.failures = F("failures") + 1
    wanted.last_error = problem[:300]
    wanted.save(update_fields=["failures", "last_error"])
    wanted.refresh_from_db()
    wanted.next_try_at = timezone.now() + FIRST_PAUSE * 2 ** (wanted.failures - 1)
    gives_up = wanted.failures >= MOST_FAILURES
    if gives_up and wanted.is_on:
        wanted.is_on = False
        audit.record(account=topup.account, actor=None, action="recharge.off", subject=topup.code, reason=problem[:300])
    wanted.save(update_fields=["next_try_at", "is_on"])
    if gives_up or needs_customer:
        _mail(topup, wanted, problem, needs_customer=needs_customer)


def _mail(topup: TopUp, wanted: AutoRecharge, problem: str, *, needs_customer: bool) -> None:
    address = notice_address(topup.account)
    if not address:
        return
    pay = f"{settings.SITE_URL}{reverse('billing:add-credit')}?amount={topup.amount.normalize():f}"
    queue_mail(
        key=f"recharge:{topup.code}", to=address, template="billing/mail/recharge_failed", account=topup.account,
        context={
            "topup": topup, "recharge": wanted, "problem": problem, "needs_customer": needs_customer, "pay_url": pay,
            "cards_url": settings.SITE_URL + reverse("billing:cards"),
        },
    )  # fmt: skip
