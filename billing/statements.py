"""An account's statement: its wallet's movements with the balance after each, newest first."""

import zoneinfo
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.core import signing
from django.db.models import QuerySet, Sum

from accounts.models import Account
from billing.models import LedgerAccount, LedgerEntry, LedgerTransaction

PAGE_SIZE = 50
LONGEST_TRANSACTION = timedelta(hours=1)
_CURSOR_SALT = "billing.statement"
Kind = LedgerTransaction.Kind
_OF_A_BATCH = (Kind.HOLD, Kind.CAPTURE, Kind.RELEASE)


@dataclass(frozen=True)
class Period:
    """Days in the account's zone, both included."""

    first: date
    last: date

    def bounds(self, account: Account) -> tuple[datetime, datetime]:
        """The moments from which and before which the period lasts."""
        zone = zoneinfo.ZoneInfo(account.time_zone)
        begin = datetime.combine(self.first, time.min, tzinfo=zone)
        return begin, datetime.combine(self.last + timedelta(days=1), time.min, tzinfo=zone)


@dataclass(frozen=True)
class Line:
    """One movement of the wallet, as the statement words it."""

    entry: LedgerEntry
    title: str
    note: str
    topup_code: str
    batch_code: str


@dataclass(frozen=True)
class Page:
    """A page of lines; the cursors are opaque, "" where there is nothing further."""

    lines: Sequence[Line]
    newer: str
    older: str


@dataclass(frozen=True)
class Sums:
    """What a period brought and cost: payments and corrections, messages less what was given back, margins earned."""

    added: Decimal
    messages: Decimal
    margins: Decimal


def _entries(account: Account, period: Period, kind: str) -> QuerySet[LedgerEntry]:
    begin, end = period.bounds(account)
    wallet = LedgerAccount.objects.filter(
        owner=account, kind=LedgerAccount.Kind.WALLET, currency=account.currency
    ).values_list("pk", flat=True)
    # The wallet's id itself, not a join: so the planner reads the one index that has its entries in order.
    entries = LedgerEntry.objects.filter(
        ledger_account=wallet.first() or 0, transaction__created_at__gte=begin, transaction__created_at__lt=end
    )
    return entries.filter(transaction__kind=kind) if kind else entries


def sums_of(account: Account, period: Period) -> Sums:
    """Totals of the period's movements, in one query."""
    rows = _entries(account, period, "").values_list("transaction__kind").annotate(total=Sum("amount"))
    total = defaultdict(Decimal, rows)
    return Sums(
        added=total[Kind.TOPUP] + total[Kind.MANUAL],
        messages=-(total[Kind.HOLD] + total[Kind.RELEASE]),
        margins=total[Kind.CAPTURE],
    )


def page_of(account: Account, period: Period, kind: str = "", *, before: str = "", after: str = "") -> Page:
    """The page of movements older than ``before`` or newer than ``after``, by default the newest.

    Keyset paging: page 1,000 costs what page 1 costs. A cursor that is not ours is read as none.
    """
    entries = _between(_entries(account, period, kind), *period.bounds(account)).select_related("transaction__about")
    upper, lower = _read_cursor(before), _read_cursor(after)
    if lower is not None:
        found = list(reversed(entries.filter(pk__gt=lower).order_by("pk")[: PAGE_SIZE + 1]))
        has_newer, rows, has_older = len(found) > PAGE_SIZE, found[-PAGE_SIZE:], True
    else:
        found = list((entries.filter(pk__lt=upper) if upper else entries).order_by("-pk")[: PAGE_SIZE + 1])
        has_newer, rows, has_older = upper is not None, found[:PAGE_SIZE], len(found) > PAGE_SIZE
    return Page(
        lines=[_line(account, row) for row in rows],
        newer=_cursor(rows[0]) if rows and has_newer else "",
        older=_cursor(rows[-1]) if rows and has_older else "",
    )


def _between(entries: QuerySet[LedgerEntry], begin: datetime, end: datetime) -> QuerySet[LedgerEntry]:
    """Bound the entries' ids too, so that a period long ago is found by the index instead of by walking back to it.

    Ids are given in the order of time, at the latest LONGEST_TRANSACTION after the time that a movement bears.
    """
    by_time = LedgerEntry.objects.values_list("pk", flat=True)
    before = by_time.filter(transaction__created_at__lt=begin - LONGEST_TRANSACTION)
    after = by_time.filter(transaction__created_at__gte=end + LONGEST_TRANSACTION)
    if lower := before.order_by("-transaction__created_at").first():
        entries = entries.filter(pk__gt=lower)
    if upper := after.order_by("transaction__created_at").first():
        entries = entries.filter(pk__lt=upper)
    return entries


def _cursor(entry: LedgerEntry) -> str:
    return signing.dumps(entry.pk, salt=_CURSOR_SALT)


def _read_cursor(cursor: str) -> int | None:
    try:
        return int(signing.loads(cursor, salt=_CURSOR_SALT)) if cursor else None
    except signing.BadSignature:
        return None


def _line(account: Account, entry: LedgerEntry) -> Line:
    movement = entry.transaction
    about = movement.about.name if movement.about_id != account.pk else ""
    title = _title(movement, entry.amount)
    count = f"{movement.quantity:,} message{'' if movement.quantity == 1 else 's'}" if movement.quantity else ""
    return Line(
        entry=entry,
        title=title,
        note=" · ".join(part for part in (about, count, movement.description) if part),
        topup_code=movement.reference if movement.kind == Kind.TOPUP else "",
        batch_code=movement.reference if movement.kind in _OF_A_BATCH else "",
    )


def _title(movement: LedgerTransaction, amount: Decimal) -> str:
    if movement.kind == Kind.TOPUP:
        return "Credit added by card"
    if movement.kind == Kind.HOLD:
        return "Set aside for messages"
    if movement.kind == Kind.RELEASE:
        return "Given back for messages not sent"
    if movement.kind == Kind.CAPTURE:
        return "Margin on a client's messages"
    return "Payment received" if amount > 0 else "Correction"
