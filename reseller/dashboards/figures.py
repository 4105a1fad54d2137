"""What the dashboards show: a fixed number of statements, whatever the number of clients, batches and messages."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, ExpressionWrapper, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.models import Account
from billing.models import BillingTerms, LedgerAccount, MoneyField
from messaging.keyset import Cursor
from messaging.models import Batch, Message
from messaging.reports import Summary
from messaging.selectors import Chosen, Progress, page_of_batches

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
class LowClient:
    """A client whose balance calls for a top-up."""

    account: Account
    available: Decimal
    threshold: Decimal


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
    return [LowClient(one.account, one.available, one.threshold) for one in terms[:SHOWN_LOW_CLIENTS]]


def last_batches(viewer: Account, accounts: Sequence[Account]) -> list[Progress]:
    """The newest batches of ``accounts`` with how far each has come."""
    batches: list[Batch] = list(page_of_batches(viewer, Chosen(list(accounts)), Cursor()).rows)[:SHOWN_BATCHES]
    if not batches:
        return []
    counts: defaultdict[Any, dict[str, int]] = defaultdict(dict)
    # No message is older than its batch, so the oldest batch's key rules out earlier months' partitions.
    found = Message.objects.filter(batch__in=[one.pk for one in batches], pk__gte=min(one.pk for one in batches))
    for batch_id, state, count in found.order_by().values_list("batch_id", "state").annotate(count=Count("*")):
        counts[batch_id][state] = count
    return [Progress(batch, counts[batch.pk]) for batch in batches]


def margin_chart(summary: Summary) -> dict[str, Any]:
    """What the viewer earned on each day's messages, for the chart tag."""
    series = [{"label": "Margin", "tone": "accent", "values": [one.margin for _, one in summary.days]}]
    return {"days": [day for day, _ in summary.days], "series": series}
