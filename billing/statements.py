"""An account's statement: its wallet's movements with the balance after each, newest first."""

import zoneinfo
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

from django.core import signing
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import Account, Membership, User
from accounts.prepared import fetch_prepared
from billing.models import CREDITS, LedgerAccount, LedgerEntry, LedgerTransaction, MoneyField

PAGE_SIZE = 50
LONGEST_TRANSACTION = timedelta(hours=1)
_CURSOR_SALT = "billing.statement"
Kind = LedgerTransaction.Kind
_OF_A_BATCH = (Kind.HOLD, Kind.CAPTURE, Kind.RELEASE)
_OF_A_CARD = (Kind.TOPUP, Kind.REFUND, Kind.DISPUTE, Kind.DISPUTE_WON)
_TO_CLIENTS = (Kind.TRIAL, Kind.CREDITS, Kind.TAKEBACK)
_SERVICES = (Kind.NUMBER, Kind.KEYWORD)
# Up to so many movements a page adds a period up by itself; beyond, somebody has to ask for it.
SUMMED_AT_ONCE = 5_000

# A wallet's entries are in order in one index, by ledger account and id, and everybody's in another, by id. A planner
# that may choose takes the second for a wallet that has many entries, and then walks back over all that others did
# since. A list of two wallets, sorted by wallet first, leaves it the first only; none has the second one's id.
NO_WALLET = 0
NEWEST_FIRST = ("-ledger_account_id", "-pk")
OLDEST_FIRST = ("ledger_account_id", "pk")

# What a statement can be narrowed to, with the words for it; the last ones only for accounts with clients.
KINDS: dict[str, str] = {
    Kind.TOPUP: "Credit added by card",
    Kind.MANUAL: "Payments and corrections",
    Kind.POSTPAID: "Monthly postpaid top-ups",
    Kind.TRIAL: "Trial credit",
    Kind.HOLD: "Set aside for messages",
    Kind.RELEASE: "Given back",
    Kind.NUMBER: "Numbers",
    Kind.KEYWORD: "Keywords",
    Kind.REFUND: "Refunds",
    Kind.DISPUTE: "Disputed payments",
    Kind.DISPUTE_WON: "Disputes won",
}
PARENTS_KINDS: dict[str, str] = {
    Kind.CAPTURE: "Margins earned",
    Kind.CREDITS: "SMS credits transferred",
    Kind.TAKEBACK: "SMS credits taken back",
}


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
    """One movement of the wallet, as the statement words it; ``who`` is "" for the portal itself."""

    entry: LedgerEntry
    title: str
    who: str
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
    """What a period brought and cost; together they are what the balance moved by.

    ``added``: payments, corrections and their reversals. ``messages``: less what was given back. ``margins``: earned
    on clients' messages, numbers and keywords. ``clients``: trial credit and SMS credits, given to clients or got.
    ``services``: what numbers and keywords cost.
    """

    added: Decimal
    messages: Decimal
    margins: Decimal
    clients: Decimal = Decimal(0)
    services: Decimal = Decimal(0)


# An entry of the last movement before ``begin``, and one of the first from ``end`` on; NULL where there is none.
LAST_BEFORE = """(SELECT e.id FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
            WHERE t.created_at < %(begin)s::timestamptz ORDER BY t.created_at DESC LIMIT 1)"""
FIRST_FROM = """(SELECT e.id FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
            WHERE t.created_at >= %(end)s::timestamptz ORDER BY t.created_at LIMIT 1)"""
_BOUNDS = f"""
    SELECT wallet.id, {LAST_BEFORE}, {FIRST_FROM}
    FROM billing_ledgeraccount wallet
    WHERE wallet.owner_id = %(owner)s::bigint AND wallet.kind = 'wallet' AND wallet.currency = %(currency)s::text
"""  # noqa: S608 (no values of others in it)


def wallet_id(account: Account, currency: str = "") -> int:
    """The ledger account of the account's wallet in ``currency`` (its own by default); NO_WALLET while it has none."""
    return _wallets(account, currency).values_list("pk", flat=True).first() or NO_WALLET


def _wallets(account: Account, currency: str = "") -> QuerySet[LedgerAccount]:
    kind, currency = LedgerAccount.Kind.WALLET, currency or account.currency
    return LedgerAccount.objects.filter(owner=account, kind=kind, currency=currency)


@dataclass(frozen=True)
class Statement:
    """The movements of an account's wallet in a period; ``currency`` is its own by default.

    Where they are is looked up once, so one object serves a whole page.
    """

    account: Account
    period: Period
    currency: str = ""

    def entries(self, kind: str = "") -> QuerySet[LedgerEntry]:
        """The wallet's entries of the period's movements, of one kind or all, in no order."""
        begin, end = self.period.bounds(self.account)
        entries = self._nearby.filter(transaction__created_at__gte=begin, transaction__created_at__lt=end)
        if not kind:
            return entries
        if kind in _OF_A_BATCH:
            return entries.filter(transaction__kind=kind)
        # Few among millions: found by their own index (movement_of_payment), not by walking the wallet.
        branch = list(Account.objects.below(self.account).values_list("pk", flat=True))
        payments = LedgerTransaction.objects.filter(about__in=[self.account.pk, *branch], kind=kind)
        return entries.filter(transaction__in=payments.exclude(kind__in=_OF_A_BATCH))

    @cached_property
    def is_summed_at_once(self) -> bool:
        """Whether the period is short enough for its totals to be worked out with every page."""
        # By ids alone: the index of the wallet's entries answers without reading one of them.
        return not self._nearby.order_by(*NEWEST_FIRST).values_list("pk")[SUMMED_AT_ONCE : SUMMED_AT_ONCE + 1]

    def sums(self) -> Sums:
        """Totals of the period's movements, in one query."""
        nothing = Value(Decimal(0), output_field=MoneyField())
        earned = Coalesce(Sum("amount", filter=Q(amount__gt=0)), nothing)
        rows = self.entries().order_by().values_list("transaction__kind").annotate(total=Sum("amount"), earned=earned)
        found = list(rows)
        total = defaultdict(Decimal, {kind: amount for kind, amount, _ in found})
        # A number's or keyword's movement costs whoever pays, and brings its share to whoever is above.
        shares = sum((amount for kind, _, amount in found if kind in _SERVICES), Decimal(0))
        known = (*_OF_A_BATCH, *_TO_CLIENTS, *_SERVICES)
        return Sums(
            added=sum((amount for kind, amount in total.items() if kind not in known), Decimal(0)),
            messages=-(total[Kind.HOLD] + total[Kind.RELEASE]),
            margins=total[Kind.CAPTURE] + shares,
            clients=sum((total[kind] for kind in _TO_CLIENTS), Decimal(0)),
            services=shares - sum((total[kind] for kind in _SERVICES), Decimal(0)),
        )

    def page(self, kind: str = "", *, before: str = "", after: str = "") -> Page:
        """The page of movements older than ``before`` or newer than ``after``, by default the newest.

        Keyset paging: page 1,000 costs what page 1 costs. A cursor that is not ours is read as none.
        """
        entries = with_movements(self.entries(kind))
        upper, lower = _read_cursor(before), _read_cursor(after)
        if lower is not None:
            found = list(reversed(entries.filter(pk__gt=lower).order_by(*OLDEST_FIRST)[: PAGE_SIZE + 1]))
            has_newer, rows, has_older = len(found) > PAGE_SIZE, found[-PAGE_SIZE:], True
        else:
            entries = entries.filter(pk__lt=upper) if upper else entries
            found = list(entries.order_by(*NEWEST_FIRST)[: PAGE_SIZE + 1])
            has_newer, rows, has_older = upper is not None, found[:PAGE_SIZE], len(found) > PAGE_SIZE
        return Page(
            lines=lines_of(self.account, rows),
            newer=_cursor(rows[0]) if rows and has_newer else "",
            older=_cursor(rows[-1]) if rows and has_older else "",
        )

    @cached_property
    def _nearby(self) -> QuerySet[LedgerEntry]:
        """The wallet's entries among which all of the period are, and few others.

        Bounded by ids, so that a period long ago is found by the index instead of by walking back to it. Ids are given
        in the order of time, at the latest LONGEST_TRANSACTION after the time that a movement bears.
        """
        begin, end = self.period.bounds(self.account)
        found = fetch_prepared(_BOUNDS, {
            "owner": self.account.pk, "currency": self.currency or self.account.currency,
            "begin": begin - LONGEST_TRANSACTION, "end": end + LONGEST_TRANSACTION,
        })  # fmt: skip
        if not found:
            return LedgerEntry.objects.none()
        wallet, last_before, first_after = found[0]
        entries = LedgerEntry.objects.filter(ledger_account__in=[wallet, NO_WALLET])
        if last_before:
            entries = entries.filter(pk__gt=last_before)
        return entries.filter(pk__lt=first_after) if first_after else entries


def _cursor(entry: LedgerEntry) -> str:
    return signing.dumps(entry.pk, salt=_CURSOR_SALT)


def _read_cursor(cursor: str) -> int | None:
    try:
        return int(signing.loads(cursor, salt=_CURSOR_SALT)) if cursor else None
    except signing.BadSignature:
        return None


def with_movements(entries: QuerySet[LedgerEntry]) -> QuerySet[LedgerEntry]:
    """The entries with what ``lines_of`` reads of their movements."""
    return entries.select_related("transaction")


def lines_of(account: Account, entries: Sequence[LedgerEntry]) -> list[Line]:
    """The entries as the account's statement words them.

    Names are looked up once for all entries, and only of other accounts: most movements are about its own and of
    nobody, so that joining accounts and users to every entry would cost more than the entries.
    """
    others = {entry.transaction.about_id for entry in entries} - {account.pk}
    names = dict(Account.objects.filter(pk__in=others).values_list("pk", "name")) if others else {}
    people = names_of(account, {entry.transaction.actor_id for entry in entries if entry.transaction.actor_id})
    return [_line(entry, names, people) for entry in entries]


def names_of(account: Account, actors: set[int]) -> dict[int, str]:
    """Who did it, by name only where the person belongs to the account or to one below it; users' ids to names."""
    if not actors:
        return {}
    members = Membership.objects.filter(user__in=actors, account__path__contains=[account.pk])
    known = set(members.values_list("user_id", flat=True))
    return {
        user.pk: (user.name or user.email) if user.pk in known else ("Support" if user.is_staff else "Your provider")
        for user in User.objects.filter(pk__in=actors)
    }


def _line(entry: LedgerEntry, names: dict[int, str], people: dict[int, str]) -> Line:
    movement = entry.transaction
    about = names.get(movement.about_id, "")
    count = f"{movement.quantity:,} message{'' if movement.quantity == 1 else 's'}" if movement.quantity else ""
    return Line(
        entry=entry,
        title=_title(movement, entry.amount),
        who=people.get(movement.actor_id, "") if movement.actor_id else "",
        note=" · ".join(part for part in (about, count, movement.description) if part),
        topup_code=movement.reference if movement.kind in _OF_A_CARD else "",
        batch_code=movement.reference if movement.kind in _OF_A_BATCH else "",
    )


def _title(movement: LedgerTransaction, amount: Decimal) -> str:
    kind, is_in = movement.kind, amount > 0
    if kind == Kind.MANUAL:
        return "Payment received" if is_in else "Correction"
    if kind in _TO_CLIENTS:
        return _title_between_accounts(kind, is_in, movement.currency == CREDITS)
    if kind in _SERVICES and is_in:
        return "Margin on a client's number" if kind == Kind.NUMBER else "Share of a client's keyword"
    return {
        Kind.TOPUP: "Credit added by card",
        Kind.HOLD: "Set aside for messages",
        Kind.RELEASE: "Given back for messages not sent",
        Kind.CAPTURE: "Margin on a client's messages",
        Kind.POSTPAID: "Monthly postpaid top-up",
        Kind.REFUND: "Refund to the card",
        Kind.DISPUTE: "Disputed payment withdrawn",
        Kind.DISPUTE_WON: "Disputed payment returned",
    }.get(Kind(kind), str(Kind(kind).label))


def _title_between_accounts(kind: str, is_in: bool, is_credits: bool) -> str:
    """Movements between a parent and its client read differently on each side, and to those who earn a margin."""
    if kind == Kind.TRIAL:
        return "Trial credit" if is_in else "Trial credit for a client"
    if is_credits:
        return "SMS credits received" if kind == Kind.CREDITS else "SMS credits taken back"
    if kind == Kind.CREDITS:
        return "Margin on SMS credits" if is_in else "SMS credits for a client"
    return "SMS credits taken back" if is_in else "Margin on SMS credits returned"
