"""Staff's screen of an account's terms: another method, and a margin below zero, are saved as they were shown."""

from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing.exceptions import NotAllowed
from billing.models import BillingTerms, RateCard
from billing.selectors import balance_of, credits_of
from billing.services import invoices
from billing.services.terms import update_terms
from tests.billing.credits import give, make_credits_client
from tests.cast import PASSWORD, LogIn, Member, make_rates
from tests.messaging.rows import accept

D = Decimal
Method = BillingTerms.Method
BY_CARD = {
    "method": "card_variable", "minimum_topup": "10", "daily_topup_limit": "100", "sms_margin": "0.02",
    "display_margin": "0",
}  # fmt: skip


@pytest.fixture
def staff(db: None, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def save(staff: Client, member: Member, **values: str) -> Any:
    return staff.post(reverse("admin:billing_billingterms_change", args=[member.account.pk]), values)


def confirm(staff: Client, member: Member, shown: Any, **values: str) -> Any:
    token = shown.context["adminform"].form["shown"].value()
    return save(staff, member, confirm="on", shown=token, **values)


def errors(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def terms_of(member: Member) -> BillingTerms:
    return BillingTerms.objects.get(account=member.account)


def test_another_method_is_shown_first_and_done_as_it_was_shown(staff: Client, reseller: Member) -> None:
    child = make_credits_client(reseller)
    give(child, 100)
    shown = save(staff, child, **BY_CARD)
    assert errors(shown)["method"] == [
        "To Reseller, whose client it is: 100 credits unused go back: AUD 5.00 is returned at the price that was paid. "
        "From then on the client pays: it cannot send until it has added credit."
    ]
    assert errors(shown)["confirm"] == ["Read what is said above, then switch this on and save again."]
    order = [name for _, options in shown.context["adminform"].fieldsets for name in options["fields"]]
    assert (order[0], order[-1]) == ("account", "confirm")  # "above" is everything
    assert (terms_of(child).method, credits_of(child.account).available) == (Method.SMS_CREDITS, D(100))
    assert save(staff, child, confirm="on", **BY_CARD).status_code == 200  # a tick for something that nobody saw
    assert terms_of(child).method == Method.SMS_CREDITS

    accept(child)
    again = confirm(staff, child, shown, **BY_CARD)
    assert "99 credits unused go back: AUD 4.95 is returned" in errors(again)["method"][0]
    assert not again.context["adminform"].form["confirm"].value()
    assert terms_of(child).method == Method.SMS_CREDITS

    assert confirm(staff, child, again, **BY_CARD).status_code == 302
    assert (terms_of(child).method, credits_of(child.account).available) == (Method.CARD_VARIABLE, D(0))
    assert balance_of(reseller.account).available == D("99.95")


def test_money_that_would_be_stranded_is_said_at_the_field(staff: Client, client_member: Member) -> None:
    answer = save(staff, client_member, **BY_CARD | {"method": "bill_to_parent"}, confirm="on")
    assert "still has AUD 10.00 in its wallet" in errors(answer)["method"][0]
    assert terms_of(client_member).method == Method.CARD_VARIABLE


@pytest.mark.parametrize("method", ["bill_to_parent", "sms_credits"])
def test_the_platform_pays_for_none_of_its_own_clients(staff: Client, reseller: Member, method: str) -> None:
    answer = save(staff, reseller, method=method, sms_margin="0", display_margin="0", confirm="on")
    assert errors(answer)["method"] == ["The platform pays for no client; choose a card method, or Invoice."]
    with pytest.raises(NotAllowed, match="The platform pays for no client"):
        update_terms(terms=terms_of(reseller), actor=None, method=method)
    assert terms_of(reseller).method == Method.INVOICE


def test_only_the_platforms_own_clients_pay_by_invoice(staff: Client, client_member: Member) -> None:
    """Nobody but staff could give such a client credit, and its parent's form knows no such method."""
    answer = save(staff, client_member, **BY_CARD | {"method": "invoice"}, confirm="on")
    sentence = (
        "Only the platform's own clients pay by invoice, and Client is a client of Reseller; choose another method."
    )
    assert errors(answer)["method"] == [sentence]
    with pytest.raises(NotAllowed, match="Only the platform's own clients pay by invoice"):
        update_terms(terms=terms_of(client_member), actor=None, method=Method.INVOICE)
    assert terms_of(client_member).method == Method.CARD_VARIABLE


def test_a_rate_card_has_its_accounts_currency_and_is_for_the_platforms_own_clients(
    staff: Client, reseller: Member, client_member: Member
) -> None:
    dollars = make_rates("USD")
    values = {"method": "invoice", "sms_margin": "0", "display_margin": "0", "rate_card": str(dollars.pk)}
    assert errors(save(staff, reseller, **values))["rate_card"] == [
        "Standard USD (USD) has prices in USD and Reseller pays in AUD; "
        "choose a card in AUD, or none for the default one."
    ]
    own = RateCard.objects.get(currency="AUD")
    assert errors(save(staff, client_member, **BY_CARD, rate_card=str(own.pk)))["rate_card"] == [
        "A rate card is for the platform's own clients; what Client pays follows from its parent's price."
    ]
    with pytest.raises(NotAllowed, match="choose a card in AUD"):
        update_terms(terms=terms_of(reseller), actor=None, rate_card=dollars)
    assert save(staff, reseller, **values | {"rate_card": str(own.pk)}).status_code == 302
    assert terms_of(reseller).rate_card == own
    page = reverse("admin:billing_ratecard_change", args=[own.pk])
    rates = {"rates-TOTAL_FORMS": "0", "rates-INITIAL_FORMS": "0"}
    assert staff.post(page, {"name": "Ours", "currency": "USD", "is_default": "on"} | rates).status_code == 302
    own.refresh_from_db()
    assert (own.name, own.currency) == ("Ours", "AUD")


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"method": "card_fixed"}, "fixed_topup", "Enter the amount that the client adds at a time, such as 50.00."),
        ({"minimum_topup": ""}, "minimum_topup", "Enter the smallest amount that the client can add, such as 10.00."),
        (
            {"daily_topup_limit": ""}, "daily_topup_limit",
            "Enter the most that the client can add in 24 hours, such as 100.00.",
        ),
        (
            {"minimum_topup": "0"}, "__all__",
            "Variable amounts need a minimum above zero and a daily limit not below it.",
        ),
        (
            {"minimum_topup": "101"}, "minimum_topup",
            "This is above the Daily Top Up Limit; lower it, or raise the limit.",
        ),
        (
            {"method": "card_fixed", "fixed_topup": "100.01"}, "fixed_topup",
            "This is above the Daily Top Up Limit; lower it, or raise the limit.",
        ),
    ],
)  # fmt: skip
def test_a_card_method_without_its_amounts_is_refused(
    staff: Client, client_member: Member, values: dict[str, str], field: str, sentence: str
) -> None:
    """Nobody could add credit then: there would be no amount to choose."""
    assert errors(save(staff, client_member, **BY_CARD | values))[field] == [sentence]
    stored = {key: value or None for key, value in values.items()}
    with pytest.raises(IntegrityError), transaction.atomic():
        BillingTerms.objects.filter(account=client_member.account).update(**stored)


def test_credit_that_ends_with_the_method_is_named(staff: Client, reseller: Member) -> None:
    invoices.set_invoice_terms(account=reseller.account, actor=None, credit_limit=D(50))
    shown = save(staff, reseller, **BY_CARD | {"sms_margin": "0"})
    assert "keeps its balance of AUD 100.00" in errors(shown)["method"][0]
    assert "Its credit of AUD 50.00 ends." in errors(shown)["method"][0]
    assert balance_of(reseller.account).credit_limit == D(50)


def test_a_margin_below_zero_is_saved_only_after_its_warning(staff: Client, client_member: Member) -> None:
    values = BY_CARD | {"sms_margin": "-0.01"}
    shown = save(staff, client_member, **values)
    assert errors(shown)["sms_margin"] == [
        "Below zero: Reseller would sell below its own price and pay AUD 0.01 of each part itself."
    ]
    assert terms_of(client_member).sms_margin == D("0.02")
    other = confirm(staff, client_member, shown, **values | {"sms_margin": "-0.04"})
    assert "pay AUD 0.04 of each part" in errors(other)["sms_margin"][0]
    assert confirm(staff, client_member, shown, **values).status_code == 302
    assert terms_of(client_member).sms_margin == D("-0.01")
    assert save(staff, client_member, **values, trial_credit="").status_code == 302  # it is no change any more


def test_the_labels_are_those_of_the_forms_that_they_stand_for(staff: Client, client_member: Member) -> None:
    change = reverse("admin:billing_billingterms_change", args=[client_member.account.pk])
    page = unescape(staff.get(change).content.decode())
    for label in (
        "Payment Method", "Fixed Top Up Amount", "Minimum Top Up Limit", "Daily Top Up Limit", "SMS Margin",
        "Trial Expiry Date", "Trial Credit",
    ):  # fmt: skip
        assert label in page, label
    credit = staff.get(reverse("admin:billing_invoiceterms_add")).content.decode()
    for label in ("Allow credit", "Allow overdraw", "Monthly Postpaid Topup"):
        assert label in credit, label
