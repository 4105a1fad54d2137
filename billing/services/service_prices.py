"""What a number or a keyword costs an account by the month, who pays it, and who earns what of it.

PRODUCT.md, money rules 5 and 6. Accounts whose parent pays have no money: what they would pay, or earn as a parent,
is their parent's.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings

from accounts.models import Account
from billing.exceptions import NotAllowed
from billing.models import BillingTerms

SMALLEST = Decimal("0.000001")  # money has six places (PRODUCT.md, money rule 8)


@dataclass(frozen=True)
class ServicePrice:
    """What ``payer`` pays, and what of it each account earns by its id; the rest is the platform's revenue.

    ``amount`` and ``earnings`` are in ``currency``, with six places at most.
    """

    payer: Account
    currency: str
    amount: Decimal
    earnings: dict[int, Decimal] = field(default_factory=dict)

    @property
    def net(self) -> Decimal:
        """What leaves the payer's wallet: a parent that pays for its client gets its own share back at once."""
        return self.amount - self.earnings.get(self.payer.pk, Decimal(0))

    @property
    def revenue(self) -> Decimal:
        """The platform's part."""
        return self.amount - sum(self.earnings.values(), Decimal(0))


class Line:
    """The accounts from the platform's direct child down to one account, with how each is paid for; read once."""

    def __init__(self, account: Account) -> None:
        self.account = account
        ids = account.path[1:]
        terms = BillingTerms.objects.filter(account__in=ids).select_related("account").in_bulk()
        if not ids or len(terms) != len(ids):
            raise NotAllowed(f"{account.name} has no billing terms yet; ask whoever manages the account.")
        self._terms = [terms[pk] for pk in ids]

    @property
    def payer(self) -> Account:
        """Whose money pays for the account."""
        return self.terms_with_money(self.account.pk).account

    @property
    def payer_terms(self) -> BillingTerms:
        return self.terms_with_money(self.account.pk)

    def terms_with_money(self, account_id: int) -> BillingTerms:
        """Terms of the account of this line, or of the next one above it that has money of its own.

        Raises NotAllowed when there is none: the platform pays for no client.
        """
        own = next(n for n, terms in enumerate(self._terms) if terms.account_id == account_id)
        for terms in reversed(self._terms[: own + 1]):
            if terms.shows_money:
                return terms
        raise NotAllowed("Nobody pays for this account: the platform pays for no client.")

    def down_to_payer(self) -> list[Account]:
        """From the platform's direct child down to the payer, both included."""
        accounts = [terms.account for terms in self._terms]
        return accounts[: accounts.index(self.payer) + 1]

    def price(self, amount: Decimal, shares: Iterable[tuple[int, Decimal]]) -> ServicePrice:
        """``amount`` for the payer; ``shares`` are what parents of this line earn of it, by their ids."""
        earnings: defaultdict[int, Decimal] = defaultdict(Decimal)
        for parent_id, share in shares:
            if share:
                earnings[self.terms_with_money(parent_id).account_id] += share
        return ServicePrice(self.payer, self.account.currency, amount, dict(earnings))


def money_payer_of(account: Account) -> Account:
    """Whose money pays for the account's numbers and keywords: its own, or that of the next one above that has any.

    Raises NotAllowed when there is none.
    """
    return Line(account).payer


def keyword_sale(account: Account, amount: Decimal) -> ServicePrice:
    """One keyword for one month at the ``amount`` that the account's parent asks for it.

    The platform keeps its share (settings.KEYWORD_PLATFORM_SHARE, rounded to six places), the parent is credited the
    rest. Of the platform's own clients everything is its revenue. Raises NotAllowed.
    """
    line = Line(account)
    if account.is_direct or account.parent_id is None:
        return line.price(amount, [])
    kept = (amount * settings.KEYWORD_PLATFORM_SHARE).quantize(SMALLEST, ROUND_HALF_UP)
    return line.price(amount, [(account.parent_id, amount - kept)])


def accounts_paid_by(account: Account) -> list[int]:
    """Ids of the accounts whose numbers and keywords this account's money pays: its own and its clients' below.

    Empty for an account without money of its own.
    """
    terms = BillingTerms.objects.filter(account=account).first()
    if terms is None or not terms.shows_money:
        return []
    found: list[int] = []
    level = [account.pk]
    while level:
        found += level
        below = BillingTerms.objects.filter(account__parent__in=level, method__in=BillingTerms.PARENT_PAYS)
        level = list(below.order_by("pk").values_list("pk", flat=True))
    return found
