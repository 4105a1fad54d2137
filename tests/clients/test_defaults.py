"""SETTINGS, Clients & margin: the display price of billed clients, and what ADD CLIENT starts from."""

from decimal import Decimal as D
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry
from billing.models import BillingTerms
from billing.services.pricing import PriceList
from clients.models import ClientDefaults
from tests.cast import LogIn, Member

FORM = {
    "display_margin": "0.035",
    "country": "NZ",
    "time_zone": "Pacific/Chatham",
    "payer": "client",
    "method": "card_fixed",
    "fixed_topup": "25.00",
    "daily_topup_limit": "75.50",
    "minimum_topup": "12.00",
    "sms_margin": "0.015",
    "number_margin": "4.00",
    "keywords": "yes",
    "keyword_price": "8.80",
    "keyword_limit": "2",
}


@pytest.fixture
def web(reseller: Member, log_in: LogIn) -> Client:
    return log_in(reseller.user)


def values_at(web: Client, path: str) -> dict[str, str]:
    form: Any = web.get(path).context["form"]
    return {name: "" if (value := form[name].value()) is None else str(value) for name in form.fields}


def test_the_sms_margin_of_settings_is_the_display_price(web: Client, reseller: Member, billed_member: Member) -> None:
    assert PriceList(billed_member.account).price_of("+61412345678").display_price == D("0.09")
    response = web.post("/settings/clients/", FORM)
    assert (response.status_code, response["Location"]) == (302, "/settings/clients/")
    assert BillingTerms.objects.get(account=reseller.account).display_margin == D("0.035")
    price = PriceList(billed_member.account).price_of("+61412345678")
    assert (price.price, price.display_price) == (D("0.05"), D("0.085"))


def test_the_page_explains_the_display_price_with_an_example(web: Client, reseller: Member) -> None:
    page = web.get("/settings/clients/").content.decode()
    for amount in ("AUD 0.0500", "AUD 0.0400", "AUD 0.0900"):
        assert amount in page
    assert 'aria-current="page">Clients &amp; margin' in page


def test_every_default_is_stored_comes_back_and_starts_add_client(web: Client) -> None:
    web.post("/settings/clients/", FORM)
    assert values_at(web, "/settings/clients/") == FORM
    starting = values_at(web, "/clients/add/")
    assert {name: starting[name] for name in FORM if name != "display_margin"} == {
        name: value for name, value in FORM.items() if name != "display_margin"
    }
    assert (starting["trial"], starting["allocation"], starting["password"]) == ("no", "own", "")


def test_without_defaults_add_client_starts_in_the_reseller_s_own_place(web: Client) -> None:
    starting = values_at(web, "/clients/add/")
    assert (starting["country"], starting["time_zone"]) == ("AU", "Australia/Sydney")
    assert (starting["payer"], starting["method"], starting["sms_margin"]) == ("client", "card_variable", "0.00")
    assert ClientDefaults.objects.count() == 0  # a GET writes nothing


def test_defaults_may_stay_empty(web: Client) -> None:
    response = web.post("/settings/clients/", {"payer": "parent", "method": "bill_to_parent", "keywords": "no"})
    assert response.status_code == 302
    defaults = ClientDefaults.objects.get()
    assert (defaults.country, defaults.time_zone, defaults.daily_topup_limit) == ("", "", None)
    assert (defaults.sms_margin, defaults.keyword_limit) == (D(0), 0)


@pytest.mark.parametrize(
    ("field", "changes", "words"),
    [
        ("display_margin", {"display_margin": "-0.01"}, "AUD -0.01 is too little; enter AUD 0.00 or more."),
        ("display_margin", {"display_margin": "0.0000001"}, "at most 6 decimals"),
        ("method", {"payer": "parent"}, "does not belong to “I Pay”"),
        ("fixed_topup", {"fixed_topup": "80"}, "AUD 80.00 is more than the daily top up limit of AUD 75.50"),
        ("minimum_topup", {"minimum_topup": "1.001"}, "at most 2 decimals"),
        ("keyword_limit", {"keyword_limit": "few"}, "Enter a whole number"),
        ("time_zone", {"time_zone": "Mars/Olympus"}, "Mars/Olympus is not one of the available choices"),
    ],
)
def test_bad_defaults_are_refused_and_nothing_is_stored(
    web: Client, reseller: Member, field: str, changes: dict[str, str], words: str
) -> None:
    response: Any = web.post("/settings/clients/", FORM | changes)
    assert list(response.context["form"].errors) == [field]
    assert words in response.context["form"].errors[field][0]
    assert ClientDefaults.objects.count() == 0
    assert BillingTerms.objects.get(account=reseller.account).display_margin == D("0.04")


def test_only_what_changed_is_noted(web: Client, reseller: Member) -> None:
    web.post("/settings/clients/", FORM)
    AuditEntry.objects.all().delete()
    web.post("/settings/clients/", FORM)
    assert not AuditEntry.objects.exists()
    web.post("/settings/clients/", FORM | {"keyword_limit": "5"})
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.account) == ("client_defaults.updated", reseller.user, reseller.account)
    assert entry.data == {"before": {"keyword_limit": "2"}, "after": {"keyword_limit": "5"}}


def test_defaults_are_each_reseller_s_own(web: Client, outsider: Member, log_in: LogIn) -> None:
    web.post("/settings/clients/", FORM)
    assert values_at(log_in(outsider.user), "/clients/add/")["sms_margin"] == "0.00"


def test_no_default_sells_below_the_own_price_nor_seems_to(web: Client) -> None:
    page = web.post("/settings/clients/", {"method": "card_variable", "sms_margin": "-0.01"}).content.decode()
    assert "AUD -0.01 is too little; enter AUD 0.00 or more." in page
    assert "?defaults=1" in page
    typed = {"preview_country": "AU", "sms_margin": "-0.01"}
    for answer in (page, web.get("/clients/price-preview/", typed | {"defaults": "1"}).content.decode()):
        assert "accept_loss" not in answer.replace("#id_accept_loss", "")
    assert "accept_loss" in web.get("/clients/price-preview/", typed).content.decode()
