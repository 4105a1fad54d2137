"""Reads of numbers: whose is which, and who may use it."""

import re

from django.db.models import Q, QuerySet
from django.http import Http404

from accounts.models import Account
from billing.models import Subscription
from virtual_numbers.models import Lease, NumberTerms, VirtualNumber

Capability = VirtualNumber.Capability
_NOT_DIGITS = re.compile(r"\D")


def number_of(recipient: str, country: str = "") -> VirtualNumber | None:
    """The number that a carrier means by ``recipient``: E.164 with or without +, or a short code.

    A short code is a country's own (ISO 3166): without ``country`` it is found while one country alone has it.
    """
    digits = _NOT_DIGITS.sub("", recipient)
    if not digits:
        return None
    found = VirtualNumber.objects.exclude(kind=VirtualNumber.Kind.SHORT).filter(number=f"+{digits}").first()
    if found is not None:
        return found
    codes = VirtualNumber.objects.filter(kind=VirtualNumber.Kind.SHORT, number=digits)
    rows = list((codes.filter(country=country) if country else codes)[:2])
    return rows[0] if len(rows) == 1 else None


def held_by(account: Account) -> QuerySet[Lease]:
    """Leases of the numbers that the account uses, its own and those allocated to it, working or suspended."""
    held = Lease.objects.filter(holder=account, ended_at=None)
    return held.select_related("number", "account", "holder", "subscription").order_by("number__number")


def leased_by(account: Account) -> QuerySet[Lease]:
    """Leases that the account pays for, with those that it gave to clients."""
    leased = Lease.objects.filter(account=account, ended_at=None)
    return leased.select_related("number", "holder", "allocated_to", "subscription").order_by("number__number")


def lease_of(number: VirtualNumber) -> Lease | None:
    """The number's lease in force, working or suspended."""
    found = Lease.objects.filter(number=number, ended_at=None)
    return found.select_related("number", "account", "holder", "subscription").first()


def holder_of(number: VirtualNumber) -> Account | None:
    """Who uses the number now; None while nobody leases it, and while its lease is suspended for want of money."""
    found = lease_of(number)
    return found.holder if found is not None and found.subscription.works else None


def senders_of(account: Account) -> list[VirtualNumber]:
    """The numbers that the account may send from now, by number."""
    working = held_by(account).filter(subscription__state__in=Subscription.WORKING)
    return [lease.number for lease in working.filter(number__capabilities__contains=[Capability.SMS_OUT])]


def may_lease(account: Account) -> bool:
    """Whether the account picks numbers from the list itself (seed 1, step 5); else it has those that it is given."""
    return not NumberTerms.objects.filter(account=account).exclude(allocation=NumberTerms.Allocation.OWN).exists()


def get_lease_for(account: Account, code: str) -> Lease:
    """A lease in force that the account pays for or whose number it uses; anything else is 404."""
    found = Lease.objects.filter(code=code, ended_at=None).filter(Q(account=account) | Q(holder=account))
    lease = found.select_related("number__route", "account", "holder", "allocated_to", "subscription").first()
    if lease is None:
        raise Http404("No such number.")
    return lease
