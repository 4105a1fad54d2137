"""Leasing: what it costs whom, to the last place, and who gets the number."""

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, AuditEntry
from accounts.services.accounts import suspend_account
from billing.exceptions import InsufficientFunds, NoPrice, PriceChanged, ServiceRefused, WalletFrozen
from billing.models import BillingTerms, LedgerTransaction, Subscription
from billing.selectors import credits_of
from billing.services import ledger
from billing.services.service_prices import money_payer_of
from tests.billing.credits import give, make_credits_client
from tests.billing.services import (
    available,
    in_days,
    lease_number,
    make_number,
    movements_of,
    renew,
    revenue,
    set_margin,
    sides,
)
from tests.cast import Member, check_now, fund, make_client, make_member
from virtual_numbers.exceptions import NumberTaken
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.services import leasing

D = Decimal
Method = BillingTerms.Method


@pytest.fixture
def rich_client(client_member: Member) -> Member:
    """Wallet 100.00, number margin 5.00."""
    fund(client_member, "90", key="rich")
    set_margin(client_member, "5.00")
    return client_member


def make_middle(parent: Member, **terms: Any) -> Member:
    """A client that may have clients of its own."""
    values = {"method": Method.INVOICE} | terms
    return make_member(parent.account, "Middle", can_have_children=True, terms=values)


def nothing_happened(number: VirtualNumber) -> bool:
    number.refresh_from_db()
    moved = LedgerTransaction.objects.filter(kind="number").exists()
    kept = Lease.objects.exists() or Subscription.objects.exists() or AuditEntry.objects.filter(action="number.started")
    return number.state == "free" and not moved and not kept


# --- Prices --------------------------------------------------------------------------------------------------------


def test_nineteen_and_a_margin_of_five_cost_the_client_24_and_bring_its_parent_5(
    reseller: Member, rich_client: Member
) -> None:
    number = make_number()
    offer = leasing.price_for(rich_client.account, number)
    assert (offer.monthly.amount, offer.setup.amount, offer.now) == (D(24), D(0), D(24))
    lease = leasing.lease(account=rich_client.account, number=number, expected=D(24), actor=rich_client.user)
    check_now()
    assert (available(rich_client.account), available(reseller.account), revenue()) == (D(76), D(105), D(19))
    (movement,) = movements_of(lease.subscription)
    assert (movement.kind, sides(movement)) == ("number", {"Client": D(-24), "Reseller": D(5), "Relay": D(19)})
    assert (movement.about, movement.actor) == (rich_client.account, rich_client.user)
    number.refresh_from_db()
    assert (number.state, lease.holder, lease.subscription.label) == ("leased", rich_client.account, "+61480000001")


def test_every_level_of_the_tree_earns_its_own_margin(reseller: Member) -> None:
    middle = make_middle(reseller)
    client = make_client(middle)
    for member, margin in ((reseller, "1.1"), (middle, "2.000001"), (client, "5")):
        set_margin(member, margin)
    fund(client, "30")
    lease = lease_number(client)
    (movement,) = movements_of(lease.subscription)
    # What the platform adds for its own client, the reseller, is the platform's.
    assert sides(movement) == {
        "Client": D("-27.100001"), "Middle": D(5), "Reseller": D("2.000001"), "Relay": D("20.1")
    }  # fmt: skip
    assert leasing.price_for(middle.account, make_number("+61480000002")).monthly.amount == D("22.100001")
    assert leasing.price_for(reseller.account, VirtualNumber.objects.last()).monthly.amount == D("20.1")


def test_the_set_up_is_the_platforms_and_paid_once(reseller: Member, rich_client: Member) -> None:
    number = make_number(setup="7.5")
    offer = leasing.price_for(rich_client.account, number)
    assert (offer.monthly.amount, offer.setup.amount, offer.now) == (D(24), D("7.5"), D("31.5"))
    lease = leasing.lease(account=rich_client.account, number=number, expected=D("31.5"), actor=None)
    setup, month = movements_of(lease.subscription)
    assert sides(setup) == {"Client": D("-7.5"), "Relay": D("7.5")}
    assert sides(month) == {"Client": D(-24), "Reseller": D(5), "Relay": D(19)}
    renew(in_days(40))
    assert [sides(one)["Client"] for one in movements_of(lease.subscription)] == [D("-7.5"), D(-24), D(-24)]
    assert available(reseller.account) == D(110)


def test_a_parent_that_is_billed_pays_its_own_price_and_earns_nothing_of_itself(
    reseller: Member, billed_member: Member
) -> None:
    set_margin(reseller, "1")
    set_margin(billed_member, "5")
    lease = lease_number(billed_member)
    (movement,) = movements_of(lease.subscription)
    assert sides(movement) == {"Reseller": D(-20), "Relay": D(20)}
    assert (lease.account, movement.about) == (billed_member.account, billed_member.account)
    assert available(billed_member.account) == D(0)


def test_a_client_with_sms_credits_leases_out_of_its_parents_money(reseller: Member) -> None:
    client = make_credits_client(reseller)
    give(client, 10)
    had = available(reseller.account)
    lease = lease_number(client)
    assert sides(movements_of(lease.subscription)[0]) == {"Reseller": D(-19), "Relay": D(19)}
    assert available(reseller.account) == had - 19
    assert credits_of(client.account).available == D(10)


def test_whoever_has_the_money_pays_for_clients_of_clients_and_gets_their_margins(reseller: Member) -> None:
    middle = make_middle(reseller, method=Method.BILL_TO_PARENT)
    below = make_client(middle, "Below", method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None)
    paying = make_client(middle, "Paying")
    set_margin(middle, "2")
    set_margin(paying, "5")
    fund(paying, "50")
    assert money_payer_of(below.account) == reseller.account
    assert leasing.price_for(below.account, make_number()).monthly.amount == D(19)
    lease = lease_number(paying, VirtualNumber.objects.get())
    # The middle's money is the reseller's: so is what it earns.
    assert sides(movements_of(lease.subscription)[0]) == {"Paying": D(-26), "Reseller": D(7), "Relay": D(19)}


def test_a_free_number_moves_no_money_and_is_leased(client_member: Member) -> None:
    lease = lease_number(client_member, make_number(monthly="0"))
    assert movements_of(lease.subscription) == []
    (charged,) = lease.subscription.charges.all()
    assert (charged.part, charged.amount, charged.transaction) == ("month", D(0), None)


# --- Refused -------------------------------------------------------------------------------------------------------


def test_a_number_without_a_price_in_the_currency_cannot_be_leased(client_member: Member) -> None:
    number = make_number(currency="EUR")
    with pytest.raises(NoPrice, match="no price in AUD"):
        lease_number(client_member, number)
    assert nothing_happened(number)


def test_another_price_than_was_shown_charges_nothing(rich_client: Member) -> None:
    number = make_number()
    with pytest.raises(PriceChanged, match=r"costs AUD 24\.00 now, not AUD 23\.00 as shown"):
        leasing.lease(account=rich_client.account, number=number, expected=D(23), actor=None)
    assert nothing_happened(number)
    assert available(rich_client.account) == D(100)


@pytest.mark.parametrize(("setup", "cost", "missing"), [("0", "19", "9"), ("2", "21", "11"), ("40", "59", "49")])
def test_what_is_missing_is_named_with_its_set_up(client_member: Member, setup: str, cost: str, missing: str) -> None:
    number = make_number(setup=setup)
    words = rf"costs AUD {cost}\.00 now and your balance is AUD 10\.00: AUD {missing}\.00 are missing"
    with pytest.raises(InsufficientFunds, match=words) as refused:
        lease_number(client_member, number)
    assert refused.value.shortfall == D(missing)
    assert nothing_happened(number)
    assert available(client_member.account) == D(10)


def test_a_client_that_sees_no_money_is_told_no_amount(reseller: Member, billed_member: Member) -> None:
    fund(reseller, "-95", key="poor")
    number = make_number()
    with pytest.raises(InsufficientFunds) as refused:
        lease_number(billed_member, number)
    assert not any(character.isdigit() for character in str(refused.value))
    assert refused.value.shortfall == D(0)
    assert nothing_happened(number)


def test_a_disputed_payment_stops_leasing(rich_client: Member) -> None:
    ledger.set_frozen(rich_client.account, lambda: True)
    number = make_number()
    with pytest.raises(WalletFrozen):
        lease_number(rich_client, number)
    assert nothing_happened(number)


def test_a_suspended_account_and_one_below_it_lease_nothing(reseller: Member, rich_client: Member) -> None:
    suspend_account(account=reseller.account, actor=None)
    number = make_number()
    for member in (reseller, rich_client):
        with pytest.raises(ServiceRefused, match="suspended"):
            lease_number(member, number)
    assert nothing_happened(number)


def test_an_account_whose_trial_is_over_leases_nothing(rich_client: Member) -> None:
    BillingTerms.objects.filter(account=rich_client.account).update(trial_ends_on="2026-01-31")
    number = make_number()
    with pytest.raises(ServiceRefused, match="trial of this account ended on 2026-01-31"):
        lease_number(rich_client, number)
    assert nothing_happened(number)


@pytest.mark.parametrize("state", ["reserved", "quarantined", "ported_out", "leased"])
def test_only_a_free_number_can_be_leased(rich_client: Member, state: str) -> None:
    number = make_number()
    VirtualNumber.objects.filter(pk=number.pk).update(state=state, quarantined_until=timezone.now())
    with pytest.raises(NumberTaken, match="Choose another"):
        lease_number(rich_client, number)
    assert not Lease.objects.exists()
    assert available(rich_client.account) == D(100)


def test_a_reserved_number_is_leased_by_whom_it_is_reserved_for(rich_client: Member, reseller: Member) -> None:
    number = make_number()
    VirtualNumber.objects.filter(pk=number.pk).update(state="reserved", reserved_for=rich_client.account)
    with pytest.raises(NumberTaken):
        lease_number(reseller, number)
    lease_number(rich_client, number)
    number.refresh_from_db()
    assert (number.state, number.reserved_for) == ("leased", None)


def test_a_change_of_who_pays_between_price_and_charge_is_refused(
    reseller: Member, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(client_member, "-10", key="empty")
    real = leasing.price_for

    def switched(account: Account, number: VirtualNumber) -> leasing.Offer:
        offer = real(account, number)
        BillingTerms.objects.filter(account=account).update(method=Method.CARD_VARIABLE)
        return offer

    BillingTerms.objects.filter(account=client_member.account).update(method=Method.BILL_TO_PARENT)
    monkeypatch.setattr(leasing, "price_for", switched)
    number = make_number()
    with pytest.raises(Exception, match="Who pays for this account has just been changed"):
        lease_number(client_member, number)
    assert nothing_happened(number)
    assert available(reseller.account) == D(100)
