"""A client's page and form: every field comes back, only what changed changes, and no money is stranded."""

from decimal import Decimal as D
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, AuditEntry, Membership, User
from accounts.services.users import create_member
from billing.models import BillingTerms, TopUp
from billing.services.ledger import HoldOrder, hold
from billing.services.terms import update_terms
from billing.services.topups import start_topup
from clients.selectors import start_of_day
from clients.wording import deed_of
from tests.cast import PASSWORD, LogIn, Member, fund, make_client
from tests.clients.activity import earn, put_messages
from tests.clients.forms import EVERY_FIELD, filled

Method = BillingTerms.Method
FORMS: dict[str, dict[str, str]] = {
    "card_variable": {},
    "card_fixed": {"method": "card_fixed", "fixed_topup": "50.00", "minimum_topup": ""},
    "bill_to_parent": {
        "payer": "parent", "method": "bill_to_parent", "daily_topup_limit": "", "minimum_topup": "",
        "sms_margin": "0.00", "trial": "no", "trial_ends_on": "",
    },
    "sms_credits": {
        "payer": "parent", "method": "sms_credits", "daily_topup_limit": "", "minimum_topup": "", "sms_margin": "0.00",
        "trial": "no", "trial_ends_on": "",
    },
}  # fmt: skip


@pytest.fixture
def web(reseller: Member, log_in: LogIn) -> Client:
    return log_in(reseller.user)


def added(web: Client, **changes: str) -> Account:
    assert web.post("/clients/add/", filled(**changes)).status_code == 302
    return Account.objects.get(name="Jones & Co")


def form_of(web: Client, client: Account) -> dict[str, Any]:
    """What the web would post back unchanged."""
    form: Any = web.get(f"/clients/{client.code}/edit/").context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else str(value) for name, value in values.items() if value is not False}


def edit(web: Client, client: Account, **changes: Any) -> Any:
    """Post the form; a change of who or how pays is confirmed as shown."""
    url, values = f"/clients/{client.code}/edit/", form_of(web, client) | changes
    answer = web.post(url, values)
    confirmation = answer.context.get("confirmation") if answer.context else None
    return web.post(url, values | {"confirmed": confirmation.token}) if confirmation else answer


def deeds(client: Account) -> list[str]:
    entries = AuditEntry.objects.filter(account=client).order_by("pk")
    return [entry.action for entry in entries if not entry.action.endswith("created")]


# --- The form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", FORMS.values(), ids=FORMS)
def test_every_field_of_every_section_comes_back_in_the_form(web: Client, changes: dict[str, str]) -> None:
    client = added(web, **changes)
    expected = filled(**changes) | {"password": "", "mobile": "+61412345678"}
    assert form_of(web, client) == expected


@pytest.mark.parametrize("changes", FORMS.values(), ids=FORMS)
def test_saving_the_form_unchanged_changes_and_notes_nothing(web: Client, changes: dict[str, str]) -> None:
    client = added(web, **changes)
    password = User.objects.get(email="Ada@Jones.example").password
    before = form_of(web, client)
    response = edit(web, client)
    assert (response.status_code, response["Location"]) == (302, f"/clients/{client.code}/")
    assert form_of(web, client) == before
    assert deeds(client) == []
    assert User.objects.get(email="Ada@Jones.example").password == password


@pytest.mark.parametrize(
    ("changes", "deed"),
    [
        ({"contact_name": "Bo"}, "account.updated"),
        ({"name": "Jones Ltd"}, "account.updated"),
        ({"mobile": "+61411111111"}, "account.updated"),
        ({"country": "NZ", "mobile": "+64211234567"}, "account.updated"),
        ({"time_zone": "Pacific/Auckland"}, "account.updated"),
        ({"daily_topup_limit": "300.00"}, "terms.updated"),
        ({"minimum_topup": "20.00"}, "terms.updated"),
        ({"sms_margin": "0.03"}, "terms.updated"),
        ({"trial_ends_on": "2035-02-28"}, "terms.updated"),
        ({"trial": "no", "trial_ends_on": ""}, "terms.updated"),
        ({"method": "card_fixed", "fixed_topup": "100.00", "minimum_topup": ""}, "terms.updated"),
        ({"number_margin": "7.50"}, "number_terms.updated"),
        ({"keywords": "no"}, "keyword_terms.updated"),
        ({"keyword_price": "12.00"}, "keyword_terms.updated"),
        ({"keyword_limit": "0"}, "keyword_terms.updated"),
    ],
    ids=str,
)
def test_each_field_can_be_changed_alone(web: Client, changes: dict[str, str], deed: str) -> None:
    client = added(web)
    before = form_of(web, client)
    assert edit(web, client, **changes).status_code == 302
    after = form_of(web, client)
    assert {name: value for name, value in after.items() if value != before[name]} == {
        name: value for name, value in changes.items() if value != before[name]
    }
    assert set(deeds(client)) - {"user.updated"} == {deed}


def test_a_new_e_mail_becomes_the_login_and_the_old_address_hears_of_it(web: Client) -> None:
    client = added(web)
    edit(web, client, email="new@jones.example")
    user = client.memberships.get().user
    assert (user.email, user.username) == ("new@jones.example", "new@jones.example")
    assert user.check_password("Correct-horse-9")
    assert user.name == "Ada Jones"
    assert deeds(client) == ["user.updated"]


def test_a_new_password_replaces_the_old_one_and_is_noted_without_it(web: Client) -> None:
    client = added(web)
    edit(web, client, password="Another-battery-7")
    assert client.memberships.get().user.check_password("Another-battery-7")
    assert deeds(client) == ["user.password_set"]
    assert "battery" not in str(list(AuditEntry.objects.values_list("data", flat=True)))


def test_a_weak_new_password_is_refused(web: Client) -> None:
    client = added(web)
    response = edit(web, client, password="short", sms_margin="0.5")
    assert list(response.context["form"].errors) == ["password"]
    assert client.memberships.get().user.check_password("Correct-horse-9")
    assert BillingTerms.objects.get(account=client).sms_margin == D("0.012345")


def test_the_user_s_name_follows_the_contact_s_only_while_they_are_one(web: Client) -> None:
    client = added(web)
    edit(web, client, contact_name="Ada Smith")
    assert client.memberships.get().user.name == "Ada Smith"
    User.objects.filter(email="Ada@Jones.example").update(name="Someone Else")
    edit(web, client, contact_name="Ada Lovelace")
    assert client.memberships.get().user.name == "Someone Else"


def test_another_s_e_mail_is_refused_and_nothing_changes(web: Client, reseller: Member) -> None:
    client = added(web)
    response = edit(web, client, email=reseller.user.email.upper(), name="Changed")
    assert "already used by someone" in response.context["form"].errors["email"][0]
    client.refresh_from_db()
    assert client.name == "Jones & Co"
    assert "<h1" in response.content.decode()
    assert "Edit Jones &amp; Co" in response.content.decode()


def test_an_ended_trial_may_stand_while_other_fields_change(web: Client, reseller: Member, log_in: LogIn) -> None:
    client = added(web)
    with time_machine.travel("2035-06-01T00:00:00Z"):
        web = log_in(reseller.user)
        assert edit(web, client, name="Jones Ltd").status_code == 302
        response = edit(web, client, trial_ends_on="2035-05-01")
    assert "is not in the future" in response.context["form"].errors["trial_ends_on"][0]
    assert str(BillingTerms.objects.get(account=client).trial_ends_on) == "2035-01-31"


def test_a_login_that_opens_other_accounts_is_not_the_parent_s_to_change(
    web: Client, reseller: Member, outsider: Member
) -> None:
    client = added(web)
    user = client.memberships.get().user
    Membership.objects.create(user=user, account=outsider.account, role="viewer")
    page = web.get(f"/clients/{client.code}/edit/")
    assert "also belongs to other accounts" in page.content.decode()
    edit(web, client, email="mine@evil.example", password="Taken-over-2026", contact_name="Evil", sms_margin="0.05")
    user.refresh_from_db()
    assert (user.email, user.name) == ("Ada@Jones.example", "Ada Jones")
    assert user.check_password("Correct-horse-9")
    assert BillingTerms.objects.get(account=client).sms_margin == D("0.05")


def test_a_login_that_opens_accounts_below_only_can_be_changed(web: Client) -> None:
    client = added(web)
    Account.objects.filter(pk=client.pk).update(can_have_children=True)
    client.refresh_from_db()
    below = make_client(Member(client, client.memberships.get().user), "Below")
    Membership.objects.create(user=client.memberships.get().user, account=below.account)
    assert edit(web, client, email="new@jones.example").status_code == 302
    assert client.memberships.get().user.email == "new@jones.example"


def test_a_client_without_a_user_gets_one(web: Client) -> None:
    client = added(web)
    client.memberships.all().delete()
    response = edit(web, client, email="second@jones.example")
    assert list(response.context["form"].errors) == ["password"]
    assert edit(web, client, email="second@jones.example", password="Correct-horse-9").status_code == 302
    assert client.memberships.get().user.email == "second@jones.example"


# --- Who pays from now on ----------------------------------------------------------------------------------------

BECOME_PAYER = {"payer": "parent", "method": "bill_to_parent"}


def test_the_parent_becomes_the_payer_of_an_empty_wallet(web: Client) -> None:
    client = added(web)
    assert edit(web, client, **BECOME_PAYER).status_code == 302
    terms = BillingTerms.objects.get(account=client)
    assert (terms.method, terms.sms_margin, terms.daily_topup_limit) == (Method.BILL_TO_PARENT, D(0), None)
    assert edit(web, client, **{**EVERY_FIELD, "password": ""}).status_code == 302
    assert BillingTerms.objects.get(account=client).method == Method.CARD_VARIABLE


@pytest.mark.parametrize("method", [Method.BILL_TO_PARENT, Method.SMS_CREDITS])
def test_the_parent_cannot_become_the_payer_while_the_client_has_money(
    web: Client, client_member: Member, method: str
) -> None:
    client = client_member.account
    changes = {"payer": "parent", "method": method, "mobile": "+61412345678", "name": "Changed"}
    response = edit(web, client, **changes)
    assert response.context["form"].errors["method"] == [
        "Client still has AUD 10.00 in its wallet and AUD 0.00 set aside for messages; "
        "both must be 0.00 before you pay. It is the client's own money: let it be used up, or ask the portal's "
        "operator to pay it back."
    ]
    client.refresh_from_db()
    assert (client.name, client.billing_terms.method) == ("Client", Method.CARD_VARIABLE)


def test_money_set_aside_counts_as_the_client_s(web: Client, client_member: Member) -> None:
    client = client_member.account
    hold(HoldOrder(
        batch_id=UUID("019a0000-0000-7000-8000-000000000001"), account=client, payer=client, amount=D("10"),
        reference="B", quantity=1, actor=None,
    ))  # fmt: skip
    response = edit(web, client, mobile="+61412345678", **BECOME_PAYER)
    assert "AUD 0.00 in its wallet and AUD 10.00 set aside" in response.context["form"].errors["method"][0]


def test_a_card_payment_under_way_counts_as_the_client_s(web: Client) -> None:
    client = added(web)
    TopUp.objects.create(account=client, amount=D(50), currency="AUD", expires_at="2026-01-01T00:00:00Z")
    response = edit(web, client, **BECOME_PAYER)
    assert "has a card payment under way" in response.context["form"].errors["method"][0]
    TopUp.objects.update(state=TopUp.State.EXPIRED)
    assert edit(web, client, **BECOME_PAYER).status_code == 302


def test_of_a_card_payment_and_a_new_payer_at_one_moment_one_is_refused(
    committed_db: object, reseller: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take the lock of the terms first; without it each would see the state before the other."""
    page = SimpleNamespace(session_id="", url="https://pay.example/")
    monkeypatch.setattr("billing.services.topups.stripe.create_checkout", lambda **_: page)

    def pay_or_switch(member: Member, index: int) -> object:
        if index == 0:
            return start_topup(account=member.account, amount=D(20), actor=member.user)
        return update_terms(terms=member.account.billing_terms, actor=None, method=Method.BILL_TO_PARENT)

    for number in range(6):
        work = partial(pay_or_switch, make_client(reseller, f"Racer {number}"))
        outcomes = [type(one).__name__ for one in run_together(2, work)]
        assert outcomes in (["TopUp", "MoneyStranded"], ["NotAllowed", "BillingTerms"]), outcomes


def test_another_card_method_may_be_chosen_with_money_in_the_wallet(web: Client, client_member: Member) -> None:
    client = client_member.account
    response = edit(web, client, mobile="+61412345678", method="card_fixed", fixed_topup="25", minimum_topup="")
    assert response.status_code == 302
    assert BillingTerms.objects.get(account=client).fixed_topup == D(25)


# --- The page ----------------------------------------------------------------------------------------------------


def page_of(web: Client, client: Account) -> str:
    return " ".join(web.get(f"/clients/{client.code}/").content.decode().split())


def test_the_page_says_the_terms_in_words(web: Client) -> None:
    page = page_of(web, added(web))
    assert "Pays by credit card, any amount from AUD 12.25 to AUD 250.50 a day." in page
    assert "Your margin is AUD 0.012345 a part." in page
    assert "AUD 0.0500" in page  # the reseller's price
    assert "AUD 0.062345" in page  # the client's
    assert "Client buys their own; your margin is AUD 5.00 a month" in page
    assert "AUD 9.95 a keyword and month, at most 3." in page
    assert "31 Jan 2035" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (FORMS["card_fixed"], "Pays by credit card, AUD 50.00 at a time, up to AUD 250.50 in 24 hours."),
        (FORMS["card_fixed"] | {"daily_topup_limit": ""}, "Pays by credit card, AUD 50.00 at a time."),
        (FORMS["bill_to_parent"], "You pay: all activity is charged to your account at your own price"),
        (FORMS["bill_to_parent"], "AUD 0.0900"),  # own 0.05 + the SMS margin of SETTINGS 0.04
        (FORMS["sms_credits"], "the client sends with SMS credits that you transfer"),
        ({"keywords": "no"}, "No keyword marketing."),
        ({"keyword_limit": "0"}, "as many as the client likes"),
    ],
)
def test_the_page_words_every_kind_of_terms(web: Client, changes: dict[str, str], words: str) -> None:
    assert words in page_of(web, added(web, **changes))


def test_the_page_shows_activity_people_and_history(web: Client, reseller: Member, client_member: Member) -> None:
    client = client_member.account
    midnight = start_of_day(reseller.account, timezone.now())
    batch = put_messages(client, 4, accepted_at=midnight, sent_at=midnight)
    earn(client, "0.28", {reseller.account: "0.08"})
    create_member(
        account=client, email="second@test.example", name="Second", password=PASSWORD, actor=None, role="viewer"
    )
    edit(web, client, mobile="+61412345678", sms_margin="0.03")
    page = page_of(web, client)
    assert batch.code in page
    for words in (
        "AUD 9.72",
        "AUD 0.16",  # of the four, and of one
        '<div class="figure">5</div>',
        "second@test.example",
        "Viewer",
        "SMS margin: 0.02 → 0.03",
        "Has not logged in",
    ):
        assert words in page, words


def test_the_history_words_what_it_does_not_know(reseller: Member) -> None:
    entry = AuditEntry(
        account=reseller.account,
        action="thing.was_done",
        data={"before": {"country": "AU", "is_enabled": "False"}, "after": {"country": "", "is_enabled": "True"}},
    )
    deed = deed_of(entry)
    assert deed.title == "Thing was done"
    assert deed.changes == ["Country: Australia → none", "Keywords: no → yes"]


# --- Suspension --------------------------------------------------------------------------------------------------


def test_suspending_asks_first_and_notes_the_reason(web: Client, client_member: Member, log_in: LogIn) -> None:
    client, url = client_member.account, f"/clients/{client_member.account.code}"
    assert "Suspend Client?" in web.get(f"{url}/suspend/").content.decode()
    client.refresh_from_db()
    assert client.status == "active"
    response = web.post(f"{url}/suspend/", {"reason": "Invoice open"})
    assert (response.status_code, response["Location"]) == (302, f"{url}/")
    client.refresh_from_db()
    assert client.status == "suspended"
    page = page_of(web, client)
    assert "Reason: Invoice open" in page
    assert "REACTIVATE" in page
    assert log_in(client_member.user).get("/settings/").status_code == 403
    assert web.post(f"{url}/reactivate/").status_code == 302
    client.refresh_from_db()
    assert client.status == "active"
    assert log_in(client_member.user).get("/settings/").status_code == 200
    assert deeds(client) == ["account.suspended", "account.active"]


def test_suspending_twice_says_so_and_notes_nothing(web: Client, client_member: Member) -> None:
    url = f"/clients/{client_member.account.code}"
    web.post(f"{url}/suspend/")
    page = web.post(f"{url}/suspend/", follow=True).content.decode()
    assert "Client is not active; reload the page" in page
    assert deeds(client_member.account) == ["account.suspended"]


def test_a_suspended_client_can_still_be_edited(web: Client, client_member: Member) -> None:
    fund(client_member, "1")
    web.post(f"/clients/{client_member.account.code}/suspend/")
    assert edit(web, client_member.account, mobile="+61412345678", name="Renamed").status_code == 302
    client_member.account.refresh_from_db()
    assert (client_member.account.name, client_member.account.status) == ("Renamed", "suspended")
