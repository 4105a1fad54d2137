"""EDIT, changing who pays or how: the step before UPDATE, and margins for single countries."""

from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from billing.models import BillingTerms, CountryMargin
from billing.selectors import balance_of, credits_of
from messaging.models import Message
from tests.billing.credits import give, make_credits_client
from tests.cast import LogIn, Member
from tests.clients.test_edit_client import form_of
from tests.messaging.rows import NZ, accept, words

D = Decimal
Method = BillingTerms.Method
BY_CARD = {"payer": "client", "method": "card_variable", "minimum_topup": "10", "daily_topup_limit": "100",
           "sms_margin": "0.02"}  # fmt: skip


@pytest.fixture
def web(reseller: Member, log_in: LogIn) -> Client:
    return log_in(reseller.user)


def post(web: Client, account: Account, **changes: Any) -> Any:
    values = form_of(web, account) | {"mobile": "+61412345678"} | changes
    return web.post(f"/clients/{account.code}/edit/", values)


def text_of(answer: Any) -> str:
    return unescape(words(answer.content.decode()))


def method_of(member: Member) -> str:
    return BillingTerms.objects.get(account=member.account).method


def test_a_switch_is_shown_before_it_is_done_and_done_as_shown(web: Client, reseller: Member):
    child = make_credits_client(reseller)
    give(child, 100)
    shown = post(web, child.account, **BY_CARD)

    text = text_of(shown)
    assert "Please confirm: I will transfer SMS credits becomes Credit Card - Variable Amounts" in text
    assert "100 credits unused go back: AUD 5.00 is returned at the price that was paid." in text
    assert (method_of(child), balance_of(reseller.account).available) == (Method.SMS_CREDITS, D(95))

    done = post(web, child.account, **BY_CARD, confirmed=shown.context["confirmation"].token)

    assert done.status_code == 302
    assert (method_of(child), credits_of(child.account).available) == (Method.CARD_VARIABLE, D(0))
    assert balance_of(reseller.account).available == D(100)


def test_what_changed_since_it_was_shown_is_shown_again(web: Client, reseller: Member):
    child = make_credits_client(reseller)
    give(child, 100)
    token = post(web, child.account, **BY_CARD).context["confirmation"].token
    accept(child)

    again = post(web, child.account, **BY_CARD, confirmed=token)

    assert "99 credits unused go back: AUD 4.95" in text_of(again)
    assert "1 credit set aside for messages on their way stays for these." in text_of(again)
    assert method_of(child) == Method.SMS_CREDITS


def test_a_confirmation_of_another_method_does_not_count(web: Client, reseller: Member):
    child = make_credits_client(reseller)
    token = post(web, child.account, **BY_CARD).context["confirmation"].token

    answer = post(web, child.account, payer="parent", method="bill_to_parent", confirmed=token)

    assert answer.context["confirmation"].new == "Bill Client Activity to My Account"
    assert method_of(child) == Method.SMS_CREDITS


def test_a_new_password_is_asked_for_again_and_never_sent_back(web: Client, reseller: Member):
    child = make_credits_client(reseller)
    page = post(web, child.account, **BY_CARD, password="Correct-horse-9").content.decode()

    assert "Type the new password again" in page
    assert "Correct-horse-9" not in page


def test_a_change_of_anything_else_asks_nothing(web: Client, client_member: Member):
    assert post(web, client_member.account, name="Renamed").status_code == 302


def test_a_refused_switch_says_why_and_asks_nothing(web: Client, client_member: Member):
    answer = post(web, client_member.account, payer="parent", method="bill_to_parent")

    assert answer.context["confirmation"] is None
    assert "It is the client's own money: let it be used up" in answer.context["form"].errors["method"][0]
    assert method_of(client_member) == Method.CARD_VARIABLE


# --- Margins by country ----------------------------------------------------------------------------------------------


def margins(web: Client, member: Member, **values: str) -> Any:
    return web.post(f"/clients/{member.account.code}/margins/", values, follow=True)


def test_a_margin_for_a_country_sets_the_price_there_alone(web: Client, client_member: Member):
    answer = margins(web, client_member, country="NZ", sms_margin="0.001")

    assert "New Zealand AUD 0.012345 AUD 0.0010 AUD 0.013345" in text_of(answer)
    accept(client_member, [NZ, "+61412345678"])
    prices = dict(Message.objects.values_list("recipient", "price"))
    assert prices == {NZ: D("0.013345"), "+61412345678": D("0.07")}


def test_a_margin_is_changed_and_removed(web: Client, client_member: Member):
    margins(web, client_member, country="NZ", sms_margin="0.001")
    margins(web, client_member, country="NZ", sms_margin="0.5")
    assert list(CountryMargin.objects.values_list("country", "sms_margin")) == [("NZ", D("0.5"))]

    answer = margins(web, client_member, remove="NZ")

    assert "Your general margin holds for New Zealand again." in text_of(answer)
    assert not CountryMargin.objects.exists()
    page = text_of(web.get(f"/clients/{client_member.account.code}/"))
    assert page.count("Margin for a country changed") == 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"country": "NZ", "sms_margin": "-0.01"}, "sms_margin"),
        ({"country": "NZ", "sms_margin": ""}, "sms_margin"),
        ({"country": "NZ", "sms_margin": "0.0000001"}, "sms_margin"),
        ({"country": "XX", "sms_margin": "0.01"}, "country"),
        ({"country": "", "sms_margin": "0.01"}, "country"),
    ],
)
def test_a_wrong_margin_is_named_at_its_field(web: Client, client_member: Member, values: dict[str, str], field: str):
    answer = margins(web, client_member, **values)

    assert list(answer.context["form"].errors) == [field]
    assert not CountryMargin.objects.exists()


def test_the_clients_page_and_the_price_preview_use_the_countrys_margin(web: Client, client_member: Member):
    margins(web, client_member, country="AU", sms_margin="0.03")
    code = client_member.account.code

    assert "The client pays a part AUD 0.0800" in text_of(web.get(f"/clients/{code}/"))
    preview = web.get("/clients/price-preview/", {"client": code, "preview_country": "AU", "sms_margin": "0.02"})
    assert "your margin for Australia AUD 0.0300 The client pays a part AUD 0.0800" in text_of(preview)


def test_who_sees_no_price_of_the_client_sets_no_margins(web: Client, billed_member: Member, outsider: Member,
                                                         log_in: LogIn, client_member: Member):  # fmt: skip
    assert web.get(f"/clients/{billed_member.account.code}/margins/").status_code == 404
    foreign = log_in(outsider.user)
    assert foreign.get(f"/clients/{client_member.account.code}/margins/").status_code == 404
    asked = {"client": client_member.account.code, "preview_country": "AU", "sms_margin": "0"}
    assert foreign.get("/clients/price-preview/", asked).status_code == 404
