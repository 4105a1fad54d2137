"""Why a movement of the wallet has its amount: down to the messages, their destinations and prices.

Only what the viewer may see: its own price where it pays, its own margin where it earns, nothing of levels above.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from django.http import Http404
from django.urls import reverse

from accounts.countries import country_name
from accounts.models import Account
from billing.models import CREDITS, CreditLot, LedgerEntry, LedgerTransaction, Quote, TopUp
from billing.services.ledger import batches_of_hold
from billing.statements import Line, lines_of, wallet_id, with_movements
from billing.subscription_models import ServiceCharge
from keywords.models import Keyword
from messaging.keyset import Cursor, Page
from messaging.models import Batch, Message
from messaging.selectors import Chosen, page_of_messages
from virtual_numbers.models import Lease

Kind = LedgerTransaction.Kind
OF_MESSAGES = (Kind.HOLD, Kind.CAPTURE, Kind.RELEASE)


@dataclass(frozen=True)
class Group:
    """Messages of one destination and price. ``unit``: a part's price, margin or subsidy; ``total`` = parts × unit."""

    country: str
    prefix: str
    unit: Decimal
    messages: int
    parts: int
    total: Decimal


@dataclass(frozen=True)
class Service:
    """A month of a number or keyword, or its set-up, as the viewer has to do with it.

    ``price``: what it costs, for whoever pays it (None for others). ``share``: what the viewer earns of it.
    ``client``: whose it is, where that is not the viewer. The pages are "" where the viewer has none (any more).
    """

    charge: ServiceCharge
    price: Decimal | None
    share: Decimal
    client: Account | None
    number: str
    number_page: str
    keyword: str
    keyword_page: str

    @property
    def last_day(self) -> date:
        """The last one that it pays for; a set-up pays for none."""
        return self.charge.ends_on - timedelta(days=1)


@dataclass(frozen=True)
class SmsCredits:
    """SMS credits of ``client`` that were bought, or taken back. ``unit``: what one cost the viewer, or brought it."""

    client: Account
    quantity: int
    unit: Decimal
    is_margin: bool
    is_taken_back: bool


@dataclass(frozen=True)
class Explanation:
    """A line of the viewer's statement and what it is made of; what does not apply is empty.

    ``is_subsidy``: it is about what the viewer adds to its client's price because its margin is below zero.
    """

    line: Line
    groups: list[Group]
    is_subsidy: bool
    topup: TopUp | None
    credits: SmsCredits | None
    service: Service | None = None

    @property
    def amount(self) -> Decimal:
        return self.line.entry.amount

    @property
    def is_margin(self) -> bool:
        return self.line.entry.transaction.kind == Kind.CAPTURE

    @property
    def balance_before(self) -> Decimal:
        return self.line.entry.balance_after - self.amount

    @property
    def totals(self) -> tuple[int, int, Decimal]:
        """Messages, parts and money of all groups."""
        return (
            sum(group.messages for group in self.groups),
            sum(group.parts for group in self.groups),
            sum((group.total for group in self.groups), Decimal(0)),
        )


def get_entry_for(viewer: Account, public_id: UUID, currency: str = "") -> LedgerEntry:
    """The viewer's side of a movement of its wallet of ``currency``; 404 for a movement that is not in it."""
    entries = with_movements(LedgerEntry.objects.filter(transaction__public_id=public_id))
    found = entries.filter(ledger_account=wallet_id(viewer, currency)).first()
    if found is None:
        raise Http404("No such movement.")
    return found


def explain(viewer: Account, entry: LedgerEntry) -> Explanation:
    """What the entry is made of, as far as the viewer may see."""
    movement = entry.transaction
    (line,) = lines_of(viewer, [entry])
    topups = TopUp.objects.filter(account=viewer, code=line.topup_code) if line.topup_code else TopUp.objects.none()
    counted = _counted(movement) if movement.kind in OF_MESSAGES else []
    is_subsidy = movement.kind != Kind.CAPTURE and any(quote.payer_id != viewer.pk for quote, *_ in counted)
    return Explanation(
        line=line,
        groups=_groups(viewer, movement, counted),
        is_subsidy=is_subsidy,
        topup=topups.first(),
        credits=_credits_of(viewer, entry),
        service=_service_of(viewer, movement),
    )


def _service_of(viewer: Account, movement: LedgerTransaction) -> Service | None:
    charge = ServiceCharge.objects.filter(transaction=movement).select_related("subscription__account").first()
    if charge is None:
        return None
    share = next((Decimal(share) for owner, share in charge.earnings if owner == viewer.pk), Decimal(0))
    owner = charge.subscription.account
    keyword = Keyword.objects.filter(subscription=charge.subscription).select_related("number").first()
    lease = _lease_of(charge, keyword)
    is_seen = lease is not None and lease.ended_at is None and viewer.pk in (lease.account_id, lease.holder_id)
    return Service(
        charge=charge,
        price=charge.amount if charge.payer_id == viewer.pk else None,
        share=share,
        client=None if owner == viewer else owner,
        number=keyword.number.number if keyword else lease.number.number if lease else "",
        number_page=reverse("numbers:detail", args=[lease.code]) if lease and is_seen else "",
        keyword=keyword.word if keyword else "",
        keyword_page=reverse("keywords:detail", args=[keyword.code]) if keyword and owner == viewer else "",
    )


def _lease_of(charge: ServiceCharge, keyword: Keyword | None) -> Lease | None:
    """The rental that the charge pays for, or in force of the number that has the keyword."""
    leases = Lease.objects.select_related("number")
    if keyword is None:
        return leases.filter(subscription=charge.subscription).first()
    return leases.filter(number=keyword.number, ended_at=None).first()


def _credits_of(viewer: Account, entry: LedgerEntry) -> SmsCredits | None:
    """What the viewer paid or earned in a movement of money for credits; both bear the reference of their transfer."""
    movement = entry.transaction
    if movement.kind not in (Kind.CREDITS, Kind.TAKEBACK) or movement.currency == CREDITS:
        return None
    of_transfer = {"transaction__reference": movement.reference, "transaction__kind": Kind.CREDITS}
    lot = CreditLot.objects.filter(account=movement.about_id, **of_transfer).select_related("account").first()
    if lot is None:
        return None
    is_margin = lot.payer_id != viewer.pk
    unit = margin_of(viewer, lot) if is_margin else lot.unit_price
    return SmsCredits(lot.account, int(abs(entry.amount / unit)), unit, is_margin, movement.kind == Kind.TAKEBACK)


def _messages_of(movement: LedgerTransaction) -> QuerySet[Message]:
    if movement.kind == Kind.HOLD:
        return Message.objects.filter(batch__in=batches_of_hold(movement))
    return Message.objects.filter(settlement=movement)


def _counted(movement: LedgerTransaction) -> list[tuple[Quote, int, int]]:
    """(quote, messages, parts) of the movement's messages."""
    rows = _messages_of(movement).order_by().values_list("quote").annotate(messages=Count("*"), parts=Sum("parts"))
    found = list(rows)
    quotes = Quote.objects.in_bulk([row[0] for row in found])
    return [(quotes[quote_id], messages, parts) for quote_id, messages, parts in found]


def _groups(viewer: Account, movement: LedgerTransaction, counted: list[tuple[Quote, int, int]]) -> list[Group]:
    sums: defaultdict[tuple[str, str, Decimal], list[int]] = defaultdict(lambda: [0, 0])
    for quote, messages, parts in counted:
        found = sums[country_name(quote.country), quote.prefix, _unit_of(viewer, movement, quote)]
        found[0] += messages
        found[1] += parts
    groups = [Group(*key, messages, parts, parts * key[2]) for key, (messages, parts) in sums.items()]
    return sorted(groups, key=lambda group: (-group.total, group.country, group.prefix))


def _unit_of(viewer: Account, movement: LedgerTransaction, quote: Quote) -> Decimal:
    """What a part moves in the viewer's wallet: its price, its margin, or what it adds where that is below zero."""
    if quote.payer_id == viewer.pk:
        return quote.unit_price
    margin = margin_of(viewer, quote)
    return max(Decimal(0), margin if movement.kind == Kind.CAPTURE else -margin)


def margin_of(viewer: Account, priced: Quote | CreditLot) -> Decimal:
    """What the viewer earns on a part or credit: its child's price less its own; 0 where it is not above the payer."""
    chain = [(int(owner), Decimal(price)) for owner, price in priced.chain]
    return next((below - own for (owner, own), (_, below) in pairwise(chain) if owner == viewer.pk), Decimal(0))


def page_of(viewer: Account, movement: LedgerTransaction, cursor: Cursor) -> Page:
    """A page of the messages that a movement is made of, newest first."""
    if movement.kind not in OF_MESSAGES:
        return Page([])
    if movement.kind != Kind.HOLD:
        return page_of_messages(viewer, Chosen(accounts=[movement.about], settlement=movement.pk), cursor)
    batches = batches_of_hold(movement)
    if len(batches) == 1:
        batch = Batch.objects.filter(pk=batches[0]).first()
        return page_of_messages(viewer, Chosen(accounts=[movement.about], batch=batch), cursor)
    # Single messages that were accepted together: no more than fit one page (single_door.GROUP).
    return Page(list(_messages_of(movement).select_related("account", "payer", "quote").order_by("-pk")))
