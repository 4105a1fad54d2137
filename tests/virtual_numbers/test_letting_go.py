"""Release, quarantine, allocation, and whose number it is at each moment."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from billing.exceptions import SubscriptionOver
from tests.billing.services import available, in_days, lease_number, make_number, movements_of, renew
from tests.cast import Member, fund, make_client
from virtual_numbers import selectors
from virtual_numbers.exceptions import LeaseOver, NotAllocatable, NumberTaken
from virtual_numbers.models import Lease, NumberSettings, VirtualNumber
from virtual_numbers.services import leasing
from virtual_numbers.tasks import end_quarantines, renew_numbers

D = Decimal


@pytest.fixture
def lease(reseller: Member) -> Lease:
    return lease_number(reseller)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What rooms above are told: number and who does not use it any more."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(leasing, "_deeds", [])
    leasing.when_holder_leaves(lambda number, holder, actor, now: told.append((number.number, holder.name)))
    return told


def configure(lease: Lease) -> None:
    NumberSettings.objects.create(lease=lease, first_reply="Hello from the holder")


# --- Release and quarantine ----------------------------------------------------------------------------------------


def test_a_released_number_rests_for_thirty_days(reseller: Member, outsider: Member, lease: Lease) -> None:
    fund(outsider, "50")
    number, now = lease.number, timezone.now()
    leasing.release(lease=lease, actor=reseller.user, now=now)
    number.refresh_from_db()
    assert (number.state, number.quarantined_until) == ("quarantined", now + timedelta(days=30))
    with pytest.raises(NumberTaken):
        lease_number(outsider, number)
    assert leasing.end_quarantines(now + timedelta(days=30, seconds=-1)) == 0
    assert leasing.end_quarantines(now + timedelta(days=30)) == 1
    number.refresh_from_db()
    assert (number.state, number.quarantined_until) == ("free", None)
    assert lease_number(outsider, number).holder == outsider.account


def test_the_length_of_quarantine_is_a_setting(reseller: Member, lease: Lease, settings) -> None:
    settings.NUMBER_QUARANTINE_DAYS = 3
    leasing.release(lease=lease, actor=None)
    assert leasing.end_quarantines(in_days(4)) == 1


def test_a_release_keeps_what_was_paid_and_charges_no_more(reseller: Member, lease: Lease, left) -> None:
    configure(lease)
    leasing.release(lease=lease, actor=reseller.user)
    assert renew(in_days(40)).months == 0
    lease.subscription.refresh_from_db()
    assert (lease.subscription.state, len(movements_of(lease.subscription))) == ("ended", 1)
    assert available(reseller.account) == D(81)
    assert not NumberSettings.objects.exists()
    assert left == [("+61480000001", "Reseller")]
    ended = AuditEntry.objects.get(action="number.ended")
    assert (ended.actor, ended.data["label"]) == (reseller.user, "+61480000001")


def test_a_number_is_released_once(lease: Lease) -> None:
    leasing.release(lease=lease, actor=None)
    VirtualNumber.objects.update(state="free", quarantined_until=None)
    with pytest.raises(SubscriptionOver, match="given up already"):
        leasing.release(lease=lease, actor=None)
    assert VirtualNumber.objects.get().state == "free"


def test_the_tasks_renew_and_end_quarantines(reseller: Member) -> None:
    lease = lease_number(reseller, now=in_days(-40))
    renew_numbers()
    assert len(movements_of(lease.subscription)) == 2
    leasing.release(lease=lease, actor=None, now=in_days(-31))
    end_quarantines()
    assert VirtualNumber.objects.get().state == "free"


# --- Allocation ----------------------------------------------------------------------------------------------------


def test_an_allocated_number_is_the_clients_and_paid_by_its_parent(
    reseller: Member, client_member: Member, lease: Lease, left
) -> None:
    configure(lease)
    given = leasing.allocate(lease=lease, child=client_member.account, actor=reseller.user)
    assert (given.account, given.allocated_to, given.holder) == (
        reseller.account, client_member.account, client_member.account
    )  # fmt: skip
    assert left == [("+61480000001", "Reseller")]
    assert not NumberSettings.objects.exists()  # the parent's own
    assert selectors.holder_of(lease.number) == client_member.account
    assert [held.pk for held in selectors.held_by(client_member.account)] == [lease.pk]
    assert not selectors.held_by(reseller.account)
    assert [one.pk for one in selectors.leased_by(reseller.account)] == [lease.pk]
    renew(in_days(40))
    assert (available(client_member.account), available(reseller.account)) == (D(10), D(62))


def test_taking_back_ends_what_the_client_set_up(reseller: Member, client_member: Member, lease: Lease, left) -> None:
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    configure(lease)
    back = leasing.take_back(lease=lease, actor=reseller.user)
    assert (back.allocated_to, back.holder) == (None, reseller.account)
    assert not NumberSettings.objects.exists()
    assert left == [("+61480000001", "Reseller"), ("+61480000001", "Client")]
    assert AuditEntry.objects.get(action="number.taken_back").data["client"] == client_member.account.code


def test_a_release_takes_the_number_from_the_client_too(client_member: Member, lease: Lease, left) -> None:
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    leasing.release(lease=lease, actor=None)
    assert left[-1] == ("+61480000001", "Client")
    assert selectors.holder_of(lease.number) is None
    assert not selectors.held_by(client_member.account)


def test_a_number_goes_to_clients_of_who_leases_it_only(
    reseller: Member, client_member: Member, outsider: Member, lease: Lease
) -> None:
    theirs = make_client(outsider, "Theirs")
    for stranger in (theirs.account, outsider.account, reseller.account):
        with pytest.raises(NotAllocatable, match="only be given to a client of Reseller"):
            leasing.allocate(lease=lease, child=stranger, actor=None)
    with pytest.raises(NotAllocatable, match="allocated to no client"):
        leasing.take_back(lease=lease, actor=None)
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    with pytest.raises(NotAllocatable, match="with Client; take it back first"):
        leasing.allocate(lease=lease, child=make_client(reseller, "Sibling").account, actor=None)
    lease.refresh_from_db()
    assert lease.holder == client_member.account


def test_a_released_number_is_neither_given_nor_taken_back(client_member: Member, lease: Lease) -> None:
    leasing.release(lease=lease, actor=None)
    with pytest.raises(LeaseOver, match="has been released"):
        leasing.allocate(lease=lease, child=client_member.account, actor=None)
    with pytest.raises(LeaseOver):
        leasing.take_back(lease=lease, actor=None)


# --- Who has which number ------------------------------------------------------------------------------------------


def test_a_number_is_found_however_a_carrier_writes_it(lease: Lease) -> None:
    for written in ("+61480000001", "61480000001", "+61 480 000 001"):
        assert selectors.number_of(written) == lease.number
    for unknown in ("", "abc", "0480000001", "61480000002"):
        assert selectors.number_of(unknown) is None


def test_a_short_code_is_its_countrys(platform) -> None:
    au, nz = (VirtualNumber.objects.create(number="12345", kind="short", country=land) for land in ("AU", "NZ"))
    assert selectors.number_of("12345", "AU") == au
    assert selectors.number_of("12345", "NZ") == nz
    assert selectors.number_of("12345") is None  # nobody can tell whose
    nz.delete()
    assert selectors.number_of("12345") == au
    assert selectors.number_of("12345", "GB") is None


def test_nobody_holds_a_number_that_is_free_or_suspended(reseller: Member) -> None:
    number = make_number()
    assert selectors.holder_of(number) is None
    assert selectors.senders_of(reseller.account) == []
    subscription = lease_number(reseller, number).subscription
    fund(reseller, "-81", key="poor")
    begin = subscription.next_renewal_on - timezone.now().date()
    renew(in_days(begin.days + 1))
    assert selectors.holder_of(number) == reseller.account  # in grace it works
    assert selectors.senders_of(reseller.account) == [number]
    renew(in_days(begin.days + 9))
    assert selectors.holder_of(number) is None
    assert selectors.senders_of(reseller.account) == []
    assert [lease.number for lease in selectors.held_by(reseller.account)] == [number]


def test_numbers_that_cannot_send_are_no_senders(reseller: Member) -> None:
    number = make_number()
    VirtualNumber.objects.update(capabilities=["sms_in"])
    lease_number(reseller, number)
    assert selectors.senders_of(reseller.account) == []
