"""CLIENTS: figures, search, filter, sorting, paging, and its cost."""

import re
from datetime import timedelta
from decimal import Decimal as D
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account
from accounts.services.accounts import suspend_account
from billing.models import BillingTerms
from clients.listing import ClientRow
from clients.selectors import start_of_day
from tests.cast import LogIn, Member, fund, make_client
from tests.clients.activity import earn, put_messages

Method = BillingTerms.Method


def listed(log_in: LogIn, member: Member, query: str = "") -> list[ClientRow]:
    response: Any = log_in(member.user).get(f"/clients/{query}")
    assert response.status_code == 200
    return list(response.context["found"].rows)


def names(log_in: LogIn, member: Member, query: str = "") -> list[str]:
    return [row.account.name for row in listed(log_in, member, query)]


@pytest.fixture
def clients(reseller: Member) -> dict[str, Member]:
    """Three clients in three states: Bell pays by card, Arc is billed to the reseller, Cove is suspended."""
    bell = make_client(reseller, "Bell")
    arc = make_client(
        reseller, "arc", method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None, sms_margin=D(0)
    )
    cove = make_client(reseller, "Cove", method=Method.CARD_FIXED, fixed_topup=D(50))
    fund(bell, "10.25")
    fund(cove, "3")
    Account.objects.filter(pk=bell.account.pk).update(contact_name="Wanda Bloom", mobile="+61412345678")
    suspend_account(account=cove.account, actor=None)
    return {"Bell": bell, "arc": arc, "Cove": cove}


def test_each_client_shows_payer_balance_and_status(
    clients: dict[str, Member], reseller: Member, outsider: Member, log_in: LogIn
) -> None:
    make_client(outsider, "Not yours")
    rows = listed(log_in, reseller)
    assert [(row.account.name, row.payer, row.balance, row.account.status) for row in rows] == [
        ("arc", "I Pay", None, "active"),
        ("Bell", "Client Pays", D("10.25"), "active"),
        ("Cove", "Client Pays", D("3"), "suspended"),
    ]
    page = log_in(reseller.user).get("/clients/").content.decode()
    assert "AUD 10.25" in page
    assert "Not yours" not in page


def test_sent_today_counts_the_branch_from_the_viewer_s_midnight(
    clients: dict[str, Member], reseller: Member, log_in: LogIn
) -> None:
    midnight = start_of_day(reseller.account, timezone.now())
    assert midnight.tzinfo == ZoneInfo("Australia/Sydney")
    bell = clients["Bell"]
    Account.objects.filter(pk=bell.account.pk).update(can_have_children=True)
    bell.account.refresh_from_db()
    below = make_client(bell, "Below Bell")
    second = timedelta(seconds=1)
    put_messages(bell.account, 3, accepted_at=midnight, sent_at=midnight)
    put_messages(bell.account, 5, accepted_at=midnight - second, sent_at=midnight - second)  # yesterday
    put_messages(bell.account, 7, accepted_at=midnight, sent_at=None)  # waits
    put_messages(bell.account, 11, accepted_at=midnight - timedelta(days=40), sent_at=midnight)  # waited long
    put_messages(below.account, 13, accepted_at=midnight, sent_at=midnight + second)
    put_messages(clients["arc"].account, 17, accepted_at=midnight, sent_at=midnight)
    put_messages(reseller.account, 19, accepted_at=midnight, sent_at=midnight)  # its own, not a client's
    assert {row.account.name: row.sent for row in listed(log_in, reseller)} == {"arc": 17, "Bell": 27, "Cove": 0}


def test_the_margin_is_what_the_ledger_credited_to_the_viewer_this_month(
    clients: dict[str, Member], reseller: Member, log_in: LogIn
) -> None:
    bell = clients["Bell"]
    Account.objects.filter(pk=bell.account.pk).update(can_have_children=True)
    bell.account.refresh_from_db()
    below = make_client(bell, "Below Bell")
    fund(below, "5")
    earn(bell.account, "0.21", {reseller.account: "0.06"})
    earn(bell.account, "0.07", {reseller.account: "0.020001"})
    earn(below.account, "0.30", {reseller.account: "0.04", bell.account: "0.05"})
    earn(reseller.account, "1.00", {})  # the reseller's own messages
    margins = {row.account.name: row.margin for row in listed(log_in, reseller)}
    assert margins == {"arc": D(0), "Bell": D("0.120001"), "Cove": D(0)}
    assert {row.account.name: row.margin for row in listed(log_in, bell)} == {"Below Bell": D("0.05")}
    with time_machine.travel(timezone.now() + timedelta(days=32)):
        assert [row.margin for row in listed(log_in, reseller)] == [D(0), D(0), D(0)]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("BEL", ["Bell"]),
        ("wanda  bloom", ["Bell"]),
        ("cove@test.EXAMPLE", ["Cove"]),
        ("0412 345", ["Bell"]),
        ("%2B61 412", ["Bell"]),
        ("61412345678", ["Bell"]),
        ("nothing", []),
        ("%25", []),
        ("", ["arc", "Bell", "Cove"]),
    ],
)
def test_search_finds_by_name_contact_e_mail_and_mobile(
    clients: dict[str, Member], reseller: Member, log_in: LogIn, search: str, found: list[str]
) -> None:
    assert names(log_in, reseller, f"?q={search}") == found


def test_search_finds_by_code(clients: dict[str, Member], reseller: Member, log_in: LogIn) -> None:
    assert names(log_in, reseller, f"?q={clients['Cove'].account.code.lower()}") == ["Cove"]


@pytest.mark.parametrize(
    ("status", "found"), [("active", ["arc", "Bell"]), ("suspended", ["Cove"]), ("odd", ["arc", "Bell", "Cove"])]
)
def test_the_status_narrows_the_list(
    clients: dict[str, Member], reseller: Member, log_in: LogIn, status: str, found: list[str]
) -> None:
    assert names(log_in, reseller, f"?status={status}") == found


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", ["arc", "Bell", "Cove"]),
        ("-name", ["Cove", "Bell", "arc"]),
        ("payer", ["Cove", "Bell", "arc"]),
        ("-payer", ["arc", "Bell", "Cove"]),
        ("balance", ["Cove", "Bell", "arc"]),
        ("-balance", ["Bell", "Cove", "arc"]),
        ("sent", ["Cove", "Bell", "arc"]),
        ("-sent", ["arc", "Bell", "Cove"]),
        ("margin", ["arc", "Bell", "Cove"]),
        ("-margin", ["Cove", "Bell", "arc"]),
        ("status", ["arc", "Bell", "Cove"]),
        ("-status", ["Cove", "arc", "Bell"]),
        ("password", ["arc", "Bell", "Cove"]),
    ],
)
def test_every_column_sorts(
    clients: dict[str, Member], reseller: Member, log_in: LogIn, sort: str, order: list[str]
) -> None:
    midnight = start_of_day(reseller.account, timezone.now())
    put_messages(clients["arc"].account, 4, accepted_at=midnight, sent_at=midnight)
    put_messages(clients["Bell"].account, 1, accepted_at=midnight, sent_at=midnight)
    earn(clients["Cove"].account, "0.50", {reseller.account: "0.09"})
    earn(clients["Bell"].account, "0.50", {reseller.account: "0.01"})
    assert names(log_in, reseller, f"?sort={sort}") == order


def test_pages_keep_search_and_sorting(reseller: Member, log_in: LogIn) -> None:
    Account.objects.bulk_create(
        Account(parent=reseller.account, name=f"Shop {n:02}", currency="AUD", code=f"C{n:05}") for n in range(27)
    )
    make_client(reseller, "Other")
    assert names(log_in, reseller, "?q=shop&sort=-name") == [f"Shop {n:02}" for n in range(26, 1, -1)]
    assert names(log_in, reseller, "?q=shop&sort=-name&page=2") == ["Shop 01", "Shop 00"]
    assert names(log_in, reseller, "?q=shop&sort=-margin&page=2") == ["Shop 25", "Shop 26"]
    assert names(log_in, reseller, "?q=shop&page=99") == ["Shop 25", "Shop 26"]
    page = log_in(reseller.user).get("/clients/?q=shop&sort=-name").content.decode()
    assert "?q=shop&amp;sort=-name&amp;page=2" in page
    assert 'aria-sort="descending"' in page


@pytest.mark.parametrize("query", ["", "?q=shop", "?sort=-sent", "?sort=-margin", "?sort=-balance"])
def test_a_long_list_asks_the_database_no_more_than_a_short_one(
    clients: dict[str, Member], reseller: Member, log_in: LogIn, query: str
) -> None:
    browser = log_in(reseller.user)

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(f"/clients/{query}").status_code == 200
        return len(queries)

    for name in ("Shop A", "Shop B"):
        make_client(reseller, name)
    browser.get("/clients/")  # the session's first request
    few = count()
    for n in range(25):
        make_client(reseller, f"Shop {n}")
    assert count() == few
    assert few <= 17


def test_no_figure_of_the_list_is_counted_from_messages_or_movements(
    clients: dict[str, Member], reseller: Member, log_in: LogIn
) -> None:
    """Those are millions; the reports' counts know the same."""
    browser = log_in(reseller.user)
    for query in ("", "?sort=-sent", "?sort=-margin", f"{clients['Bell'].account.code}/"):
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(f"/clients/{query}").status_code == 200
        asked = "\n".join(one["sql"] for one in queries)
        assert "messaging_reportday" in asked
        assert not re.search(r"messaging_message\b", asked), query
        # The only movements are those of credits, by an index of their own.
        assert asked.count("billing_ledgerentry") == asked.count("kind IN ('credits', 'takeback')") > 0


def test_without_clients_the_page_leads_to_add_client(reseller: Member, log_in: LogIn) -> None:
    page = log_in(reseller.user).get("/clients/").content.decode()
    assert "No clients yet" in page
    assert page.count('href="/clients/add/"') == 2


def test_without_a_match_the_page_leads_back(clients: dict[str, Member], reseller: Member, log_in: LogIn) -> None:
    page = log_in(reseller.user).get("/clients/?q=zzz").content.decode()
    assert "No client matches" in page
    assert 'value="zzz"' in page


def test_a_reseller_that_sees_no_money_sees_none_of_its_clients(clients: dict[str, Member], log_in: LogIn) -> None:
    """A client billed to its parent may have clients of its own; still no page of it shows a balance or margin."""
    arc = clients["arc"]
    Account.objects.filter(pk=arc.account.pk).update(can_have_children=True)
    arc.account.refresh_from_db()
    below = make_client(arc, "Below", method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None)
    browser = log_in(arc.user)
    for path in ("", "?sort=-balance", "add/", f"{below.account.code}/", f"{below.account.code}/edit/"):
        page = browser.get(f"/clients/{path}").content.decode()
        for word in ("AUD 0", "Balance", "balance</", "Margin", "your price", "Credit Card"):
            assert word not in page, (path, word)
    assert browser.get("/clients/price-preview/?preview_country=AU&sms_margin=1").status_code == 204
    assert browser.get("/settings/clients/").status_code == 200
