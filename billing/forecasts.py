"""What the numbers and keywords that an account pays for will cost it, beside what it has."""

from collections.abc import Callable
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

PriceOf = Callable[[Subscription], ServicePrice]
_prices: dict[str, PriceOf] = {}


def register_prices(service: str, price_of: PriceOf) -> None:
    """Let the room of a service say what the next month of its subscriptions costs; called as the portal starts."""
    _prices[service] = price_of


def next_price(subscription: Subscription) -> ServicePrice:
    """What the subscription's next month costs, as things are now. Raises BillingError where nobody can say."""
    return _prices[subscription.service](subscription)


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
    coming = []
    for subscription in paid_by(account):
        try:
            amount = next_price(subscription).net
        except BillingError:
            continue  # the renewal will say so; nobody knows the amount
        months = days_of(subscription, today + timedelta(days=days))
        coming += [(day, subscription.pk, amount, subscription) for day in months]
    left = spendable(account, now)
    dues = []
    for day, _, amount, subscription in sorted(coming, key=lambda one: one[:2]):
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
