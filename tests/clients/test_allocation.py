"""Section 5 of the form: a number of the parent is given, exchanged and taken back with all else, or nothing is."""

import re
from html import unescape
from typing import Any

import pytest

from accounts.models import Account
from contacts.models import ContactList
from tests.billing.services import lease_number, make_number
from tests.cast import LogIn, Member
from tests.clients.forms import filled
from virtual_numbers.models import Lease, NumberSettings
from virtual_numbers.services import leasing
from virtual_numbers.services.settings import save_settings


@pytest.fixture
def lease(reseller: Member) -> Lease:
    """A number that the reseller leases and nobody else has."""
    return lease_number(reseller, make_number("+61480000001"))


@pytest.fixture
def second(reseller: Member) -> Lease:
    return lease_number(reseller, make_number("+61480000002"))


def add(log_in: LogIn, member: Member, **changes: Any) -> Any:
    return log_in(member.user).post("/clients/add/", filled(**changes))


def edit(log_in: LogIn, member: Member, client: Account, **changes: Any) -> Any:
    return log_in(member.user).post(f"/clients/{client.code}/edit/", filled(password="", **changes))


def offered(log_in: LogIn, member: Member, path: str) -> list[str]:
    """The values of the drop-down, the chosen one with a star."""
    page = log_in(member.user).get(path).content.decode()
    select = re.search(r'<select name="allocation".*?</select>', page, re.DOTALL)
    assert select is not None
    return [f"{value}{'*' if chosen else ''}" for value, chosen in re.findall(r'value="(\w+)"( selected)?', select[0])]


def added() -> Account:
    return Account.objects.get(name="Jones & Co")


def error_at_allocation(response: Any) -> str:
    errors = dict(response.context["form"].errors)
    assert list(errors) == ["allocation"], errors
    return str(errors["allocation"][0])


def set_up(lease: Lease, holder: Account) -> None:
    """Let the holder set something on the number."""
    values: dict[str, Any] = dict.fromkeys(("first_reply", "later_reply", "forward_url"), "")
    team = ContactList.objects.create(account=holder, name="Team")
    save_settings(
        lease=lease, holder=holder, actor=None, contact_list=team, forward_emails=[], forward_mobiles=[], **values
    )


def test_the_form_offers_own_and_the_numbers_that_nobody_has(
    reseller: Member, outsider: Member, client_member: Member, lease: Lease, second: Lease, log_in: LogIn
) -> None:
    leasing.allocate(lease=second, child=client_member.account, actor=None)
    lease_number_of(outsider)
    lease_number(client_member, make_number("+61480000004", monthly="1"))
    assert offered(log_in, reseller, "/clients/add/") == ["own*", lease.code]
    page = unescape(log_in(reseller.user).get("/clients/add/").content.decode())
    assert "+61480000001 (Australia)" in page


def test_a_new_client_has_the_chosen_number_and_the_reseller_goes_on_paying(
    reseller: Member, lease: Lease, log_in: LogIn
) -> None:
    assert add(log_in, reseller, allocation=lease.code).status_code == 302
    client = added()
    lease.refresh_from_db()
    assert (lease.account, lease.holder, lease.allocated_to) == (reseller.account, client, client)
    assert (client.number_terms.allocation, client.number_terms.margin) == ("parent", 5)
    assert offered(log_in, reseller, f"/clients/{client.code}/edit/") == ["own", f"{lease.code}*"]


def test_with_any_error_neither_the_client_is_made_nor_the_number_given(
    reseller: Member, lease: Lease, log_in: LogIn
) -> None:
    response = add(log_in, reseller, allocation=lease.code, name="")
    assert "name" in response.context["form"].errors
    assert f'value="{lease.code}" selected' in response.content.decode(), "the choice stays"
    lease.refresh_from_db()
    assert lease.allocated_to is None


def test_a_number_that_another_client_got_meanwhile_is_refused_at_its_field(
    reseller: Member, client_member: Member, lease: Lease, log_in: LogIn
) -> None:
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    response = add(log_in, reseller, allocation=lease.code)
    assert error_at_allocation(response).startswith("This number is no longer free to give")
    assert not Account.objects.filter(name="Jones & Co").exists()


def test_nobody_gives_a_number_of_somebody_else(reseller: Member, outsider: Member, log_in: LogIn) -> None:
    foreign = lease_number_of(outsider)
    assert error_at_allocation(add(log_in, reseller, allocation=foreign.code))
    foreign.refresh_from_db()
    assert foreign.allocated_to is None


def lease_number_of(member: Member) -> Lease:
    number = make_number("+61480000009", monthly="0")
    return lease_number(member, number)


def test_another_number_replaces_the_first_in_one_step(
    reseller: Member, lease: Lease, second: Lease, log_in: LogIn
) -> None:
    add(log_in, reseller, allocation=lease.code)
    assert edit(log_in, reseller, added(), allocation=second.code).status_code == 302
    lease.refresh_from_db()
    second.refresh_from_db()
    assert (lease.allocated_to, second.allocated_to) == (None, added())


def test_the_number_is_taken_back_when_the_client_buys_its_own(reseller: Member, lease: Lease, log_in: LogIn) -> None:
    add(log_in, reseller, allocation=lease.code)
    assert edit(log_in, reseller, added(), allocation="own").status_code == 302
    lease.refresh_from_db()
    assert (lease.allocated_to, lease.holder) == (None, reseller.account)
    assert added().number_terms.allocation == "own"


def test_a_refused_change_takes_nothing_back(
    reseller: Member, client_member: Member, lease: Lease, second: Lease, log_in: LogIn
) -> None:
    add(log_in, reseller, allocation=lease.code)
    leasing.allocate(lease=second, child=client_member.account, actor=None)
    assert error_at_allocation(edit(log_in, reseller, added(), allocation=second.code))
    lease.refresh_from_db()
    assert lease.allocated_to == added()


def test_an_update_of_something_else_leaves_the_number_and_its_settings(
    reseller: Member, lease: Lease, log_in: LogIn
) -> None:
    add(log_in, reseller, allocation=lease.code)
    set_up(lease, added())
    assert edit(log_in, reseller, added(), allocation=lease.code, number_margin="7.00").status_code == 302
    assert NumberSettings.objects.filter(lease=lease).exists()
    assert added().number_terms.margin == 7


def test_what_ends_with_the_number_is_confirmed_first(reseller: Member, lease: Lease, log_in: LogIn) -> None:
    add(log_in, reseller, allocation=lease.code)
    set_up(lease, added())
    asked = edit(log_in, reseller, added(), allocation="own")
    page = unescape(asked.content.decode())
    assert "Please confirm: +61 480 000 001 is taken back" in page
    assert "The replies, list and forwards that the client set on the number are deleted." in page
    lease.refresh_from_db()
    assert lease.allocated_to == added(), "nothing happened yet"
    token = re.search(r'name="confirmed_loss" value="([^"]+)"', page)
    assert token is not None
    done = edit(log_in, reseller, added(), allocation="own", confirmed_loss=token[1])
    assert done.status_code == 302
    lease.refresh_from_db()
    assert lease.allocated_to is None
    assert not NumberSettings.objects.exists()


def test_a_client_whose_number_was_taken_back_on_its_page_does_not_begin_to_buy(
    reseller: Member, lease: Lease, log_in: LogIn
) -> None:
    add(log_in, reseller, allocation=lease.code)
    lease.refresh_from_db()
    leasing.take_back(lease=lease, actor=None)
    path = f"/clients/{added().code}/edit/"
    assert offered(log_in, reseller, path) == ["own", "parent*", lease.code]
    assert edit(log_in, reseller, added(), allocation="parent").status_code == 302
    assert added().number_terms.allocation == "parent"


def test_a_reseller_without_money_of_its_own_gives_numbers_too(
    billed_member: Member, reseller: Member, log_in: LogIn
) -> None:
    Account.objects.filter(pk=billed_member.account.pk).update(can_have_children=True)
    lease = lease_number(billed_member, make_number())
    add(log_in, billed_member, payer="parent", method="bill_to_parent", allocation=lease.code)
    lease.refresh_from_db()
    assert lease.allocated_to == added()


def test_the_client_page_names_its_numbers_and_keywords(reseller: Member, lease: Lease, log_in: LogIn) -> None:
    add(log_in, reseller, allocation=lease.code)
    page = unescape(log_in(reseller.user).get(f"/clients/{added().code}/").content.decode())
    assert "+61 480 000 001" in page
    assert "given by you" in page
    assert "The client has the numbers that you give it." in page
