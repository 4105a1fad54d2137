"""DASHBOARD over the demo: the right figures for the right account, nothing of others, few queries."""

import re
import zoneinfo
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing.models import LedgerEntry
from billing.statements import Period
from messaging.models import Batch, Message
from messaging.reports import summarise
from messaging.selectors import Sight
from reseller.dashboards import figures
from reseller.templatetags.portal import money
from tests.cast import LogIn
from tests.demo import account_of
from tests.reading import dashboard_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo_data")]


@pytest.fixture
def demo(log_in: LogIn) -> Callable[[str], str]:
    """``demo(login)`` is the dashboard of ``<login>@demo.example``."""

    def open_dashboard(login: str) -> str:
        return dashboard_of(log_in(User.objects.get(email=f"{login}@demo.example")))

    return open_dashboard


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
    assert "Clients 4 active" in text
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


@pytest.mark.parametrize(
    ("role", "may"), [("owner", "ADD CREDIT|ADD CLIENT|SEND SMS"), ("viewer", ""), ("billing", "ADD CREDIT")]
)
def test_actions_follow_the_role(demo, role, may):
    Membership.objects.filter(user__email="reseller@demo.example").update(role=role)
    content = demo("reseller").split('id="content"')[1]
    for action in ("ADD CREDIT", "ADD CLIENT", "SEND SMS"):
        assert (action in content) == (action in may), action


def test_the_steps_are_gone_once_something_was_sent(demo):
    assert "Next steps" not in demo("client")


@pytest.mark.parametrize(("login", "most"), [("reseller", 20), ("client", 17), ("billed", 15)])
def test_queries_do_not_grow_with_what_is_shown(demo, log_in, django_assert_max_num_queries, login, most):
    browser = log_in(User.objects.get(email=f"{login}@demo.example"))
    with django_assert_max_num_queries(most):
        dashboard_of(browser)
