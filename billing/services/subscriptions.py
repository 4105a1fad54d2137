"""Numbers and keywords, paid by the month: begun, renewed, short of money, ended (PRODUCT.md, money rules 5 and 6).

Locks are taken in the order subscription, rows of the service's own room, wallets. Days are the account's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from accounts.models import Account, User
from accounts.selectors import suspended_in_line
from accounts.services import audit
from billing.exceptions import (
    BillingError,
    InsufficientFunds,
    ServiceRefused,
    SubscriptionOver,
    TermsChanged,
    WalletFrozen,
)
from billing.forecasts import Due as Due
from billing.forecasts import forecast as forecast
from billing.forecasts import spendable
from billing.models import Subscription
from billing.months import month_after
from billing.selectors import balance_of
from billing.services.service_movements import charge
from billing.services.service_prices import Line, ServicePrice, money_payer_of
from billing.subscription_models import ServiceCharge
from billing.trial import local_date, trial_is_over
from billing.wording import money_text

State = Subscription.State
Part = ServiceCharge.Part
# No place on earth is further ahead of UTC.
FURTHEST_AHEAD = timedelta(hours=14)
log = structlog.get_logger(__name__)

PriceOf = Callable[[Subscription], ServicePrice]
Deed = Callable[[Subscription], object]


# --- Begin and end -------------------------------------------------------------------------------------------------


@transaction.atomic
def start(
    *, account: Account, service: str, label: str, first: ServicePrice, setup: ServicePrice | None,
    actor: User | None, now: datetime,
) -> Subscription:  # fmt: skip
    """Begin a subscription today: its set-up and its first month are charged, or nothing is.

    ``service``: Subscription.Service. ``label``: what statements and mails call it, up to 80 characters. Raises
    ServiceRefused (suspended, or the payer's trial is over), InsufficientFunds and WalletFrozen, all in words for
    somebody of the account, and TermsChanged.
    """
    _check_may_begin(account, now)
    today = local_date(account, now)
    subscription = Subscription.objects.create(
        account=account, service=service, label=label, anchor_day=today.day, next_renewal_on=today, created_at=now
    )
    try:
        with transaction.atomic():
            if setup is not None:
                _charge(subscription, Part.SETUP, today, today, setup, actor)
            _charge_month(subscription, first, actor)
    except (InsufficientFunds, WalletFrozen) as error:
        raise _unpaid(error, account, first, setup) from error
    subscription.save(update_fields=["next_renewal_on"])
    audit.record(
        account=account, actor=actor, action=f"{service}.started", subject=subscription.code, label=label,
        monthly=f"{first.amount:.6f}", setup=f"{setup.amount if setup else 0:.6f}",
    )  # fmt: skip
    return subscription


def _check_may_begin(account: Account, now: datetime) -> None:
    """Raises ServiceRefused for an account that may spend nothing; names no other account."""
    if suspended_in_line(account) is not None:
        raise ServiceRefused("This account is suspended, so nothing can be bought. Ask whoever manages it.")
    terms = Line(account).payer_terms
    if not trial_is_over(terms, now):
        return
    if terms.account_id != account.pk:
        raise ServiceRefused("Nothing can be bought for this account at the moment. Ask whoever manages it.")
    raise ServiceRefused(
        f"The trial of this account ended on {terms.trial_ends_on:%Y-%m-%d}, so nothing can be bought. "
        "Add credit to go on."
    )


def _unpaid(
    error: BillingError, account: Account, first: ServicePrice, setup: ServicePrice | None
) -> InsufficientFunds | WalletFrozen:
    """Why it was not paid; amounts only for an account that pays for itself (PRODUCT.md, money rule 3)."""
    if first.payer != account:
        return InsufficientFunds("This cannot be paid for at the moment. Ask whoever manages the account.")
    if isinstance(error, WalletFrozen):
        return error
    cost = first.net + (setup.net if setup else 0)
    available = balance_of(account).available
    costs, has = money_text(cost, first.currency), money_text(available, first.currency)
    missing = money_text(cost - available, first.currency)
    return InsufficientFunds(
        f"This costs {costs} now and your balance is {has}: {missing} are missing. Add credit first.", cost - available
    )


@transaction.atomic
def end(subscription: Subscription, *, actor: User | None, now: datetime) -> Subscription:
    """End it now; what is paid stays paid. Raises SubscriptionOver when it has ended before."""
    locked = lock(subscription.pk)
    if locked.state == State.ENDED:
        raise SubscriptionOver(f"{locked.label} has been given up already; reload the page.")
    _end(locked, actor, now)
    return locked


def lock(subscription_id: int) -> Subscription:
    """The subscription as it is now, locked until the transaction ends; the first lock of whoever takes several."""
    found = Subscription.objects.select_for_update(of=("self",)).select_related("account")
    return found.get(pk=subscription_id)


def _end(subscription: Subscription, actor: User | None, now: datetime, **why: str) -> None:
    subscription.state, subscription.ended_at = State.ENDED, now
    subscription.save(update_fields=["state", "ended_at"])
    _note(subscription, "ended", actor, **why)


def _note(subscription: Subscription, deed: str, actor: User | None = None, **data: str) -> None:
    audit.record(
        account=subscription.account, actor=actor, action=f"{subscription.service}.{deed}", subject=subscription.code,
        label=subscription.label, **data,
    )  # fmt: skip


# --- Charges -------------------------------------------------------------------------------------------------------


def _charge_month(subscription: Subscription, price: ServicePrice, actor: User | None) -> None:
    """Charge the first month that is not paid for; the caller saves ``next_renewal_on``."""
    begins = subscription.next_renewal_on
    ends = month_after(begins, subscription.anchor_day)
    _charge(subscription, Part.MONTH, begins, ends, price, actor)
    subscription.next_renewal_on = ends


def _charge(
    subscription: Subscription, part: str, begins: date, ends: date, price: ServicePrice, actor: User | None
) -> None:
    """Raises InsufficientFunds, WalletFrozen, DuplicateMovement, and TermsChanged when somebody else pays by now."""
    is_setup = part == Part.SETUP
    last = ends - timedelta(days=1)
    movement = charge(
        kind=subscription.service,
        key=f"setup:{subscription.code}" if is_setup else f"renewal:{subscription.code}:{begins}",
        account=subscription.account, price=price, reference=subscription.code, actor=actor,
        description=f"{subscription.label}, {'set-up' if is_setup else f'{_words(begins)} to {_words(last)}'}",
    )  # fmt: skip
    ServiceCharge.objects.create(
        subscription=subscription, part=part, begins_on=begins, ends_on=ends, payer=price.payer,
        currency=price.currency, amount=price.amount, transaction=movement,
        earnings=[[pk, f"{share:.6f}"] for pk, share in sorted(price.earnings.items())],
    )  # fmt: skip
    # The wallet is locked now, and a switch of who pays waits for it: what holds here holds until the commit.
    if money_payer_of(subscription.account) != price.payer:
        raise TermsChanged("Who pays for this account has just been changed. Try again.")


def _words(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


# --- Renewals ------------------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What one run did: ``months`` charged, subscriptions by what became of them, and ``failed``, which are logged."""

    months: int = 0
    grace: int = 0
    suspended: int = 0
    resumed: int = 0
    ended: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Run:
    """One run of renewals of a service, with what its own room says and does."""

    price_of: PriceOf
    on_suspend: Deed
    on_resume: Deed
    on_end: Deed
    now: datetime
    counts: Counts


def _nothing(subscription: Subscription) -> None:
    """Where a room keeps nothing of its own about a step."""


def renew_due(
    service: str,
    *,
    price_of: PriceOf,
    on_suspend: Deed = _nothing,
    on_resume: Deed = _nothing,
    on_end: Deed,
    now: datetime,
) -> Counts:
    """Charge every month of a service that has begun and is not paid for; may run late, twice and side by side.

    One transaction a subscription. While money is missing it works for settings.RENEWAL_GRACE_DAYS, then stands still
    for settings.RENEWAL_SUSPENDED_DAYS, then ends; it is paid as soon as there is money. The callbacks run in the
    transaction, with the subscription as it has become.
    """
    run = _Run(price_of, on_suspend, on_resume, on_end, now, Counts())
    due = Subscription.objects.filter(service=service, next_renewal_on__lte=(now + FURTHEST_AHEAD).date())
    for pk in list(due.exclude(state=State.ENDED).order_by("next_renewal_on", "pk").values_list("pk", flat=True)):
        try:
            _renew(pk, run)
        except Exception:
            # One that cannot be priced, or whose room refuses, must not keep the others from being renewed.
            run.counts.failed += 1
            log.exception("renewal_failed", service=service, subscription=pk)
    return run.counts


@transaction.atomic
def _renew(pk: int, run: _Run) -> None:
    subscription = _claim(pk)
    if subscription is None:
        return
    today = local_date(subscription.account, run.now)
    if subscription.next_renewal_on > today:
        return
    before = subscription.state
    if _pay_what_is_due(subscription, today, run):
        _go_on(subscription, before, run)
    else:
        _go_without(subscription, today, run)


def _claim(pk: int) -> Subscription | None:
    """The subscription, locked; None when it has ended, or while another run has it."""
    waiting = Subscription.objects.select_for_update(of=("self",), skip_locked=True).exclude(state=State.ENDED)
    return waiting.select_related("account").filter(pk=pk).first()


def _pay_what_is_due(subscription: Subscription, today: date, run: _Run) -> bool:
    """Charge month by month, the oldest first, what has begun by ``today``; whether all of it is paid."""
    price = run.price_of(subscription)
    while subscription.next_renewal_on <= today:
        if _stood_still(subscription, today):
            _skip_month(subscription, price)
            continue
        # Looked at before it is tried: who has no money for days would otherwise fail in the database every minute.
        if price.net > 0 and spendable(price.payer, run.now) < price.net:
            break
        try:
            with transaction.atomic():
                _charge_month(subscription, price, None)
        except (InsufficientFunds, WalletFrozen):
            break
        run.counts.months += 1
    subscription.save(update_fields=["next_renewal_on"])
    return subscription.next_renewal_on > today


def _stood_still(subscription: Subscription, today: date) -> bool:
    """Whether the next month to pay for is over, and the service was suspended through all of it."""
    since, begins = subscription.suspended_since, subscription.next_renewal_on
    return since is not None and since <= begins and month_after(begins, subscription.anchor_day) <= today


def _skip_month(subscription: Subscription, price: ServicePrice) -> None:
    begins = subscription.next_renewal_on
    subscription.next_renewal_on = month_after(begins, subscription.anchor_day)
    ServiceCharge.objects.create(
        subscription=subscription, part=Part.PAUSED, begins_on=begins, ends_on=subscription.next_renewal_on,
        payer=price.payer, currency=price.currency, amount=0,
    )  # fmt: skip


def _go_on(subscription: Subscription, before: str, run: _Run) -> None:
    if before == State.ACTIVE:
        return
    subscription.state, subscription.due_since, subscription.suspended_since = State.ACTIVE, None, None
    subscription.save(update_fields=["state", "due_since", "suspended_since"])
    if before == State.SUSPENDED:
        run.counts.resumed += 1
        _note(subscription, "resumed")
        run.on_resume(subscription)


def _go_without(subscription: Subscription, today: date, run: _Run) -> None:
    """One step on the way from unpaid to ended; each takes its days, also when the task comes late."""
    due, suspended = subscription.due_since, subscription.suspended_since
    if due is None:
        subscription.state, subscription.due_since = State.GRACE, today
        run.counts.grace += 1
        subscription.save(update_fields=["state", "due_since"])
    elif suspended is None and today >= due + timedelta(days=settings.RENEWAL_GRACE_DAYS):
        subscription.state, subscription.suspended_since = State.SUSPENDED, today
        subscription.save(update_fields=["state", "suspended_since"])
        run.counts.suspended += 1
        _note(subscription, "suspended", reason="not paid")
        run.on_suspend(subscription)
    elif suspended is not None and today >= suspended + timedelta(days=settings.RENEWAL_SUSPENDED_DAYS):
        _end(subscription, None, run.now, reason="not paid")
        run.counts.ended += 1
        run.on_end(subscription)
