"""Which accounts are low: what they can spend is below their notification limit."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, DecimalField, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Cast, Coalesce

from accounts.models import Account
from billing.models import CREDITS, BillingTerms, LedgerAccount, MoneyField, NoticeTerms

Method = BillingTerms.Method


@dataclass(frozen=True)
class LowAccount:
    """An account that calls for a top-up: what it can spend (credit included), and its limit, in its currency."""

    account: Account
    available: Decimal
    threshold: Decimal
    counts_credits: bool = False

    @classmethod
    def of(cls, row: Any) -> "LowAccount":
        """From a row of ``watched``."""
        return cls(row.account, row.available, row.threshold, row.counts_credits)


def watched() -> QuerySet[Any]:
    """Notice terms of active accounts with a limit, annotated with ``available``, ``threshold``, ``counts_credits``.

    Money for those that see money, SMS credits for those that send with them; never accounts that see neither
    (PRODUCT.md, money rule 3).
    """
    money: DecimalField[Any, Any] = MoneyField()
    unit = Case(
        When(account__billing_terms__method=Method.SMS_CREDITS, then=Value(CREDITS)), default=F("account__currency")
    )
    wallet = LedgerAccount.objects.filter(
        owner=OuterRef("account"), kind=LedgerAccount.Kind.WALLET, currency=OuterRef("unit")
    )
    spendable = wallet.values(left=F("balance") + F("credit_limit") + F("overdraft_limit"))
    return (
        NoticeTerms.objects.filter(account__status=Account.Status.ACTIVE, account__billing_terms__isnull=False)
        .exclude(account__billing_terms__method=Method.BILL_TO_PARENT)
        .annotate(
            unit=unit,
            available=Coalesce(Subquery(spendable), Value(Decimal(0)), output_field=money),
            threshold=Case(
                When(account__billing_terms__method=Method.SMS_CREDITS, then=Cast("credits_limit", money)),
                default=F("limit"),
                output_field=money,
            ),
            counts_credits=Case(When(account__billing_terms__method=Method.SMS_CREDITS, then=True), default=False),
        )
        .filter(threshold__isnull=False)
    )
