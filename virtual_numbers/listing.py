"""What the pages of NUMBERS show: an account's numbers, and those that it could lease."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet

from accounts.countries import country_name
from accounts.models import Account
from billing.exceptions import NotAllowed
from billing.selectors import shows_money
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.prices import NumberPrices, Offer
from virtual_numbers.selectors import leased_by

OFFERS_PER_PAGE = 25
MOST_DIGITS = 15
State = VirtualNumber.State


# --- What an account has -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NumberRow:
    """A number as one account sees it: what it leases or what was allocated to it.

    ``offer``: what the next month costs; None where the account does not pay, sees no money, or nobody can say.
    """

    lease: Lease
    viewer: Account
    offer: Offer | None = None

    @property
    def is_mine(self) -> bool:
        """Whether the viewer leases it; else its provider does, and allocated it."""
        return self.lease.account_id == self.viewer.pk

    @property
    def is_used(self) -> bool:
        """Whether its messages are the viewer's; else those of the client that it is allocated to."""
        return self.lease.holder_id == self.viewer.pk

    @property
    def country_name(self) -> str:
        return country_name(self.lease.number.country)

    @property
    def suspends_on(self) -> date | None:
        """In grace: the day from which it stands still unless it is paid."""
        since = self.lease.subscription.due_since
        return since + timedelta(days=settings.RENEWAL_GRACE_DAYS) if since else None

    @property
    def ends_on(self) -> date | None:
        """Suspended: the day on which it is released unless it is paid."""
        since = self.lease.subscription.suspended_since
        return since + timedelta(days=settings.RENEWAL_SUSPENDED_DAYS) if since else None


def rows_of(account: Account) -> list[NumberRow]:
    """Every number that the account leases or uses, by number."""
    used = Lease.objects.filter(holder=account, ended_at=None).exclude(account=account)
    used = used.select_related("number", "account", "holder", "allocated_to", "subscription")
    leases = sorted([*leased_by(account), *used], key=lambda lease: lease.number.number)
    offers = _offers(account, [lease.number for lease in leases if lease.account_id == account.pk])
    return [NumberRow(lease, account, offers.get(lease.number_id)) for lease in leases]


def row_of(account: Account, lease: Lease) -> NumberRow:
    """One of the account's numbers."""
    numbers = [lease.number] if lease.account_id == account.pk else []
    return NumberRow(lease, account, _offers(account, numbers).get(lease.number_id))


def _offers(account: Account, numbers: list[VirtualNumber]) -> dict[int, Offer]:
    if not numbers or not shows_money(account):
        return {}
    return NumberPrices(account).offers(numbers)


# --- What it could lease -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What the list of numbers on offer is narrowed to; unknown words in the query are read as none."""

    country: str = ""
    kind: str = ""
    digits: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, Any]) -> "Wanted":
        kind = str(query.get("type", ""))
        return cls(
            country=str(query.get("country", ""))[:2].upper(),
            kind=kind if kind in VirtualNumber.Kind.values else "",
            digits=re.sub(r"\D", "", str(query.get("digits", "")))[:MOST_DIGITS],
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.country or self.kind or self.digits)


@dataclass(frozen=True)
class OfferedNumber:
    """A number that can be leased; ``offer`` None where the account sees no money."""

    number: VirtualNumber
    offer: Offer | None

    @property
    def country_name(self) -> str:
        return country_name(self.number.country)


@dataclass(frozen=True)
class OfferList:
    """A page of numbers on offer, and the countries in which there are any."""

    wanted: Wanted
    page: Page[Any]
    rows: list[OfferedNumber]
    countries: list[tuple[str, str]]


def on_offer(account: Account) -> QuerySet[VirtualNumber]:
    """Numbers that the account could lease now: free or reserved for it, with a price in its currency."""
    open_to_it = Q(state=State.FREE) | Q(state=State.RESERVED, reserved_for=account)
    return VirtualNumber.objects.filter(open_to_it, prices__currency=account.currency).order_by("country", "number")


def list_offers(account: Account, wanted: Wanted, page_number: str) -> OfferList:
    """The page ``page_number`` (1 where it is missing or wrong) of what the account could lease."""
    offered = on_offer(account)
    codes = offered.order_by("country").values_list("country", flat=True).distinct()
    countries = sorted(((code, country_name(code)) for code in codes), key=lambda one: one[1])
    if wanted.country:
        offered = offered.filter(country=wanted.country)
    if wanted.kind:
        offered = offered.filter(kind=wanted.kind)
    if wanted.digits:
        offered = offered.filter(number__contains=wanted.digits)
    page = Paginator(offered, OFFERS_PER_PAGE).get_page(page_number)
    numbers = list(page.object_list)
    prices = _offers(account, numbers)
    return OfferList(wanted, page, [OfferedNumber(one, prices.get(one.pk)) for one in numbers], countries)


def offer_of(account: Account, code: str) -> OfferedNumber | None:
    """The number with that code as it is offered to the account; None when it is not, or not any more.

    Raises NotAllowed when nobody pays for the account.
    """
    number = on_offer(account).filter(code=code).first()
    if number is None:
        return None
    offer = NumberPrices(account).offers([number]).get(number.pk)
    return OfferedNumber(number, offer) if offer else None


def can_be_paid(account: Account) -> bool:
    """Whether anybody pays for what the account leases; an account without billing terms has nobody yet."""
    try:
        NumberPrices(account)
    except NotAllowed:
        return False
    return True
