"""Staff's inventory: numbers are read for their country, states change by actions, refusals are said."""

from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from messaging.models import Route
from tests.billing.services import lease_number, make_number
from tests.cast import PASSWORD, LogIn, Member
from virtual_numbers.models import NumberPrice, VirtualNumber
from virtual_numbers.services.leasing import release

D = Decimal
LIST = "/admin/numbers/virtualnumber/"

pytestmark = pytest.mark.usefixtures("stage")


@pytest.fixture
def staff(log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Sam Staff"))


def form(*prices: tuple[str, str, str], **values: Any) -> dict[str, Any]:
    """What the page of a number posts; prices as (currency, monthly, set-up)."""
    data: dict[str, Any] = {
        "number": "0480 000 001", "country": "AU", "kind": "long", "capabilities": ["sms_out", "sms_in"],
        "route": str(Route.objects.get().pk), "reserved_for": "",
        "prices-TOTAL_FORMS": str(len(prices)), "prices-INITIAL_FORMS": "0",
        "leases-TOTAL_FORMS": "0", "leases-INITIAL_FORMS": "0",
    } | values  # fmt: skip
    for place, price in enumerate(prices):
        for name, value in zip(("currency", "monthly", "setup"), price, strict=True):
            data[f"prices-{place}-{name}"] = value
    return data


def words(response: Any) -> str:
    return unescape(response.content.decode())


def act(staff: Client, action: str, *numbers: VirtualNumber) -> str:
    """The page after an action of the list."""
    data = {"action": action, "_selected_action": [str(number.pk) for number in numbers]}
    return words(staff.post(LIST, data, follow=True))


def test_a_number_is_added_as_it_is_dialled_with_its_prices(staff: Client) -> None:
    answer = staff.post(f"{LIST}add/", form(("aud", "19.00", "5.5")))
    assert answer.status_code == 302, words(answer)
    number = VirtualNumber.objects.get()
    assert (number.number, number.state, number.capabilities) == ("+61480000001", "free", ["sms_in", "sms_out"])
    assert list(number.prices.values_list("currency", "monthly", "setup")) == [("AUD", D(19), D("5.5"))]
    assert list(AuditEntry.objects.filter(subject=number.code).order_by("pk").values_list("action", flat=True)) == [
        "number.added", "number.priced",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"country": "NZ"}, "does not exist in the numbering plan of New Zealand"),
        ({"number": "+64211234567"}, "+64211234567 is a number of New Zealand, not of Australia"),
        ({"kind": "short"}, "is not a short code; enter 3 to 8 digits"),
        ({"capabilities": []}, "Tick at least one."),
        ({"number": "0480 000 009"}, "+61480000009 is in the inventory already."),
    ],
)
def test_a_wrong_number_is_refused_at_its_field(staff: Client, values: dict[str, Any], sentence: str) -> None:
    make_number("+61480000009")
    assert sentence in words(staff.post(f"{LIST}add/", form(("AUD", "19", "0"), **values)))
    assert VirtualNumber.objects.count() == 1


def test_a_price_is_in_a_currency_that_the_platform_sells_in(staff: Client) -> None:
    assert "“XAU” has no rate card; use AUD." in words(staff.post(f"{LIST}add/", form(("xau", "19", "0"))))
    assert not VirtualNumber.objects.exists()


def test_numbers_are_reserved_freed_and_ported_out(staff: Client) -> None:
    number, other = make_number("+61480000001"), make_number("+61480000002")
    for action, state in (("reserve", "reserved"), ("set_free", "free"), ("ported_out", "ported_out")):
        assert "+61480000001, +61480000002: " in act(staff, action, number, other)
        assert set(VirtualNumber.objects.values_list("state", flat=True)) == {state}
    assert "+61480000001 cannot be reserved: it is ported out; set it free first." in act(staff, "reserve", number)
    actions = AuditEntry.objects.filter(subject=number.code).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["number.reserved", "number.free", "number.ported_out"]


@pytest.mark.parametrize("action", ["reserve", "set_free", "ported_out"])
def test_a_leased_number_stays_with_who_leases_it(staff: Client, reseller: Member, action: str) -> None:
    lease = lease_number(reseller)
    free = make_number("+61480000002")
    page = act(staff, action, lease.number, free)
    assert "Reseller leases it and has to release it first." in page
    lease.number.refresh_from_db()
    assert lease.number.state == "leased"
    assert "+61480000002: " in page, "the others are changed all the same"


def test_a_quarantine_can_be_ended_early(staff: Client, reseller: Member) -> None:
    lease = lease_number(reseller)
    release(lease=lease, actor=None)
    assert "it is in quarantine" in act(staff, "reserve", lease.number)
    act(staff, "set_free", lease.number)
    lease.number.refresh_from_db()
    assert (lease.number.state, lease.number.quarantined_until) == ("free", None)


def test_a_number_is_reserved_for_somebody_and_freed_again_on_its_page(staff: Client, reseller: Member) -> None:
    number = make_number()
    page = f"{LIST}{number.pk}/change/"
    prices = {"prices-TOTAL_FORMS": "0"}
    staff.post(page, form(reserved_for=str(reseller.account.pk), **prices))
    number.refresh_from_db()
    assert (number.state, number.reserved_for) == ("reserved", reseller.account)
    assert "for Reseller" in words(staff.get(LIST))
    staff.post(page, form(reserved_for="", **prices))
    number.refresh_from_db()
    assert (number.state, number.reserved_for) == ("free", None)


def test_a_leased_number_keeps_its_digits_and_its_price(staff: Client, reseller: Member) -> None:
    lease = lease_number(reseller)
    page = f"{LIST}{lease.number.pk}/change/"
    shown = words(staff.get(page))
    assert "Reseller" in shown
    assert "prices-0-DELETE" not in shown
    answer = staff.post(page, form(number="0480 000 005"), follow=True)
    assert "+61480000001 has been leased, so its number, country and type stay as they are." in words(answer)
    lease.number.refresh_from_db()
    assert lease.number.number == "+61480000001"
    assert NumberPrice.objects.filter(number=lease.number).count() == 1
    # Route and capabilities may change under a lease.
    assert staff.post(page, form(route="", capabilities=["sms_in"])).status_code == 302
    lease.number.refresh_from_db()
    assert (lease.number.route, lease.number.capabilities) == (None, ["sms_in"])


def test_nobody_deletes_a_number(staff: Client) -> None:
    number = make_number()
    assert staff.post(f"{LIST}{number.pk}/delete/", {"post": "yes"}).status_code == 403
    act(staff, "delete_selected", number)
    assert VirtualNumber.objects.exists()


def test_the_menu_leads_to_numbers_and_imports(staff: Client) -> None:
    page = words(staff.get("/admin/"))
    assert f'href="{LIST}"' in page
    assert 'href="/admin/numbers/numberimport/"' in page


def test_staff_set_what_the_platform_adds_for_its_own_clients(staff: Client, reseller: Member) -> None:
    page = "/admin/numbers/numberterms/add/"
    values = {"account": str(reseller.account.pk), "allocation": "own", "margin": "2.50"}
    assert staff.post(page, values).status_code == 302
    assert reseller.account.number_terms.margin == D("2.5")
    change = f"/admin/numbers/numberterms/{reseller.account.pk}/change/"
    assert staff.post(change, {"allocation": "parent", "margin": "3"}).status_code == 302
    actions = AuditEntry.objects.filter(action__startswith="number_terms").order_by("pk")
    assert [entry.action for entry in actions] == ["number_terms.created", "number_terms.updated"]
    refused = words(staff.post(change, {"allocation": "own", "margin": "-1"}))
    assert "A number's margin cannot be below zero; enter 0.00 or more." in refused
