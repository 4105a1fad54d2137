"""What a part costs: the price chain of PRODUCT.md, money rule 2, and who pays it (rule 3)."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial

import phonenumbers
from django.db import transaction
from django.utils import timezone

from accounts.countries import country_name
from accounts.models import Account
from accounts.prepared import fetch_prepared
from billing.exceptions import NoPrice, NotAllowed, NotLocal, TermsChanged
from billing.models import CREDITS, BillingTerms, CountryMargin, Quote, Rate, RateCard, RateOverride

_METHODS = "SELECT account_id, method FROM billing_billingterms WHERE account_id = ANY(%(accounts)s::bigint[])"


@dataclass(frozen=True)
class UnitPrice:
    """The price of one part to a prefix for one sending account, with every level from the platform's client down."""

    prefix: str
    country: str
    chain: tuple[tuple[int, Decimal], ...]  # (account id, its own price), ending with the payer
    display_price: Decimal | None

    @property
    def price(self) -> Decimal:
        """The payer's price of one part."""
        return self.chain[-1][1]

    def earnings(self) -> dict[int, Decimal]:
        """What each account above the payer earns on one part: its child's price less its own."""
        return {
            owner: below - own
            for (owner, own), (_, below) in zip(self.chain, self.chain[1:], strict=False)
            if below != own
        }


def check_payers(lists: "Iterable[PriceList]") -> None:
    """Raises TermsChanged when another account pays by now for one of these, or pays otherwise.

    Call it once the payers' wallets are locked by holds: a change of payer waits for that lock, so what was not
    changed before then is changed after the batch.
    """
    expected = {item for one in lists for item in one.methods.items()}
    found = fetch_prepared(_METHODS, {"accounts": [account for account, _ in expected]})
    if not expected <= set(found):
        raise TermsChanged("Who pays for this account has just been changed. Send it again.")


class PriceList:
    """All prices of one account at one moment; load once per batch, ask for each recipient."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._line = self._load_line()
        self._paying = self._find_paying()
        self.payer = self._paying.account
        self.payer_terms = self._paying
        self.uses_credits = self._paying.method == BillingTerms.Method.SMS_CREDITS
        # What amounts are counted in: the branch's money, or credits.
        self.currency = CREDITS if self.uses_credits else account.currency

    def _load_line(self) -> list[BillingTerms]:
        """Terms from the platform's direct child down to the account."""
        terms = {t.account_id: t for t in BillingTerms.objects.filter(account__in=self.account.path)
                 .select_related("account", "rate_card")}  # fmt: skip
        line = [terms[pk] for pk in self.account.path[1:] if pk in terms]
        if len(line) != len(self.account.path) - 1:
            raise NotAllowed(f"{self.account.name} has no billing terms yet; ask whoever manages the account.")
        return line

    def _find_paying(self) -> BillingTerms:
        """Up the tree past every account whose activity its parent pays."""
        for terms in reversed(self._line):
            if terms.method != BillingTerms.Method.BILL_TO_PARENT:
                return terms
        raise NotAllowed("Nobody pays for this account: the platform pays for no client.")

    @cached_property
    def methods(self) -> dict[int, str]:
        """What says who pays: the method of each account from the payer down, by account id."""
        path = self.account.path
        asked = path[path.index(self.payer.pk) :]
        return {terms.account_id: terms.method for terms in self._line if terms.account_id in asked}

    @cached_property
    def _rates(self) -> dict[str, tuple[Decimal, str]]:
        direct = self._line[0]
        card = direct.rate_card or RateCard.objects.filter(currency=self.account.currency, is_default=True).first()
        if card is None or card.currency != self.account.currency:
            raise NoPrice(f"There is no rate card for {self.account.currency}.")
        rates = {rate.prefix: (rate.price, rate.country) for rate in Rate.objects.filter(rate_card=card)}
        for own in RateOverride.objects.filter(account=direct.account):
            rates[own.prefix] = (own.price, self._country_of(own.prefix, rates))
        return rates

    @staticmethod
    def _country_of(prefix: str, rates: dict[str, tuple[Decimal, str]]) -> str:
        shorter = (rates[prefix[:length]] for length in range(len(prefix), 0, -1) if prefix[:length] in rates)
        return next((country for _, country in shorter), "")

    @cached_property
    def _prefix_lengths(self) -> list[int]:
        return sorted({len(prefix) for prefix in self._rates}, reverse=True)

    @cached_property
    def _prices(self) -> dict[str, UnitPrice]:
        return {}

    def price_of(self, recipient: str) -> UnitPrice:
        """The price of one part to an E.164 number.

        Raises NoPrice when no prefix matches (refused, never free) and, for an account that sends with credits,
        NotLocal for a number of another country than its payer's (PRODUCT.md, money rule 3).
        """
        if self.uses_credits:
            return self._credit_price(recipient)
        return self.money_price_of(recipient)

    def money_price_of(self, recipient: str) -> UnitPrice:
        """The chain of money prices to a number, also for an account that sends with credits. Raises NoPrice."""
        digits = recipient.removeprefix("+")
        for length in self._prefix_lengths:
            prefix = digits[:length]
            if prefix in self._rates and len(prefix) == length:
                if prefix not in self._prices:
                    self._prices[prefix] = self._build(prefix)
                return self._prices[prefix]
        raise NoPrice("No price for this destination; ask whoever manages the account to add it.")

    def income_of(self, recipient: str) -> Decimal:
        """What the platform gets for one part to an E.164 number: its direct client's price, in the branch's currency.

        For an account that sends with credits, what such a part costs today; its credits were bought before. Raises
        NoPrice.
        """
        return self.money_price_of(recipient).chain[0][1]

    def _credit_price(self, recipient: str) -> UnitPrice:
        """One credit a part, to numbers of the credits' own country only."""
        self.money_price_of(recipient)  # what the platform does not sell cannot be sent with credits either
        home = self.payer.country
        if phonenumbers.region_code_for_number(phonenumbers.parse(recipient)) != home:
            raise NotLocal(f"SMS credits send to numbers of {country_name(home)} only.")
        code = str(phonenumbers.country_code_for_region(home))
        if code not in self._prices_in_credits:
            self._prices_in_credits[code] = UnitPrice(code, home, ((self.payer.pk, Decimal(1)),), None)
        return self._prices_in_credits[code]

    @cached_property
    def _prices_in_credits(self) -> dict[str, UnitPrice]:
        return {}

    @cached_property
    def _country_margins(self) -> dict[tuple[int, str], Decimal]:
        rows = CountryMargin.objects.filter(account__in=[terms.account_id for terms in self._line])
        return {(row.account_id, row.country): row.sms_margin for row in rows}

    def _margin(self, terms: BillingTerms, country: str) -> Decimal:
        """What the parent adds for this account: its margin for the country, else its general one."""
        return self._country_margins.get((terms.account_id, country), terms.sms_margin)

    def _build(self, prefix: str) -> UnitPrice:
        price, country = self._rates[prefix]
        chain: list[tuple[int, Decimal]] = []
        for terms in self._line:
            if chain:  # the platform's direct child pays the rate itself
                price += self._margin(terms, country)
                self._check_paid(price, terms, country)
            chain.append((terms.account_id, price))
            if terms.account_id == self.payer.pk:
                break
        display = None
        if self.payer.pk != self.account.pk:
            display = price + self._line[len(chain) - 1].display_margin
        return UnitPrice(prefix, country, tuple(chain), display)

    def _check_paid(self, price: Decimal, terms: BillingTerms, country: str) -> None:
        """A margin below zero may sell at a loss, never for nothing. Raises NoPrice."""
        if price <= 0 and self._margin(terms, country) < 0:
            raise NoPrice("No price for this destination; ask whoever manages the account to set one.")

    def save_quotes(self, prices: list[UnitPrice]) -> dict[str, Quote]:
        """Store these prices as immutable quotes (once each, whoever comes first); returns them by prefix."""
        missing = [self._quote(price) for price in prices if price.prefix not in self._saved]
        if missing:
            Quote.objects.bulk_create(missing, ignore_conflicts=True)
            found = Quote.objects.filter(fingerprint__in=[quote.fingerprint for quote in missing])
            saved = {quote.prefix: quote for quote in found}
            # Others may use this list again; before the commit there is no telling whether the quotes stay.
            transaction.on_commit(partial(self._saved.update, saved))
        else:
            saved = {}
        return {price.prefix: saved.get(price.prefix) or self._saved[price.prefix] for price in prices}

    @cached_property
    def _saved(self) -> dict[str, Quote]:
        return {}

    def _quote(self, price: UnitPrice) -> Quote:
        chain = [[owner, f"{own:.6f}"] for owner, own in price.chain]
        display = None if price.display_price is None else f"{price.display_price:.6f}"
        content = [self.account.pk, self.payer.pk, self.currency, price.prefix, price.country, chain, display]
        return Quote(
            account=self.account,
            payer=self.payer,
            currency=self.currency,
            prefix=price.prefix,
            country=price.country,
            chain=chain,
            unit_price=price.price,
            display_price=price.display_price,
            fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
            created_at=timezone.now(),
        )
