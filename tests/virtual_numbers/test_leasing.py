"""Leasing: what it costs whom, to the last place, and who gets the number."""

from decimal import Decimal

from tests.billing.services import available, lease_number, make_number, movements_of, revenue, set_margin, sides
from tests.cast import Member, check_now, fund
from virtual_numbers.models import VirtualNumber
from virtual_numbers.services import leasing

D = Decimal


def test_nineteen_and_a_margin_of_five_cost_the_client_24_and_bring_its_parent_5(
    reseller: Member, client_member: Member
) -> None:
    fund(client_member, "20", key="more")
    set_margin(client_member, "5.00")
    offer = leasing.price_for(client_member.account, make_number())
    assert (offer.monthly.amount, offer.setup.amount, offer.now) == (D(24), D(0), D(24))
    lease = lease_number(client_member, VirtualNumber.objects.get())
    check_now()
    assert available(client_member.account) == D(6)
    assert available(reseller.account) == D(105)
    assert revenue() == D(19)
    (movement,) = movements_of(lease.subscription)
    assert (movement.kind, sides(movement)) == ("number", {"Client": D(-24), "Reseller": D(5), "Relay": D(19)})
