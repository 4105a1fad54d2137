"""Leasing numbers, giving them to clients and letting them go (PRODUCT.md, money rule 6).

Locks in order: subscription, lease, number, then what rooms above keep for it, wallets. Leasing makes its subscription
itself, so it begins with the number.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import PriceChanged
from billing.models import Subscription
from billing.services import subscriptions
from billing.services.subscriptions import Counts
from billing.wording import money_text
from virtual_numbers.exceptions import LeaseOver, LeasingNotOffered, NotAllocatable, NumberTaken
from virtual_numbers.models import Lease, NumberSettings, VirtualNumber
from virtual_numbers.prices import Offer as Offer
from virtual_numbers.prices import price_for, price_of
from virtual_numbers.selectors import may_lease

State = VirtualNumber.State

# (number, the account that does not use it any more, who did it, when)
Deed = Callable[[VirtualNumber, Account, User | None, datetime], object]
_deeds: list[Deed] = []


def when_holder_leaves(deed: Deed) -> None:
    """Have ``deed`` done in the transaction in which a number leaves its holder: released, taken away or handed on.

    For rooms above this one, which keep things for a holder's number; called once, as the portal starts.
    """
    if deed not in _deeds:
        _deeds.append(deed)


# --- Lease and release ---------------------------------------------------------------------------------------------


@transaction.atomic
def lease(
    *, account: Account, number: VirtualNumber, expected: Decimal | None, label: str = "", actor: User | None,
    now: datetime | None = None,
) -> Lease:  # fmt: skip
    """Lease a number: set-up and first month are charged now, the next months on the same day of each.

    ``expected``: what the person saw that it costs now (Offer.now), None for an account that sees no money. Raises
    LeasingNotOffered, NumberTaken, PriceChanged, NoPrice, and as subscriptions.start.
    """
    if not may_lease(account):
        raise LeasingNotOffered("Your numbers are given to you; ask whoever manages your account for another one.")
    now = now or timezone.now()
    current = _lock_number(number.pk)
    if current.state != State.FREE and (current.state, current.reserved_for_id) != (State.RESERVED, account.pk):
        raise NumberTaken(f"{current} cannot be leased any more: somebody else was faster. Choose another number.")
    offer = price_for(account, current)
    if expected is not None and offer.now != expected:
        raise PriceChanged(
            f"{current} costs {money_text(offer.now, account.currency)} now, not "
            f"{money_text(expected, account.currency)} as shown before. Nothing was charged; look at the new price."
        )
    subscription = subscriptions.start(
        account=account, service=Subscription.Service.NUMBER, label=current.number, first=offer.monthly,
        setup=offer.setup if offer.setup.amount else None, actor=actor, now=now,
    )  # fmt: skip
    made = Lease.objects.create(
        number=current, account=account, holder=account, label=label, subscription=subscription, started_at=now
    )
    current.state, current.reserved_for = State.LEASED, None
    current.save(update_fields=["state", "reserved_for"])
    return made


def _lock_number(number_id: int) -> VirtualNumber:
    return VirtualNumber.objects.select_for_update().get(pk=number_id)


@transaction.atomic
def release(*, lease: Lease, actor: User | None, now: datetime | None = None) -> None:
    """Give a leased number up at once, with its settings and keywords; it rests in quarantine before others get it.

    What is paid stays paid. A client that it is allocated to loses it too. Raises SubscriptionOver.
    """
    now = now or timezone.now()
    subscriptions.end(lease.subscription, actor=actor, now=now)
    _end_lease(lease.subscription, actor, now)


def _end_lease(subscription: Subscription, actor: User | None, now: datetime) -> None:
    """What follows the end of the subscription, which is locked."""
    found = _lock_lease(subscription=subscription)
    found.ended_at = now
    found.save(update_fields=["ended_at"])
    number = _lock_number(found.number_id)
    _leave(found, number, actor, now)
    number.state = State.QUARANTINED
    number.quarantined_until = now + timedelta(days=settings.NUMBER_QUARANTINE_DAYS)
    number.save(update_fields=["state", "quarantined_until"])


def _lock_lease(**which: object) -> Lease:
    """The lease as it is now, locked until the transaction ends.

    Without joins: a row that changes while this waits for its lock would no longer match what it was joined with.
    """
    return Lease.objects.select_for_update().get(**which)


def _leave(found: Lease, number: VirtualNumber, actor: User | None, now: datetime) -> None:
    """Nothing that the holder set up may act on messages to whoever comes next."""
    NumberSettings.objects.filter(lease=found).delete()
    for deed in _deeds:
        deed(number, found.holder, actor, now)


def end_quarantines(now: datetime) -> int:
    """Offer numbers again whose quarantine is over; returns how many."""
    over = VirtualNumber.objects.filter(state=State.QUARANTINED, quarantined_until__lte=now)
    return over.update(state=State.FREE, quarantined_until=None)


# --- Allocation ----------------------------------------------------------------------------------------------------


@transaction.atomic
def allocate(*, lease: Lease, child: Account, actor: User | None) -> Lease:
    """Let a direct client use the number in place of who leases it, and goes on paying for it.

    Settings and keywords that it had on the number end. Raises LeaseOver and NotAllocatable.
    """
    found = _lock_open(lease)
    if child.parent_id != found.account_id:
        raise NotAllocatable(f"{found.number} can only be given to a client of {found.account.name}.")
    if found.allocated_to is not None:
        raise NotAllocatable(f"{found.number} is with {found.allocated_to.name}; take it back first.")
    return _hand_over(found, child, actor, "number.allocated")


@transaction.atomic
def take_back(*, lease: Lease, actor: User | None) -> Lease:
    """End an allocation: who leases the number uses it again, and the client's settings and keywords on it end.

    Raises LeaseOver, and NotAllocatable when it is allocated to nobody.
    """
    found = _lock_open(lease)
    if found.allocated_to is None:
        raise NotAllocatable(f"{found.number} is allocated to no client; reload the page.")
    return _hand_over(found, None, actor, "number.taken_back")


def _lock_open(lease: Lease) -> Lease:
    found = _lock_lease(pk=lease.pk)
    if found.ended_at is not None:
        raise LeaseOver(f"{found.number} has been released; reload the page.")
    return found


def _hand_over(found: Lease, child: Account | None, actor: User | None, action: str) -> Lease:
    other = child or found.allocated_to
    _leave(found, _lock_number(found.number_id), actor, timezone.now())
    found.allocated_to, found.holder = child, child or found.account
    found.save(update_fields=["allocated_to", "holder"])
    audit.record(
        account=found.account, actor=actor, action=action, subject=found.code, number=found.number.number,
        client=other.code if other else "",
    )  # fmt: skip
    return found


# --- Renewals ------------------------------------------------------------------------------------------------------


def renew_numbers(now: datetime) -> Counts:
    """Charge the numbers' months that are due; what is not paid in time is suspended, then released."""
    return subscriptions.renew_due(
        Subscription.Service.NUMBER, price_of=price_of, on_end=lambda ended: _end_lease(ended, None, now), now=now
    )
