"""What an invoiced account may read about its credit."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.models import Account
from billing.models import InvoiceTerms, LedgerAccount


@dataclass(frozen=True)
class Credit:
    """``balance`` is the account's own (negative = owed); with ``limit`` and ``overdraw`` it makes what is available.

    ``postpaid`` is added on each 1st, on ``next`` for the next time; zeros and None where there is none.
    """

    balance: Decimal
    limit: Decimal
    overdraw: Decimal
    until: date | None
    postpaid: Decimal
    next: date | None


def credit_of(account: Account) -> Credit | None:
    """The account's credit as its wallet has it now; None for an account without invoice terms."""
    terms = InvoiceTerms.objects.filter(account=account).first()
    if terms is None:
        return None
    wallet = LedgerAccount.objects.get(owner=account, kind=LedgerAccount.Kind.WALLET, currency=account.currency)
    return Credit(
        balance=wallet.balance,
        limit=wallet.credit_limit,
        overdraw=wallet.overdraft_limit,
        until=terms.overdraw_until,
        postpaid=terms.postpaid_amount,
        next=terms.postpaid_next,
    )
