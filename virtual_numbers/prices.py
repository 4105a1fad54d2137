"""What a number costs an account: base price and margins down to who pays (PRODUCT.md, money rule 6)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Account
from billing.exceptions import NoPrice
from billing.models import Subscription
from billing.services.service_prices import Line, ServicePrice
from virtual_numbers.models import Lease, NumberPrice, NumberTerms, VirtualNumber


@dataclass(frozen=True)
class Offer:
    """A number's price of a month, and what is paid once for its set-up, with who pays and who earns."""

    monthly: ServicePrice
    setup: ServicePrice

    @property
    def now(self) -> Decimal:
        """What leasing it takes out of the payer's wallet at once: set-up and first month."""
        return self.monthly.amount + self.setup.amount


class NumberPrices:
    """All prices of one account at one moment; load once for a list of numbers."""

    def __init__(self, account: Account) -> None:
        self._line = Line(account)
        self.payer = self._line.payer
        self.currency = account.currency
        self._shares = self._load_shares()

    def _load_shares(self) -> list[tuple[Account, Decimal]]:
        """The margins on the way from the platform to the payer, each with the account that is charged it."""
        accounts = self._line.down_to_payer()
        terms = NumberTerms.objects.in_bulk([account.pk for account in accounts])
        return [(account, terms[account.pk].margin) for account in accounts if account.pk in terms]

    def offers(self, numbers: Iterable[VirtualNumber]) -> dict[int, Offer]:
        """The offers of those numbers, by id, that the platform has priced in the account's currency."""
        prices = NumberPrice.objects.filter(number__in=list(numbers), currency=self.currency)
        return {price.number_id: self._offer(price) for price in prices}

    def _offer(self, base: NumberPrice) -> Offer:
        margins = sum((margin for _, margin in self._shares), Decimal(0))
        # What the platform adds for a direct client of its own is its revenue.
        earned = [
            (account.parent_id, margin)
            for account, margin in self._shares
            if account.parent_id and not account.is_direct
        ]
        return Offer(self._line.price(base.monthly + margins, earned), self._line.price(base.setup, []))


def price_for(account: Account, number: VirtualNumber) -> Offer:
    """What the number costs the account. Raises NoPrice and NotAllowed (nobody pays for the account)."""
    prices = NumberPrices(account)
    offer = prices.offers([number]).get(number.pk)
    if offer is None:
        raise NoPrice(f"{number} has no price in {prices.currency}; choose another number, or ask whoever manages you.")
    return offer


def price_of(subscription: Subscription) -> ServicePrice:
    """What the next month of a leased number costs who leases it. Raises as price_for."""
    lease = subscription.lease
    return price_for(subscription.account, lease.number).monthly


def prices_of(subscriptions: Sequence[Subscription]) -> dict[int, ServicePrice]:
    """What the next months of leased numbers cost, by the subscription's id; without numbers that have no price."""
    found = Lease.objects.filter(subscription__in=subscriptions).select_related("number", "account")
    by_account: defaultdict[Account, list[Lease]] = defaultdict(list)
    for lease in found:
        by_account[lease.account].append(lease)
    prices: dict[int, ServicePrice] = {}
    for account, leases in by_account.items():
        offers = NumberPrices(account).offers([lease.number for lease in leases])
        priced = [lease for lease in leases if lease.number_id in offers]
        prices |= {lease.subscription_id: offers[lease.number_id].monthly for lease in priced}
    return prices
