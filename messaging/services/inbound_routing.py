"""Whose message is it? From the address that a carrier wrote to a virtual number and the account that holds it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from accounts.models import Account
from accounts.phones import read_sender_number
from virtual_numbers.models import Lease, VirtualNumber

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_NUMBER_LIKE = re.compile(r"[+\d\s().\-/]*\d[+\d\s().\-/]*")


class Address(NamedTuple):
    """What a message was sent to: the number as its carrier wrote it, and the route on which it came."""

    recipient: str
    route_id: int


@dataclass(frozen=True)
class Destination:
    """A virtual number and who holds it; None while nobody does, or its rental is suspended."""

    number: VirtualNumber
    holder: Account | None


def find_destinations(addresses: Collection[Address]) -> Mapping[Address, Destination]:
    """The virtual numbers among ``addresses``; two queries however many there are."""
    wanted = {form for address in addresses for form in _forms(address.recipient)}
    numbers: dict[str, list[VirtualNumber]] = {}
    for number in VirtualNumber.objects.filter(number__in=wanted):
        numbers.setdefault(number.number, []).append(number)
    chosen = {address: found for address in addresses if (found := _choose(address, numbers)) is not None}
    holders = _holders_of({number.pk for number in chosen.values()})
    return {address: Destination(number, holders.get(number.pk)) for address, number in chosen.items()}


def _forms(recipient: str) -> list[str]:
    """How the inventory may write a number that carriers write with or without "+"; a short code as it is."""
    digits = recipient.removeprefix("+").removeprefix("00")
    return list(dict.fromkeys([recipient, f"+{digits}"])) if digits.isdigit() else [recipient]


def _choose(address: Address, numbers: Mapping[str, list[VirtualNumber]]) -> VirtualNumber | None:
    """The one number that is meant. Countries may have the same short code: then the route's own decides."""
    found = [number for form in _forms(address.recipient) for number in numbers.get(form, [])]
    own = [number for number in found if number.route_id == address.route_id]
    return own[0] if own else found[0] if len(found) == 1 else None


def _holders_of(number_ids: Collection[int]) -> dict[int, Account]:
    leases = Lease.objects.filter(number__in=number_ids, ended_at=None).select_related("holder", "subscription")
    return {lease.number_id: lease.holder for lease in leases if lease.subscription.works}


def read_phone(sender: str, country: str) -> str:
    """The other side as conversations name it: E.164 with "+", a short code, or a name as it came.

    Carriers write numbers with or without "+", or in the local form of ``country``, that of the virtual number.
    """
    if _E164.fullmatch(sender) or not _NUMBER_LIKE.fullmatch(sender):
        return sender
    return read_sender_number(sender, country) or sender
