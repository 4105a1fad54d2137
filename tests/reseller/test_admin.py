"""The admin: staff read everything, change what is theirs to change, and can never write the ledger but by its form."""

from decimal import Decimal
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import Account, AuditEntry, Membership, OutgoingMail, User
from billing.models import (
    BillingTerms,
    LedgerAccount,
    LedgerTransaction,
    Rate,
    RateCard,
    RateOverride,
)  # fmt: skip
from billing.selectors import balance_of
from messaging.models import Route, RoutePlan, RouteRule, SmppConnector
from tests.billing.credits import give, make_credits_client
from tests.cast import LogIn, Member

pytestmark = pytest.mark.django_db

admin.autodiscover()
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model, page: str = "changelist", *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


# --- Doors ---------------------------------------------------------------------------------------------------------


def test_nobody_else_gets_in(reseller: Member, log_in: LogIn):
    for browser in (Client(), log_in(reseller.user)):
        for model in REGISTERED:
            answer = browser.get(url(model))
            assert answer.status_code == 302, model
            assert answer["Location"].startswith("/admin/login/")


def test_the_admins_log_in_is_the_portals(reseller: Member, log_in: LogIn):
    answer = Client().get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"] == f"{reverse('account_login')}?next=%2Fadmin%2F"
    assert log_in(reseller.user).get("/admin/login/").status_code == 403


def test_the_overview_shows_money_by_currency(staff: Client, client_member: Member):
    text = staff.get("/admin/").content.decode()
    assert "Money by currency" in text
    assert "110.00" in text, "100.00 of the reseller and 10.00 of its client"
    for page in ("admin:messaging_unknownmessage_changelist", "admin:messaging_route_health"):
        assert text.count(f'href="{reverse(page)}"') == 2, "in the menu and at its figure"


# --- Manual payments -----------------------------------------------------------------------------------------------


def payment_page(member: Member) -> str:
    wallet = LedgerAccount.objects.get(owner=member.account, kind="wallet")
    return f"/admin/billing/ledgeraccount/{wallet.pk}/manual-payment/"


def form_of(staff: Client, page: str, **values: str) -> dict[str, str]:
    return {"key": staff.get(page).context["form"]["key"].value(), **values}


def test_a_payment_is_booked_once_with_its_reason_and_who_did_it(staff: Client, staff_user: User, reseller: Member):
    page = payment_page(reseller)
    form = form_of(staff, page, amount="250.5", reason="Bank transfer 4711")
    assert staff.post(page, form).status_code == 302
    assert balance_of(reseller.account).available == Decimal("350.5")
    movement = LedgerTransaction.objects.get(description="Bank transfer 4711")
    assert movement.actor == staff_user
    entry = AuditEntry.objects.get(action="payment.booked")
    assert (entry.account, entry.actor) == (reseller.account, staff_user)
    assert entry.data == {"amount": "250.500000", "reason": "Bank transfer 4711"}

    again = staff.post(page, form)
    assert again.status_code == 200
    assert "has been made already" in again.content.decode()
    assert balance_of(reseller.account).available == Decimal("350.5")
    assert AuditEntry.objects.filter(action="payment.booked").count() == 1


def test_a_correction_cannot_take_more_than_there_is(staff: Client, reseller: Member):
    page = payment_page(reseller)
    answer = staff.post(page, form_of(staff, page, amount="-100.01", reason="Correction"))
    assert "0.01 AUD are missing" in answer.content.decode()
    assert balance_of(reseller.account).available == Decimal(100)
    assert not AuditEntry.objects.filter(action="payment.booked").exists()


@pytest.mark.parametrize(
    "values", [{"amount": "0", "reason": "x"}, {"amount": "", "reason": "x"}, {"amount": "5", "reason": ""}]
)
def test_a_payment_needs_an_amount_and_a_reason(staff: Client, reseller: Member, values):
    page = payment_page(reseller)
    assert staff.post(page, form_of(staff, page, **values)).status_code == 200
    assert balance_of(reseller.account).available == Decimal(100)


def test_nobody_books_money_where_its_owner_cannot_spend_it(staff: Client, billed_member: Member):
    page = payment_page(billed_member)
    answer = staff.post(page, form_of(staff, page, amount="5", reason="Bank transfer"))
    assert "Billed is paid for by Reseller" in unescape(answer.content.decode())
    assert balance_of(billed_member.account).available == 0


def test_payments_go_to_wallets_only(staff: Client, reseller: Member):
    manual = LedgerAccount.objects.get(kind="manual", currency="AUD")
    assert staff.get(f"/admin/billing/ledgeraccount/{manual.pk}/manual-payment/").status_code == 403
    child = make_credits_client(reseller)
    give(child, 2)
    credits = LedgerAccount.objects.get(owner=child.account, kind="wallet", currency="SMS")
    answer = staff.get(f"/admin/billing/ledgeraccount/{credits.pk}/manual-payment/")
    assert answer.status_code == 403  # it would be booked to the money of the account


def test_staff_without_the_right_book_nothing(reseller: Member, log_in: LogIn):
    helper = User.objects.create(username="h", email="h@test.example", name="H", is_staff=True)
    assert log_in(helper).post(payment_page(reseller), {}).status_code == 403


# --- Customers -----------------------------------------------------------------------------------------------------


def test_staff_make_a_user_without_first_and_last_name(staff: Client):
    values = {
        "name": "New Person", "email": "new@test.example", "username": "newbie", "usable_password": "true",
        "password1": "A-long-password-9", "password2": "A-long-password-9",
    }  # fmt: skip
    assert staff.post(url(User, "add"), values).status_code == 302
    user = User.objects.get(username="newbie")
    assert (user.name, user.email) == ("New Person", "new@test.example")
    assert user.check_password("A-long-password-9")
    other = values | {"username": "NEW@test.example", "email": "other@test.example"}
    assert "logs in with this already" in staff.post(url(User, "add"), other).content.decode()


def test_staff_who_are_no_superusers_cannot_raise_themselves(db: None, staff_user: User, log_in: LogIn):
    helper = User.objects.create(username="h", email="h@test.example", name="H", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    browser = log_in(helper)
    values = {"name": "H", "email": "h@test.example", "username": "h", "is_active": "on", "is_superuser": "on"}
    browser.post(url(User, "change", helper.pk), values)
    helper.refresh_from_db()
    assert not helper.is_superuser
    assert browser.post(url(User, "change", staff_user.pk), values).status_code == 403


def test_staff_add_a_reseller_with_terms_and_an_owner(staff: Client, staff_user: User, stage: None):
    details = {
        "name": "Fresh",
        "sells_in": "EUR",
        "country": "DE",
        "time_zone": "Europe/Berlin",
        "can_have_children": "on",
    }
    assert staff.post(url(Account, "add"), details).status_code == 302
    account = Account.objects.get(name="Fresh")
    assert account.is_direct
    assert account.currency == "EUR"
    assert account.can_have_children
    assert AuditEntry.objects.get(account=account, action="account.created").actor == staff_user

    terms = {"account": account.pk, "method": "invoice", "sms_margin": "0", "display_margin": "0.01"}
    assert staff.post(url(BillingTerms, "add"), terms).status_code == 302
    assert account.billing_terms.display_margin == Decimal("0.01")
    assert LedgerAccount.objects.filter(owner=account, kind="wallet").exists()

    assert (
        staff.post(url(Membership, "add"), {"user": staff_user.pk, "account": account.pk, "role": "owner"}).status_code
        == 302
    )
    assert AuditEntry.objects.filter(account=account, action="membership.created").exists()


def test_a_currency_is_three_letters(staff: Client, stage: None):
    answer = staff.post(url(Account, "add"), {"name": "X", "sells_in": "euro", "time_zone": "UTC"})
    assert answer.status_code == 200
    assert not Account.objects.filter(name="X").exists()


def test_changes_of_accounts_and_terms_are_noted(staff: Client, staff_user: User, reseller: Member):
    account = reseller.account
    details = {"name": "Renamed", "country": "AU", "time_zone": "Australia/Sydney", "can_have_children": "on"}
    details |= {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    assert staff.post(url(Account, "change", account.pk), details).status_code == 302
    entry = AuditEntry.objects.get(account=account, action="account.updated")
    assert entry.actor == staff_user
    assert entry.data["after"]["name"] == "Renamed"
    terms = {"method": "invoice", "sms_margin": "0", "display_margin": "0.05"}
    assert staff.post(url(BillingTerms, "change", account.pk), terms).status_code == 302
    assert AuditEntry.objects.get(account=account, action="terms.updated").data["after"] == {"display_margin": "0.05"}


def test_staff_are_told_why_a_country_stays_while_credits_are_left(staff: Client, reseller: Member):
    child = make_credits_client(reseller)
    give(child, 2)
    form = {"name": "Client", "contact_name": "Client", "mobile": "", "country": "NZ", "time_zone": "Pacific/Auckland"}
    form |= {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}

    page = staff.post(url(Account, "change", child.account.pk), form, follow=True).content.decode()

    assert "Client has SMS credits that were bought for Australia. Take them back" in page
    assert not AuditEntry.objects.filter(account=child.account, action="account.updated").exists()


def test_accounts_are_suspended_and_reactivated(staff: Client, reseller: Member):
    for deed, status in (("suspend", "suspended"), ("reactivate", "active")):
        staff.post(url(Account), {"action": deed, "_selected_action": [reseller.account.pk]})
        reseller.account.refresh_from_db()
        assert reseller.account.status == status


# --- Prices, carriers, mail ----------------------------------------------------------------------------------------


def test_rates_are_edited_on_their_card(staff: Client):
    values = {
        "name": "Card", "currency": "eur", "is_default": "on",
        "rates-TOTAL_FORMS": "1", "rates-INITIAL_FORMS": "0", "rates-MIN_NUM_FORMS": "0", "rates-MAX_NUM_FORMS": "1000",
        "rates-0-prefix": "49", "rates-0-country": "DE", "rates-0-price": "0.0735",
    }  # fmt: skip
    assert staff.post(url(RateCard, "add"), values).status_code == 302
    assert Rate.objects.get(rate_card__currency="EUR").price == Decimal("0.0735")


def test_overrides_are_for_direct_clients_only(staff: Client, reseller: Member, client_member: Member):
    form = staff.get(url(RateOverride, "add")).context["adminform"].form
    assert set(form.fields["account"].queryset) == {reseller.account}


def test_a_route_is_made_that_takes_all_other_numbers(staff: Client):
    route = Route.objects.create(code="r", name="R")
    values = {
        "plan": RoutePlan.objects.get().pk, "prefix": "", "strategy": "priority", "choices-0-position": "1",
        "choices-0-route": route.pk, "choices-TOTAL_FORMS": "1", "choices-INITIAL_FORMS": "0",
    }  # fmt: skip
    assert staff.post(url(RouteRule, "add"), values).status_code == 302
    assert route.choices.get().rule.prefix == ""


def test_percentages_of_a_rule_are_a_hundred_together(staff: Client):
    routes = [Route.objects.create(code=code, name=code) for code in ("a", "b")]
    values = {
        "plan": RoutePlan.objects.get().pk, "prefix": "61", "strategy": "percentage",
        "choices-0-position": "1", "choices-0-route": routes[0].pk, "choices-0-percent": "70",
        "choices-1-position": "2", "choices-1-route": routes[1].pk, "choices-1-percent": "20",
        "choices-TOTAL_FORMS": "2", "choices-INITIAL_FORMS": "0",
    }  # fmt: skip
    page = staff.post(url(RouteRule, "add"), values)
    assert "The percentages are 90 together; give each route one, 100 in all." in page.content.decode()
    assert not RouteRule.objects.filter(prefix="61").exists()
    assert staff.post(url(RouteRule, "add"), values | {"choices-1-percent": "30"}).status_code == 302
    assert [choice.percent for choice in RouteRule.objects.get(prefix="61").choices.all()] == [70, 30]


def test_another_plan_becomes_the_default_and_none_gives_it_up(staff: Client):
    first = RoutePlan.objects.get()
    rules = {"rules-TOTAL_FORMS": "0", "rules-INITIAL_FORMS": "0"}
    page = staff.post(url(RoutePlan, "change", first.pk), {"name": first.name} | rules)
    assert "make another plan the default instead" in page.content.decode()
    answer = staff.post(url(RoutePlan, "add"), {"name": "Second", "is_default": "on"} | rules)
    assert answer.status_code == 302
    assert dict(RoutePlan.objects.values_list("name", "is_default")) == {"Second": True, first.name: False}
    assert staff.get(url(RoutePlan, "delete", RoutePlan.objects.get(name="Second").pk)).status_code == 403


def test_a_connectors_password_is_written_and_never_shown(staff: Client):
    route = Route.objects.create(code="r", name="R")
    connector = SmppConnector.objects.create(route=route, host="h", system_id="s", password="secret99")
    page = url(SmppConnector, "change", connector.pk)
    assert "secret99" not in staff.get(page).content.decode()
    assert "secret99" not in staff.get(url(Route, "change", route.pk)).content.decode()
    values = {
        "route": route.pk, "host": "other", "port": "2775", "system_id": "s", "password": "", "binds": "1",
        "window": "10", "enquire_link_seconds": "15", "is_enabled": "on", "receipt_id_format": "as_is",
    }  # fmt: skip
    assert staff.post(page, values).status_code == 302
    connector.refresh_from_db()
    assert (connector.host, connector.password) == ("other", "secret99")
    staff.post(page, values | {"password": "fresh123"})
    connector.refresh_from_db()
    assert connector.password == "fresh123"


def test_a_failed_mail_is_tried_again_and_its_text_is_not_shown(staff: Client, django_capture_on_commit_callbacks):
    mail = OutgoingMail.objects.create(
        key="k",
        to="a@test.example",
        subject="s",
        text="https://secret-link",
        state="failed",
        attempts=12,
        error="refused",
    )
    sent = OutgoingMail.objects.create(key="k2", to="b@test.example", subject="s", text="t", state="sent")
    assert "secret-link" not in staff.get(url(OutgoingMail, "change", mail.pk)).content.decode()
    staff.post(url(OutgoingMail), {"action": "retry", "_selected_action": [mail.pk, sent.pk]})
    mail.refresh_from_db()
    sent.refresh_from_db()
    assert (mail.state, mail.attempts, mail.error) == ("waiting", 0, "")
    assert sent.state == "sent"
