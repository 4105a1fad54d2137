"""What a margin comes to: the price of one part to a mobile of a country, at the parent and at the client."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.countries import country_name, example_mobile
from accounts.models import Account
from billing.exceptions import BillingError
from billing.models import BillingTerms
from billing.selectors import margin_in
from billing.services.pricing import PriceList


@dataclass(frozen=True)
class PriceExample:
    """Prices of one part in ``currency``; ``error`` is a sentence in place of the prices."""

    country: str
    currency: str
    own: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)
    error: str = ""
    is_of_country: bool = False  # a margin for this country alone

    @property
    def country_name(self) -> str:
        return country_name(self.country)

    @property
    def client(self) -> Decimal:
        """What the client pays (or is billed) for one part."""
        return self.own + self.margin


def example_price(parent: Account, country: str, margin: Decimal) -> PriceExample:
    """The parent's own price for an ordinary mobile of the country, with ``margin`` on top."""
    number = example_mobile(country)
    if not number:
        return PriceExample(country, parent.currency, error="Choose a country to see what a message costs there.")
    try:
        own = PriceList(parent).price_of(number).price
    except BillingError as error:
        return PriceExample(country, parent.currency, error=str(error))
    return PriceExample(country, parent.currency, own, margin)


def client_price(parent: Account, client: Account, terms: BillingTerms | None) -> PriceExample | None:
    """What a part to an ordinary mobile of its own country costs the client, or is billed to it; None without a price.

    A client whose activity the parent pays is billed at the parent's display price (PRODUCT.md, money rule 3).
    """
    if terms is None or terms.method == BillingTerms.Method.SMS_CREDITS:
        return None
    if terms.shows_money:
        return example_price(parent, client.country, margin_in(terms, client.country))
    own = BillingTerms.objects.filter(account=parent).first()
    return example_price(parent, client.country, own.display_margin) if own else None
