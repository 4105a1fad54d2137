"""Reads of money, scoped to accounts."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Account
from billing.models import BillingTerms, LedgerAccount


@dataclass(frozen=True)
class Balance:
    """``available`` can be spent now (credit included); ``held`` is set aside for accepted messages."""

    available: Decimal
    held: Decimal
    credit_limit: Decimal
    currency: str


def terms_of(account: Account) -> BillingTerms | None:
    """The account's terms; None for the platform and for accounts without terms."""
    return BillingTerms.objects.filter(account=account).select_related("rate_card").first()


def shows_money(account: Account | None) -> bool:
    """Whether pages for ``account`` may show prices and balances (PRODUCT.md, money rule 3)."""
    terms = terms_of(account) if account else None
    return terms is not None and terms.shows_money


def balance_of(account: Account) -> Balance:
    """The account's own money; zeros when it never had any."""
    rows = {
        row.kind: row
        for row in LedgerAccount.objects.filter(
            owner=account, kind__in=[LedgerAccount.Kind.WALLET, LedgerAccount.Kind.HELD], currency=account.currency
        )
    }
    wallet, held = rows.get(LedgerAccount.Kind.WALLET), rows.get(LedgerAccount.Kind.HELD)
    credit = wallet.credit_limit if wallet else Decimal(0)
    return Balance(
        available=(wallet.balance if wallet else Decimal(0)) + credit,
        held=held.balance if held else Decimal(0),
        credit_limit=credit,
        currency=account.currency,
    )
