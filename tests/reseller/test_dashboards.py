"""DASHBOARD: the right figures for the right account, no money where the parent pays, nothing of others."""

import re
import zoneinfo
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Membership, User
from accounts.services.accounts import suspend_account
from billing.models import LedgerEntry
from billing.services import ledger
from billing.statements import Period
from messaging.models import Batch, Message
from messaging.reports import summarise
from messaging.selectors import Sight
from reseller.dashboards import figures
from reseller.demo.load import load_demo
from reseller.templatetags.portal import money
from tests.cast import LogIn, Member, fund, make_client

pytestmark = pytest.mark.django_db


def text_of(html: str) -> str:
    """What a reader sees, scripts' data included, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def page(browser: Client) -> str:
    answer = browser.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def demo(db: None, log_in: LogIn):
    load_demo()

    def open_dashboard(login: str) -> str:
        return page(log_in(User.objects.get(email=f"{login}@demo.example")))

    return open_dashboard


def account_of(login: str) -> Account:
    return Membership.objects.get(user__email=f"{login}@demo.example").account


# --- Figures -------------------------------------------------------------------------------------------------------


def test_a_resellers_margin_by_day_adds_up_to_what_the_ledger_booked(demo):
    reseller = account_of("reseller")
    today = timezone.now().date()
    period = Period(today - timedelta(days=60), today + timedelta(days=2))
    summary = summarise(reseller, Sight(reseller).accounts(), period)
    booked = LedgerEntry.objects.filter(
        ledger_account__owner=reseller, ledger_account__kind="wallet", transaction__kind="capture"
    ).aggregate(total=Sum("amount"))["total"]
    chart = figures.margin_chart(summary)
    assert sum(chart["series"][0]["values"]) == booked
    assert booked > 0


def test_a_reseller_reads_its_business(demo):
    reseller = account_of("reseller")
    text = text_of(demo("reseller"))
    assert "Clients 3 active" in text
    assert "ADD CREDIT" in text
    assert "Margin in 30 days AUD" in text
    assert "Harbourside Dental" in text
    newest = Batch.objects.filter(account__path__contains=[reseller.pk]).order_by("-id")[: figures.SHOWN_BATCHES]
    assert re.findall(r"/batches/(\w+)/", demo("reseller")) == [batch.code for batch in newest]


def test_a_client_reads_what_became_of_its_messages(demo):
    client = account_of("client")
    text = text_of(demo("client"))
    zone = zoneinfo.ZoneInfo(client.time_zone)
    first_day = timezone.now().astimezone(zone).date() - timedelta(days=29)
    delivered = [
        message
        for message in Message.objects.filter(account=client, state="delivered")
        if message.accepted_at.astimezone(zone).date() >= first_day
    ]
    assert f"Delivered in 30 days {len(delivered):,} " in text
    assert f"Balance AUD {ledger_balance(client)}" in text


def ledger_balance(account: Account) -> str:
    return money(account.ledger_accounts.get(kind="wallet").balance)


# --- Who sees what -------------------------------------------------------------------------------------------------


def codes_below(login: str) -> list[str]:
    batches = Batch.objects.filter(account__path__contains=[account_of(login).pk])
    return list(batches.values_list("code", flat=True))


def test_nothing_of_another_tenant_appears(demo):
    reseller, outsider = demo("reseller"), demo("outsider")
    for code in codes_below("outsider"):
        assert code not in reseller
    for code in codes_below("reseller"):
        assert code not in outsider
    assert "Prairie" not in reseller
    assert "USD" not in reseller
    assert "Harbourside" not in outsider
    assert "AUD" not in outsider


def test_a_client_sees_only_itself(demo):
    client = demo("client")
    for other in ("Coastal Couriers", "Bayside Books", "Southern Cross", "Margin", "margin"):
        assert other not in client


def test_a_client_billed_to_its_parent_reads_no_money(demo):
    billed = demo("billed")
    text = text_of(billed)
    assert "Messages in 30 days" in text
    for word in ("AUD", "Balance", "balance", "CREDIT", "margin", "Margin", "Available", "credit"):
        assert word not in text, word
    assert not re.search(r"\d\.\d{2}", text), "no amount of any kind"


def test_a_reseller_whose_parent_pays_for_it_reads_no_money(reseller: Member, log_in: LogIn):
    below = make_client(reseller, "Sub", method="bill_to_parent", minimum_topup=None, daily_topup_limit=None)
    Account.objects.filter(pk=below.account.pk).update(can_have_children=True)
    text = text_of(page(log_in(below.user)))
    assert "Clients 0 active" in text
    for word in ("AUD", "Balance", "Margin in", "low on balance"):
        assert word not in text


@pytest.mark.parametrize(
    ("role", "may"), [("owner", "ADD CREDIT|ADD CLIENT|SEND SMS"), ("viewer", ""), ("billing", "ADD CREDIT")]
)
def test_actions_follow_the_role(demo, role, may):
    Membership.objects.filter(user__email="reseller@demo.example").update(role=role)
    content = demo("reseller").split('id="content"')[1]
    for action in ("ADD CREDIT", "ADD CLIENT", "SEND SMS"):
        assert (action in content) == (action in may), action


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


# --- Low on balance ------------------------------------------------------------------------------------------------


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
    text = text_of(page(log_in(reseller.user)))
    assert "Thirsty AUD 0.00" in text
    assert "less than 10% of their daily top-up limit" in text


# --- New accounts --------------------------------------------------------------------------------------------------


def test_a_new_reseller_is_told_what_to_do_first(outsider: Member, log_in: LogIn):
    text = text_of(page(log_in(outsider.user)))
    assert "Add your first client" in text
    assert "Send your first SMS" in text
    assert "Add credit" not in text, "it pays by invoice"
    assert "Nothing was sent yet" in text


def test_a_new_client_adds_credit_first_and_sees_it_done(reseller: Member, log_in: LogIn):
    fresh = make_client(reseller, "Fresh")
    before = text_of(page(log_in(fresh.user)))
    assert "Add credit Messages are paid" in before
    assert "Add your first client" not in before
    ledger.manual_payment(account=fresh.account, amount=Decimal(5), key="x", reason="test", actor=None)
    assert "Add credit Done" in text_of(page(log_in(fresh.user)))


def test_the_steps_are_gone_once_something_was_sent(demo):
    assert "Next steps" not in demo("client")


# --- Cost ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("login", "most"), [("reseller", 18), ("client", 16), ("billed", 15)])
def test_queries_do_not_grow_with_what_is_shown(demo, log_in, django_assert_max_num_queries, login, most):
    browser = log_in(User.objects.get(email=f"{login}@demo.example"))
    with django_assert_max_num_queries(most):
        page(browser)
