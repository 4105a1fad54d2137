"""DASHBOARD: who may open it, who is low on balance, no money where the parent pays, what new accounts are told."""

from decimal import Decimal

import pytest
from django.test import Client

from accounts.models import Account, User
from accounts.services.accounts import suspend_account
from billing.services import ledger
from reseller.dashboards import figures
from tests.cast import LogIn, Member, fund, make_client
from tests.reading import dashboard_of, text_of

pytestmark = pytest.mark.django_db


def test_a_reseller_whose_parent_pays_for_it_reads_no_money(reseller: Member, log_in: LogIn):
    below = make_client(reseller, "Sub", method="bill_to_parent", minimum_topup=None, daily_topup_limit=None)
    Account.objects.filter(pk=below.account.pk).update(can_have_children=True)
    text = text_of(dashboard_of(log_in(below.user)))
    assert "Clients 0 active" in text
    for word in ("AUD", "Balance", "Margin in", "low on balance"):
        assert word not in text


def test_anonymous_people_log_in_first(db):
    answer = Client().get("/")
    assert answer.status_code == 302
    assert "/login" in answer["Location"]


def test_staff_without_an_account_go_to_the_admin(db, log_in: LogIn):
    staff = User.objects.create(username="staff", email="staff@test.example", name="Staff", is_staff=True)
    answer = log_in(staff).get("/")
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/"


def test_a_dashboard_is_not_posted_to(reseller: Member, log_in: LogIn):
    assert log_in(reseller.user).post("/").status_code == 405


def low(viewer: Member) -> list[tuple[str, Decimal, Decimal]]:
    return [(one.account.name, one.available, one.threshold) for one in figures.clients_low_on_balance(viewer.account)]


def test_below_a_tenth_of_the_daily_limit_is_low(reseller: Member):
    just_low = make_client(reseller, "Just low")
    fund(just_low, "9.999999")
    enough = make_client(reseller, "Enough")
    fund(enough, "10")
    assert low(reseller) == [("Just low", Decimal("9.999999"), Decimal(10))]


def test_without_a_daily_limit_the_fixed_amount_counts_and_by_invoice_nothing_left(reseller: Member):
    fixed = make_client(
        reseller, "Fixed", method="card_fixed", fixed_topup=Decimal(50), minimum_topup=None, daily_topup_limit=None
    )
    fund(fixed, "4.5")
    invoiced = make_client(reseller, "Invoiced", method="invoice", minimum_topup=None, daily_topup_limit=None)
    assert low(reseller) == [("Invoiced", Decimal(0), Decimal(0)), ("Fixed", Decimal("4.5"), Decimal(5))]
    fund(invoiced, "0.01")
    assert [name for name, _, _ in low(reseller)] == ["Fixed"]


def test_suspended_clients_clients_paid_for_and_other_peoples_clients_are_not_listed(
    reseller: Member, outsider: Member, billed_member: Member
):
    gone = make_client(reseller, "Gone")
    suspend_account(account=gone.account, actor=None)
    make_client(outsider, "Not ours")
    assert low(reseller) == []


def test_the_page_names_the_low_client_and_the_rule(reseller: Member, log_in: LogIn):
    make_client(reseller, "Thirsty")
    text = text_of(dashboard_of(log_in(reseller.user)))
    assert "Thirsty AUD 0.00" in text
    assert "less than 10% of their daily top-up limit" in text


def test_a_new_reseller_is_told_what_to_do_first(outsider: Member, log_in: LogIn):
    text = text_of(dashboard_of(log_in(outsider.user)))
    assert "Add your first client" in text
    assert "Send your first SMS" in text
    assert "Add credit" not in text, "it pays by invoice"
    assert "Messages by day" not in text, "nothing to draw yet"
    assert "Nothing was sent yet" in text


def test_a_new_client_adds_credit_first_and_sees_it_done(reseller: Member, log_in: LogIn):
    fresh = make_client(reseller, "Fresh")
    before = text_of(dashboard_of(log_in(fresh.user)))
    assert "Add credit Messages are paid" in before
    assert "Add your first client" not in before
    ledger.manual_payment(account=fresh.account, amount=Decimal(5), key="x", reason="test", actor=None)
    assert "Add credit Done" in text_of(dashboard_of(log_in(fresh.user)))
