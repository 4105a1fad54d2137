"""What the dashboards show: a fixed number of statements, whatever the number of clients, batches and messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, ExpressionWrapper, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast, Coalesce

from accounts.models import Account
from billing.models import CREDITS, BillingTerms, LedgerAccount, MoneyField, NoticeTerms
from billing.selectors import Balance, credits_of
from messaging.reports import Summary
from messaging.selectors import Progress, newest_batches, progress_of_all

SHOWN_BATCHES = 8
SHOWN_LOW_CLIENTS = 6
# A client is low on balance below this part of what it may top up in a day; the page says so.
LOW_SHARE = Decimal("0.1")


@dataclass(frozen=True)
class ClientCounts:
    """The viewer's direct clients."""

    active: int
    suspended: int

    @property
    def total(self) -> int:
        return self.active + self.suspended


def count_clients(viewer: Account) -> ClientCounts:
    """How many clients the viewer has; closed ones are history."""
    rows = Account.objects.children_of(viewer).order_by().values_list("status").annotate(count=Count("*"))
    counts = dict(rows)
    return ClientCounts(counts.get(Account.Status.ACTIVE, 0), counts.get(Account.Status.SUSPENDED, 0))


@dataclass(frozen=True)
class CreditsFigure:
    """The SMS credits that an account sends with; ``limit``: below how many its parent has it warned, None = never."""

    balance: Balance
    limit: int | None

    @property
    def is_low(self) -> bool:
        return self.limit is not None and self.balance.available < self.limit


def credits_figure(account: Account, terms: BillingTerms | None) -> CreditsFigure | None:
    """The account's credits; None where it does not send with them."""
    if terms is None or terms.method != BillingTerms.Method.SMS_CREDITS:
        return None
    limits = NoticeTerms.objects.filter(account=account).values_list("credits_limit", flat=True)
    return CreditsFigure(credits_of(account), limits.first())


@dataclass(frozen=True)
class LowClient:
    """A client whose balance calls for a top-up."""

    account: Account
    available: Decimal
    threshold: Decimal
    currency: str


def clients_low_on_credits(viewer: Account) -> list[LowClient]:
    """Active direct clients that send with SMS credits and have fewer than their notification limit, or none left."""
    wallet = LedgerAccount.objects.filter(
        owner=OuterRef("account"), kind=LedgerAccount.Kind.WALLET, currency=CREDITS
    ).values("balance")
    amount: DecimalField[Any, Any] = MoneyField()
    terms = (
        BillingTerms.objects.filter(account__parent=viewer, account__status=Account.Status.ACTIVE)
        .filter(method=BillingTerms.Method.SMS_CREDITS)
        .annotate(
            available=Coalesce(Subquery(wallet), Value(Decimal(0)), output_field=amount),
            threshold=Coalesce(
                Cast("account__notice_terms__credits_limit", amount), Value(Decimal(1)), output_field=amount
            ),
        )
        .filter(available__lt=F("threshold"))
        .select_related("account")
        .order_by("available", "account__name")
    )
    return [LowClient(one.account, one.available, one.threshold, CREDITS) for one in terms[:SHOWN_LOW_CLIENTS]]


def clients_low_on_balance(viewer: Account) -> list[LowClient]:
    """Active direct clients that pay themselves and have less than their notification limit.

    Without one, less than ``LOW_SHARE`` of their daily top-up limit.

    Without a daily limit the fixed amount counts; with neither (paying by invoice), nothing left to spend.
    """
    wallet = LedgerAccount.objects.filter(
        owner=OuterRef("account"), kind=LedgerAccount.Kind.WALLET, currency=OuterRef("account__currency")
    )
    money: DecimalField[Any, Any] = MoneyField()
    zero = Value(Decimal(0), output_field=money)
    terms = (
        BillingTerms.objects.filter(account__parent=viewer, account__status=Account.Status.ACTIVE)
        .exclude(method__in=BillingTerms.PARENT_PAYS)
        .annotate(
            available=Coalesce(
                Subquery(wallet.values(left=F("balance") + F("credit_limit") + F("overdraft_limit"))),
                zero,
                output_field=money,
            ),
            threshold=Coalesce(
                "account__notice_terms__limit",
                ExpressionWrapper(
                    Coalesce("daily_topup_limit", "fixed_topup", zero, output_field=money) * LOW_SHARE,
                    output_field=money,
                ),
                output_field=money,
            ),
        )
        .filter(Q(available__lt=F("threshold")) | Q(available__lte=0))
        .select_related("account")
        .order_by("available", "account__name")
    )
    return [LowClient(one.account, one.available, one.threshold, viewer.currency) for one in terms[:SHOWN_LOW_CLIENTS]]


def last_batches(viewer: Account, accounts: Sequence[Account]) -> list[Progress]:
    """The newest batches of ``accounts`` with how far each has come."""
    return progress_of_all(newest_batches(list(accounts), SHOWN_BATCHES))


def margin_chart(summary: Summary) -> dict[str, Any]:
    """What the viewer earned on each day's messages, for the chart tag."""
    series = [{"label": "Margin", "tone": "accent", "values": [one.margin for _, one in summary.days]}]
    return {"days": [day for day, _ in summary.days], "series": series}
