"""ADD CLIENT: what is stored, what is refused, and that nothing typed is lost."""

import html
import re
from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.contrib.auth import authenticate
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts.exceptions import EmailTaken
from accounts.models import Account, AuditEntry, Membership, OutgoingMail, User
from billing.models import BillingTerms, LedgerAccount
from billing.services import terms as billing_terms
from billing.services.terms import update_terms
from clients.services import clients
from clients.services.clients import ClientValues, create_client
from tests.cast import PASSWORD, LogIn, Member, make_client, make_member
from tests.clients.forms import EVERY_FIELD, filled
from tests.meeting import SURELY, meet

Method = BillingTerms.Method


def add(log_in: LogIn, member: Member, **changes: Any) -> HttpResponse:
    return log_in(member.user).post("/clients/add/", filled(**changes))


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["form"].errors)


def only_error(response: Any, field: str) -> str:
    """The one error of the form, which stands at ``field``; and nobody was added."""
    errors = errors_of(response)
    assert list(errors) == [field], errors
    assert Account.objects.filter(name="Jones & Co").count() == 0
    assert User.objects.filter(email__iexact="ada@jones.example").count() == 0
    (sentence,) = errors[field]
    return sentence


def added() -> Account:
    return Account.objects.get(name="Jones & Co")


# --- What is asked for -------------------------------------------------------------------------------------------


def test_the_rules_of_the_password_speak_of_the_client(reseller: Member, client_member: Member, log_in: LogIn) -> None:
    rules = (
        "needs at least 10 characters, more than digits, no common password and no likeness to the client's name or"
        " e-mail."
    )
    browser = log_in(reseller.user)
    page = html.unescape(browser.get("/clients/add/").content.decode())
    assert f"It {rules}" in page
    assert "Your password" not in page
    page = html.unescape(browser.get(f"/clients/{client_member.account.code}/edit/").content.decode())
    assert f"Leave it empty to keep the password. A new one {rules}" in page
    assert "Your password" not in page


# --- What is stored ----------------------------------------------------------------------------------------------


def test_every_field_of_every_section_is_stored(reseller: Member, log_in: LogIn) -> None:
    response = add(log_in, reseller)
    client = added()
    assert response.status_code == 302
    assert response["Location"] == f"/clients/{client.code}/"
    assert (client.parent_id, client.currency, client.can_have_children) == (reseller.account.pk, "AUD", False)
    assert (client.contact_name, client.mobile) == ("Ada Jones", "+61412345678")
    assert (client.country, client.time_zone, client.status) == ("AU", "Australia/Perth", "active")
    terms = client.billing_terms
    assert (terms.method, terms.fixed_topup) == (Method.CARD_VARIABLE, None)
    assert (terms.minimum_topup, terms.daily_topup_limit) == (D("12.25"), D("250.50"))
    assert (terms.sms_margin, str(terms.trial_ends_on)) == (D("0.012345"), "2035-01-31")
    assert (client.number_terms.allocation, client.number_terms.margin) == ("own", D("5"))
    keywords = client.keyword_terms
    assert (keywords.is_enabled, keywords.price, keywords.limit) == (True, D("9.95"), 3)
    assert LedgerAccount.objects.get(owner=client, kind="wallet").balance == 0


def test_the_client_logs_in_with_the_e_mail_as_owner(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller)
    user = User.objects.get(email="Ada@Jones.example")
    assert (user.username, user.name) == ("Ada@Jones.example", "Ada Jones")
    assert user.memberships.get().role == Membership.Role.OWNER
    response = Client().post("/login/", {"login": "ada@jones.example", "password": "Correct-horse-9"})
    assert response.status_code == 302


def test_every_room_notes_the_deed_with_its_actor(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller)
    entries = AuditEntry.objects.filter(account=added())
    assert set(entries.values_list("action", flat=True)) == {
        "account.created", "terms.created", "number_terms.created", "keyword_terms.created", "user.created",
    }  # fmt: skip
    assert set(entries.values_list("actor", flat=True)) == {reseller.user.pk}
    assert "Correct-horse" not in str(list(entries.values_list("data", flat=True)))


def test_the_fixed_amount_is_stored_without_the_limits_of_the_other_method(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller, method="card_fixed", fixed_topup="50", minimum_topup="12.25", daily_topup_limit="")
    terms = added().billing_terms
    assert (terms.method, terms.fixed_topup) == (Method.CARD_FIXED, D("50"))
    assert (terms.minimum_topup, terms.daily_topup_limit) == (None, None)


@pytest.mark.parametrize("method", [Method.BILL_TO_PARENT, Method.SMS_CREDITS])
def test_who_pays_for_a_client_gives_it_no_amounts(reseller: Member, log_in: LogIn, method: str) -> None:
    """Also nonsense in fields that do not count stops nobody."""
    response = add(
        log_in, reseller, payer="parent", method=method, sms_margin="much", daily_topup_limit="-1", trial_ends_on="soon"
    )
    assert response.status_code == 302
    terms = added().billing_terms
    assert (terms.method, terms.sms_margin, terms.trial_ends_on) == (method, D(0), None)
    assert (terms.fixed_topup, terms.minimum_topup, terms.daily_topup_limit) == (None, None, None)


def test_without_a_trial_its_date_is_ignored(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller, trial="no", trial_ends_on="2001-01-01")
    assert added().billing_terms.trial_ends_on is None


def test_keywords_are_off_and_unlimited_when_nothing_is_entered(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller, keywords="no", keyword_price="", keyword_limit="")
    terms = added().keyword_terms
    assert (terms.is_enabled, terms.price, terms.limit) == (False, D(0), 0)


@pytest.mark.parametrize(
    ("country", "typed", "stored"),
    [
        ("AU", "0412 345 678", "+61412345678"),
        ("AU", "+61 412-345-678", "+61412345678"),
        ("GB", "07400 123456", "+447400123456"),
        ("AU", "+44 7400 123456", "+447400123456"),
        ("US", "(201) 555-0123", "+12015550123"),
    ],
)
def test_a_mobile_is_read_for_the_country(
    reseller: Member, log_in: LogIn, country: str, typed: str, stored: str
) -> None:
    add(log_in, reseller, country=country, mobile=typed)
    assert added().mobile == stored


def test_the_welcome_mail_names_log_in_and_parent_but_no_password(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller, welcome="on")
    mail = OutgoingMail.objects.get()
    assert (mail.to, mail.account) == ("Ada@Jones.example", added())
    assert mail.subject == "Your account Jones & Co at Relay is ready"
    for body in (mail.text, html.unescape(mail.html)):
        assert "http://testserver/login/" in body
        assert "Ada@Jones.example" in body
        assert "Reseller" in body
        assert "Correct-horse-9" not in body


def test_no_welcome_mail_unless_it_is_wanted(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller)
    assert OutgoingMail.objects.count() == 0


# --- What is refused ---------------------------------------------------------------------------------------------

DAILY = "daily_topup_limit"
REFUSALS: list[tuple[str, dict[str, str], str]] = [
    ("contact_name", {"contact_name": ""}, "Fill this in"),
    ("name", {"name": " "}, "Fill this in"),
    ("country", {"country": ""}, "Choose one of the list."),
    ("country", {"country": "XX"}, "XX is not one of the available choices"),
    ("time_zone", {"time_zone": "Australia/Atlantis"}, "Australia/Atlantis is not one of the available choices"),
    ("mobile", {"mobile": "12345"}, "valid mobile number for Australia; enter one such as 0412 345 678 or +61 412"),
    ("mobile", {"mobile": "02 1234 5678"}, "is not a valid mobile number for Australia"),
    ("mobile", {"mobile": "07400 123456"}, "is not a valid mobile number for Australia"),
    ("mobile", {"mobile": "07400 12345", "country": "GB"}, "enter one such as 07400 123456 or +44 7400 123456."),
    ("mobile", {"mobile": "call me"}, "“call me” is not a valid mobile number"),
    ("email", {"email": "ada.jones.example"}, "valid email"),
    ("email", {"email": "RESELLER@test.example"}, "RESELLER@test.example is already used by someone on this portal"),
    ("password", {"password": ""}, "Fill this in"),
    ("password", {"password": "Ab-3"}, "at least 10 characters"),
    ("password", {"password": "847302918461"}, "numeric"),
    ("password", {"password": "ada@jones.example"}, "too similar to the login name"),
    ("password", {"password": "jones-ada-jones", "contact_name": "Jones-Ada Jones"}, "too similar to the full name"),
    ("method", {"payer": "parent"}, "“Credit Card - Variable Amounts” does not belong to “I Pay”; choose “Bill"),
    ("method", {"method": "sms_credits"}, "choose “Credit Card - Fixed Amount” or “Credit Card - Variable Amounts”"),
    ("method", {"method": "invoice"}, "invoice is not one of the available choices"),
    (DAILY, {DAILY: ""}, "Enter the most that the client can add in 24 hours"),
    ("minimum_topup", {"minimum_topup": ""}, "Enter the smallest amount"),
    ("minimum_topup", {"minimum_topup": "250.51"}, "AUD 250.51 is more than the daily top up limit of AUD 250.50"),
    ("minimum_topup", {"minimum_topup": "0.99"}, "AUD 0.99 is too little; enter AUD 1.00 or more."),
    ("minimum_topup", {"minimum_topup": "10.005"}, "10.005 is too fine; enter an amount with at most 2 decimals."),
    ("minimum_topup", {"minimum_topup": "ten"}, "“ten” is not an amount; enter digits with a point, such as 12.50."),
    ("minimum_topup", {"minimum_topup": "1e1"}, "“1e1” is not an amount"),
    ("minimum_topup", {"minimum_topup": "NaN"}, "“NaN” is not an amount"),
    (DAILY, {DAILY: "1000000"}, "AUD 1,000,000.00 is too much; enter AUD 999,999.99 or less."),
    ("fixed_topup", {"method": "card_fixed"}, "Enter the amount that the client adds at a time"),
    ("fixed_topup", {"method": "card_fixed", "fixed_topup": "300"}, "AUD 300.00 is more than the daily top up limit"),
    ("sms_margin", {"sms_margin": ""}, "Enter your margin on each message part"),
    ("sms_margin", {"sms_margin": "-0.01"}, "AUD -0.01 is below zero: of each part you would pay AUD 0.01 yourself."),
    ("sms_margin", {"sms_margin": "-0.05", "accept_loss": "on"}, "no message is free; enter AUD -0.049999 or more."),
    ("sms_margin", {"sms_margin": "-100.01"}, "AUD -100.01 is too little; enter AUD -100.00 or more."),
    ("sms_margin", {"sms_margin": "0.0000001"}, "at most 6 decimals"),
    ("sms_margin", {"sms_margin": "100.01"}, "AUD 100.01 is too much; enter AUD 100.00 or less."),
    ("trial_ends_on", {"trial_ends_on": ""}, "Choose the last day of the trial"),
    ("trial_ends_on", {"trial_ends_on": "31/01/2027x"}, "Enter a date, such as 2027-01-31."),
    ("trial_ends_on", {"trial_ends_on": "2020-01-31"}, "2020-01-31 is not in the future"),
    ("number_margin", {"number_margin": "-1"}, "AUD -1.00 is too little"),
    ("keyword_price", {"keyword_price": ""}, "Enter what a keyword costs a month"),
    ("keyword_limit", {"keyword_limit": "2.5"}, "Enter a whole number"),
    ("keyword_limit", {"keyword_limit": "-1"}, "Enter 0 (unlimited) or a whole number above it."),
]  # fmt: skip


@pytest.mark.parametrize(("field", "changes", "words"), REFUSALS, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_at_its_field_with_the_reason(
    reseller: Member, log_in: LogIn, field: str, changes: dict[str, str], words: str
) -> None:
    assert words in only_error(add(log_in, reseller, **changes), field)


def test_top_up_amounts_of_a_currency_without_cents_are_whole(platform: Account, log_in: LogIn) -> None:
    tokyo = make_member(platform, "Tokyo", currency="JPY", can_have_children=True, terms={"method": Method.INVOICE})
    assert "enter a whole amount" in only_error(
        add(log_in, tokyo, minimum_topup="500.50", daily_topup_limit="5000"), "minimum_topup"
    )
    assert add(log_in, tokyo, minimum_topup="500", daily_topup_limit="5000").status_code == 302
    assert added().currency == "JPY"


@time_machine.travel("2026-11-21T18:30:00Z", tick=False)
def test_a_trial_ends_after_today_in_the_client_s_own_zone(reseller: Member, log_in: LogIn) -> None:
    """It is the 22nd in Perth and Sydney, and still the 21st in New York."""
    sentence = only_error(add(log_in, reseller, trial_ends_on="2026-11-22"), "trial_ends_on")
    assert sentence == ("2026-11-22 is not in the future: today is 2026-11-22 in Australia/Perth; choose a later day.")
    assert add(log_in, reseller, trial_ends_on="2026-11-22", time_zone="America/New_York").status_code == 302


def test_bad_input_loses_nothing_but_the_password(reseller: Member, log_in: LogIn) -> None:
    """Neither the fields with errors nor those that the method does not use."""
    typed = filled(mobile="12 <b>", fixed_topup="7x", keyword_limit="many", method="card_fixed", name='A "B" & C')
    page = log_in(reseller.user).post("/clients/add/", typed)
    text = page.content.decode()
    for name, value in typed.items():
        if name == "password":
            continue
        assert str(page.context["form"][name].value()) == value, name
        field = page.context["form"].fields[name]
        if hasattr(field, "choices"):
            assert f'<option value="{value}" selected' in text, name
        elif value:
            assert f'value="{html.escape(value)}"' in text, name
    assert "Correct-horse-9" not in text
    assert "Type the password again" in text
    assert "<b>" not in text


def test_an_e_mail_that_is_someone_s_login_name_is_taken(reseller: Member, log_in: LogIn) -> None:
    User.objects.filter(pk=reseller.user.pk).update(username="ada@jones.example")
    response = log_in(reseller.user).post("/clients/add/", filled())
    assert errors_of(response)["email"] == [
        "Ada@Jones.example is already used by someone on this portal; enter another e-mail."
    ]
    assert not Account.objects.filter(name="Jones & Co").exists()


def test_an_e_mail_taken_between_look_and_write_is_an_error_of_the_field(
    reseller: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.forms.login_taken", lambda *args, **kwargs: False)
    monkeypatch.setattr("accounts.services.users.login_taken", lambda *args, **kwargs: False)
    response = log_in(reseller.user).post("/clients/add/", filled(email="reseller@TEST.example"))
    assert "already used by someone" in errors_of(response)["email"][0]
    assert not Account.objects.filter(name="Jones & Co").exists()


def values(email: str, name: str, **more: Any) -> ClientValues:
    given: dict[str, Any] = {"method": Method.BILL_TO_PARENT} | more
    return ClientValues(
        contact_name="Racer", name=name, mobile="+61412345678", country="AU", time_zone="Australia/Sydney", email=email,
        password="Correct-horse-9", **given,
    )  # fmt: skip


def test_of_forms_sent_at_one_moment_one_gets_the_e_mail(
    committed_db: object, reseller: Member, run_together: Callable[..., list[Any]]
) -> None:
    """With one e-mail one client is made; the canary: with different ones all are."""
    made = run_together(
        4, lambda n: create_client(parent=reseller.account, values=values("Race@x.example", f"R{n}"), actor=None)
    )
    assert sorted(type(one).__name__ for one in made) == ["Account", "EmailTaken", "EmailTaken", "EmailTaken"], made
    assert all("Race@x.example is already used" in str(one) for one in made if isinstance(one, EmailTaken))
    assert Account.objects.filter(name__startswith="R", contact_name="Racer").count() == 1
    canary = run_together(
        4, lambda n: create_client(parent=reseller.account, values=values(f"{n}@x.example", f"R{n}"), actor=None)
    )
    assert [type(one).__name__ for one in canary] == ["Account"] * 4, canary


def make_while_parent_is_switched(middle: Member, run_together: Callable[..., list[Any]]) -> list[str]:
    """What becomes of a client that pays and of billing its parent to its own, both at once."""
    card = {"method": Method.CARD_FIXED, "fixed_topup": D(10), "daily_topup_limit": D(100)}
    terms = BillingTerms.objects.get(account=middle.account)
    made = run_together(
        2,
        lambda n: (
            create_client(parent=middle.account, values=values("new@x.example", "New", **card), actor=None)
            if n
            else update_terms(terms=terms, method=Method.BILL_TO_PARENT, actor=None)
        ),
    )
    return [type(one).__name__ for one in made]


@pytest.fixture
def middle(committed_db: object, reseller: Member) -> Member:
    """A client that may have clients of its own."""
    member = make_client(reseller, "Middle")
    Account.objects.filter(pk=member.account.pk).update(can_have_children=True)
    member.account.refresh_from_db()
    return member


def test_a_client_that_pays_is_made_before_its_parent_is_billed_or_not_at_all(
    middle: Member, run_together: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(monkeypatch, billing_terms, "_readable")
    made = make_while_parent_is_switched(middle, run_together)
    assert made in (["BillingTerms", "MoneyStranded"], ["MoneyStranded", "Account"])
    assert Account.objects.filter(name="New").count() == (made[1] == "Account")


def test_canary_without_the_lock_a_client_pays_a_parent_that_sees_no_money(
    middle: Member, run_together: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "check_parent", lambda *args: None)
    meet(monkeypatch, billing_terms, "_readable", patience=SURELY)
    assert make_while_parent_is_switched(middle, run_together) == ["BillingTerms", "Account"]


# --- The page ----------------------------------------------------------------------------------------------------

SEED_WORDS = [
    "1. Add Client", "2. Account Details", "Client Contact Name", "Client Account Name", "Client Mobile",
    "Client Country",
    "Client Time Zone", "3. Login Details", "Client Contact Email", "Client Password", "4. Pricing and Billing",
    "I Pay", "Client Pays", "Bill Client Activity to My Account", "I will transfer SMS credits",
    "Credit Card - Fixed Amount",
    "Credit Card - Variable Amounts", "Daily Top Up Limit", "Minimum Top Up Limit", "SMS Margin", "Trial Period",
    "5. Virtual Numbers", "Number Allocation", "Client buys their own", "Number Margin", "6. Keywords",
    ">YES<", ">NO<", "Keyword Price", "Keyword Limit", "7. Complete Setup", ">UPDATE</button>",
]  # fmt: skip


def test_the_page_has_the_seed_s_sections_and_labels_in_its_order(reseller: Member, log_in: LogIn) -> None:
    page = log_in(reseller.user).get("/clients/add/").content.decode()
    assert [word for word in SEED_WORDS if word not in page] == []
    sections = [page.index(word) for word in SEED_WORDS if word[0].isdigit()]
    assert sections == sorted(sections)


def test_the_country_s_own_time_zones_come_first(reseller: Member, log_in: LogIn) -> None:
    form = log_in(reseller.user).get("/clients/add/").context["form"]
    blank, own, others = form.fields["time_zone"].choices
    assert (blank[0], own[0], others[0]) == ("", "Australia", "All time zones")
    assert ("Australia/Sydney", "Australia/Sydney") in own[1]
    assert ("Europe/London", "Europe/London") in others[1]
    answer = log_in(reseller.user).get("/clients/time-zones/?country=GB&time_zone=Australia/Sydney").content.decode()
    assert answer.index("Europe/London") < answer.index("All time zones")
    assert '<option value="Europe/London" selected>' in answer
    assert "07400 123456 or +44 7400 123456" in answer


def test_another_country_keeps_a_zone_that_it_has(reseller: Member, log_in: LogIn) -> None:
    answer = log_in(reseller.user).get("/clients/time-zones/?country=AU&time_zone=Australia/Perth").content.decode()
    assert '<option value="Australia/Perth" selected>' in answer


def test_the_preview_adds_the_margin_to_the_reseller_s_own_price(reseller: Member, log_in: LogIn) -> None:
    browser = log_in(reseller.user)
    answer = browser.get("/clients/price-preview/?preview_country=GB&sms_margin=0.0205").content.decode()
    assert "AUD 0.0300" in answer
    assert "AUD 0.0205" in answer
    assert "AUD 0.0505" in answer
    assert "No price" in browser.get("/clients/price-preview/?preview_country=FR&sms_margin=1").content.decode()
    assert (
        "Enter an SMS margin" in browser.get("/clients/price-preview/?preview_country=GB&sms_margin=x").content.decode()
    )
    assert "AUD 0.0505" not in browser.get("/clients/add/").content.decode()


def test_the_seed_s_labels_are_those_of_the_fields(reseller: Member, log_in: LogIn) -> None:
    fields = log_in(reseller.user).get("/clients/add/").context["form"].fields
    assert {name: fields[name].label for name in EVERY_FIELD} == {
        "contact_name": "Client Contact Name", "name": "Client Account Name", "mobile": "Client Mobile",
        "country": "Client Country", "time_zone": "Client Time Zone", "email": "Client Contact Email",
        "password": "Client Password", "payer": "Who Pays", "method": "Payment Method",
        "fixed_topup": "Fixed Top Up Amount", "daily_topup_limit": "Daily Top Up Limit",
        "minimum_topup": "Minimum Top Up Limit", "sms_margin": "SMS Margin", "trial": "Trial Period",
        "trial_ends_on": "Trial Expiry Date", "trial_credit": "Trial Credit",
        "notification_limit": "Notification Limit", "notification_credits": "Notification Limit in Credits",
        "notification_email": "Notification Email",
        "allocation": "Number Allocation", "number_margin": "Number Margin",
        "keywords": "Keywords", "keyword_price": "Keyword Price", "keyword_limit": "Keyword Limit",
    }  # fmt: skip


def test_the_cast_s_password_stays_the_reseller_s(reseller: Member, log_in: LogIn) -> None:
    add(log_in, reseller)
    request = RequestFactory().post("/login/")
    assert authenticate(request, username="reseller@test.example", password=PASSWORD) == reseller.user


def test_a_margin_below_zero_is_saved_with_the_tick_beside_its_warning(log_in: LogIn, reseller: Member) -> None:
    """The reseller's own price to Australia is 0.05 a part (tests/cast.py)."""
    assert 'name="accept_loss"' in add(log_in, reseller, sms_margin="-0.01").content.decode()
    assert add(log_in, reseller, sms_margin="-0.01", accept_loss="on").status_code == 302
    assert added().billing_terms.sms_margin == D("-0.01")
    browser = log_in(reseller.user)
    page = browser.get(f"/clients/{added().code}/").content.decode()
    assert "You sell below your own price and pay AUD 0.01 of each part yourself." in page
    assert re.search(r'name="accept_loss"[^>]* checked', browser.get(f"/clients/{added().code}/edit/").content.decode())


def test_the_preview_warns_of_a_margin_below_zero_as_it_is_typed(log_in: LogIn, reseller: Member) -> None:
    browser = log_in(reseller.user)
    shown = browser.get("/clients/price-preview/?preview_country=AU&sms_margin=-0.01").content.decode()
    assert "You would sell below your own price" in shown
    assert (
        "accept_loss" not in browser.get("/clients/price-preview/?preview_country=AU&sms_margin=0.01").content.decode()
    )


def test_a_country_s_margin_below_zero_needs_the_tick_too(
    log_in: LogIn, reseller: Member, client_member: Member
) -> None:
    browser, url = log_in(reseller.user), f"/clients/{client_member.account.code}/margins/"
    refused = browser.post(url, {"country": "AU", "sms_margin": "-0.02"}).content.decode()
    assert "is below zero" in refused
    assert not client_member.account.country_margins.exists()
    assert browser.post(url, {"country": "AU", "sms_margin": "-0.02", "accept_loss": "on"}).status_code == 302
    assert client_member.account.country_margins.get().sms_margin == D("-0.02")
    assert "you pay the difference" in browser.get(url).content.decode()
