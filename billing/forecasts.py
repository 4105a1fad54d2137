"""What the numbers and keywords that an account pays for will cost it, beside what it has."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from accounts.models import Account
from billing.exceptions import BillingError
from billing.models import Subscription
from billing.months import month_after
from billing.selectors import balance_of, terms_of
from billing.services.service_prices import ServicePrice, accounts_paid_by
from billing.trial import local_date, trial_is_over

# What the next month of each of these subscriptions costs, by id; without those of which nobody can say.
PricesOf = Callable[[Sequence[Subscription]], dict[int, ServicePrice]]
_prices: dict[str, PricesOf] = {}


def register_prices(service: str, prices_of: PricesOf) -> None:
    """Let the room of a service say what its subscriptions cost; called as the portal starts."""
    _prices[service] = prices_of


def one_by_one(price_of: Callable[[Subscription], ServicePrice]) -> PricesOf:
    """For a room that prices its subscriptions singly; what raises BillingError has no price."""

    def prices_of(subscriptions: Sequence[Subscription]) -> dict[int, ServicePrice]:
        found = {}
        for subscription in subscriptions:
            with suppress(BillingError):
                found[subscription.pk] = price_of(subscription)
        return found

    return prices_of


def next_prices(subscriptions: Iterable[Subscription]) -> dict[int, ServicePrice]:
    """What the subscriptions' next months cost, by id, as things are now."""
    by_service: defaultdict[str, list[Subscription]] = defaultdict(list)
    for subscription in subscriptions:
        by_service[subscription.service].append(subscription)
    return {pk: price for service, rows in by_service.items() for pk, price in _prices[service](rows).items()}


@dataclass(frozen=True)
class Due:
    """A renewal on a day: ``amount`` leaves the payer's wallet, ``balance_after`` could then be spent.

    Below zero the balance does not cover it. A day in the past: it is due now, and was not paid.
    """

    day: date
    label: str
    amount: Decimal
    balance_after: Decimal
    subscription: Subscription

    @property
    def is_covered(self) -> bool:
        return self.balance_after >= 0


def forecast(account: Account, days: int = 60, now: datetime | None = None) -> list[Due]:
    """Every renewal that the account pays until ``days`` from today, in the order of days.

    At today's prices, and as if nothing else came or went. Empty for an account without money of its own.
    """
    today = local_date(account, now)
    running = paid_by(account)
    prices = next_prices(running)
    coming = [
        (day, subscription)
        for subscription in running
        if subscription.pk in prices
        for day in days_of(subscription, today + timedelta(days=days))
    ]
    left = spendable(account, now)
    dues = []
    for day, subscription in sorted(coming, key=lambda one: (one[0], one[1].pk)):
        amount = prices[subscription.pk].net
        left -= amount
        dues.append(Due(day, subscription.label, amount, left, subscription))
    return dues


def spendable(account: Account, now: datetime | None = None) -> Decimal:
    """What renewals can take out of the account's wallet now: nothing while it is frozen or its trial is over."""
    balance = balance_of(account)
    is_stopped = balance.is_frozen or trial_is_over(terms_of(account), now)
    return min(balance.available, Decimal(0)) if is_stopped else balance.available


def paid_by(account: Account) -> list[Subscription]:
    """The running subscriptions that the account's money pays for: its own, and those of clients it pays for."""
    running = Subscription.objects.filter(account__in=accounts_paid_by(account)).exclude(state=Subscription.State.ENDED)
    return list(running.select_related("account").order_by("next_renewal_on", "pk"))


def days_of(subscription: Subscription, until: date) -> list[date]:
    """The days on which the subscription renews, from the first unpaid one until ``until``, included."""
    days, day = [], subscription.next_renewal_on
    while day <= until:
        days.append(day)
        day = month_after(day, subscription.anchor_day)
    return days
