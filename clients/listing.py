"""The CLIENTS list: search, filter, sorting and paging in a fixed number of queries, whatever the number of clients."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Lower

from accounts.models import Account, Membership
from billing.models import CREDITS, BillingTerms, LedgerAccount, MoneyField
from clients.payers import Payer, payer_of
from clients.selectors import margin_this_month, sent_today

PAGE_SIZE = 25
# Heading and sort key of each column; the second is what ?sort= takes, with "-" in front for descending.
COLUMNS = {
    "name": "Client",
    "payer": "Payer",
    "balance": "Balance",
    "sent": "Sent today",
    "margin": "Margin this month",
    "status": "Status",
}
FIGURES = frozenset({"sent", "margin"})
LARGEST_FIRST = frozenset({"balance", *FIGURES})
MONEY_COLUMNS = frozenset({"balance", "margin"})


@dataclass(frozen=True)
class Wanted:
    """What the list was asked for; unknown words in the query are read as none."""

    search: str = ""
    status: str = ""
    sort: str = "name"
    descending: bool = False

    @classmethod
    def from_query(cls, query: Mapping[str, Any]) -> "Wanted":
        sort = str(query.get("sort", ""))
        key, status = sort.removeprefix("-"), str(query.get("status", ""))
        return cls(
            search=" ".join(str(query.get("q", "")).split())[:100],
            status=status if status in Account.Status.values else "",
            sort=key if key in COLUMNS else "name",
            descending=key in COLUMNS and sort.startswith("-"),
        )

    @property
    def sort_value(self) -> str:
        """The sorting as ?sort= takes it."""
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def is_narrowed(self) -> bool:
        return bool(self.search or self.status)


@dataclass(frozen=True)
class Column:
    """A heading of the list: ``sort`` is what its link asks for, ``order`` how the list is sorted by it now."""

    key: str
    label: str
    sort: str
    order: str = ""

    @property
    def is_figure(self) -> bool:
        return self.key in LARGEST_FIRST


def columns_for(wanted: Wanted, sees_money: bool) -> list[Column]:
    """The headings; a second click turns the order. Figures begin with the largest."""
    columns = []
    for key, label in COLUMNS.items():
        if key in MONEY_COLUMNS and not sees_money:
            continue
        current = wanted.sort == key
        down = not wanted.descending if current else key in LARGEST_FIRST
        order = ("descending" if wanted.descending else "ascending") if current else ""
        columns.append(Column(key, label, f"-{key}" if down else key, order))
    return columns


@dataclass(frozen=True)
class ClientRow:
    """One client as the list shows it; ``balance`` (of money) None where the viewer pays."""

    account: Account
    terms: BillingTerms | None
    balance: Decimal | None
    sent: int
    margin: Decimal
    credits: Decimal | None = None  # of a client that sends with SMS credits

    @property
    def payer(self) -> str:
        return payer_of(self.terms.method).label if self.terms else ""


@dataclass(frozen=True)
class ClientList:
    """A page of rows and what was asked for."""

    wanted: Wanted
    page: Page[Any]
    rows: list[ClientRow] = field(default_factory=list)


def list_clients(viewer: Account, wanted: Wanted, number: str) -> ClientList:
    """The page ``number`` (1 where it is missing or wrong) of the viewer's clients."""
    found = _annotated(_narrowed(Account.objects.children_of(viewer), wanted))
    ordered = _by_figure(viewer, found, wanted) if wanted.sort in FIGURES else _by_column(found, wanted)
    page = Paginator(ordered, PAGE_SIZE).get_page(number)
    ids = list(page.object_list)
    by_id = found.in_bulk(ids)
    accounts = [by_id[pk] for pk in ids if pk in by_id]
    sent, margins = (sent_today(viewer, ids), margin_this_month(viewer, ids)) if ids else ({}, {})
    rows = [_row(account, sent.get(account.pk, 0), margins.get(account.pk, Decimal(0))) for account in accounts]
    return ClientList(wanted, page, rows)


def _row(account: Any, sent: int, margin: Decimal) -> ClientRow:
    terms = getattr(account, "billing_terms", None)
    pays = terms is not None and terms.shows_money
    counts = terms is not None and terms.method == BillingTerms.Method.SMS_CREDITS
    balance, credits = account.balance or Decimal(0), account.credits or Decimal(0)
    return ClientRow(account, terms, balance if pays else None, sent, margin, credits if counts else None)


def _narrowed(clients: QuerySet[Account], wanted: Wanted) -> QuerySet[Account]:
    if wanted.status:
        clients = clients.filter(status=wanted.status)
    return clients.filter(_matches(wanted.search)) if wanted.search else clients


def _matches(search: str) -> Q:
    """Name, contact, code, e-mail of a member, or mobile as one writes it (spaces, 0 or + in front)."""
    people = Membership.objects.filter(account=OuterRef("pk"), user__email__icontains=search)
    match = Q(name__icontains=search) | Q(contact_name__icontains=search) | Q(code__iexact=search) | Q(Exists(people))
    digits = re.sub(r"\D", "", search).lstrip("0")
    if len(digits) >= 3 and not re.search(r"[^\d\s+().-]", search):
        match |= Q(mobile__contains=digits)
    return match


def _annotated(clients: QuerySet[Account]) -> QuerySet[Account]:
    wallet = LedgerAccount.objects.filter(
        owner=OuterRef("pk"), kind=LedgerAccount.Kind.WALLET, currency=OuterRef("currency")
    )
    credits = LedgerAccount.objects.filter(owner=OuterRef("pk"), kind=LedgerAccount.Kind.WALLET, currency=CREDITS)
    return clients.select_related("billing_terms").annotate(
        credits=Subquery(credits.values("balance")),
        balance=Case(
            When(billing_terms__method__in=BillingTerms.PARENT_PAYS, then=None),
            default=Subquery(wallet.values("balance")),
            output_field=MoneyField(),
        ),
        payer_word=Case(
            When(billing_terms__method__in=BillingTerms.PARENT_PAYS, then=Value(Payer.PARENT.label)),
            default=Value(Payer.CLIENT.label),
            output_field=CharField(),
        ),
    )


def _by_figure(viewer: Account, found: QuerySet[Account], wanted: Wanted) -> list[int]:
    """Ids in the order of a figure that other rooms count, then by name."""
    figures: Mapping[int, Any] = sent_today(viewer) if wanted.sort == "sent" else margin_this_month(viewer)
    ids = found.order_by(Lower("name"), "pk").values_list("pk", flat=True)
    return sorted(ids, key=lambda pk: figures.get(pk, 0), reverse=wanted.descending)


def _by_column(found: QuerySet[Account], wanted: Wanted) -> QuerySet[Account, int]:
    """Ids in the order of a column, then by name; what a client does not have stands last."""
    keys: dict[str, list[Any]] = {
        "name": [Lower("name")],
        "payer": [F("payer_word"), F("billing_terms__method")],
        "balance": [F("balance")],
        "status": [F("status")],
    }
    first = [key.desc(nulls_last=True) if wanted.descending else key.asc(nulls_last=True) for key in keys[wanted.sort]]
    return found.order_by(*first, Lower("name"), "pk").values_list("pk", flat=True)
