"""REPORTS: exact figures by day and country, margins, client activity, and CSV."""

import csv
import io
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership
from billing.sheets import safe_cell
from billing.statements import Period
from messaging.models import Message
from messaging.periods import uuid_bounds, uuid_floor
from messaging.reports import Figures, client_activity, summarise
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, amounts_in, move_to, settle_as, words

D = Decimal
# Days of the last month: only months near today have partitions.
FIRST = (date.today().replace(day=1) - timedelta(days=1)).replace(day=1)  # noqa: DTZ011 (any near day will do)
LAST, DAY = FIRST.replace(day=20), FIRST.replace(day=12)
PERIOD = Period(FIRST, LAST)
QUERY = f"?first={FIRST}&last={LAST}"
# 00:00:00.5 of the 12th in Sydney; in UTC it is still the 11th.
MIDNIGHT = datetime.combine(DAY, time(0, 0, 0, 500_000), tzinfo=ZoneInfo("Australia/Sydney"))


def sent(member: Member, recipients: list[str], at: datetime = MIDNIGHT, text: str = "Hello", state: str = "delivered"):
    batch = accept(member, recipients, text)
    settle_as(batch, state)
    move_to(batch, at)
    return batch


@pytest.fixture
def traffic(reseller: Member, client_member: Member, billed_member: Member) -> None:
    """Own, client's and billed client's messages around one midnight in Sydney; one of the client's was refused."""
    sent(reseller, [AU], at=MIDNIGHT - timedelta(milliseconds=501))
    sent(client_member, [AU, AU_DEAR], text="a" * 161)
    sent(client_member, [NZ], state="rejected")
    sent(billed_member, [AU, NZ], state="undelivered")


def rows_of(response) -> list[list[str]]:
    content = b"".join(response.streaming_content).decode()
    assert content.startswith("\ufeff")
    return list(csv.reader(io.StringIO(content.removeprefix("\ufeff"))))


def test_a_parents_summary_counts_its_branch_and_its_own_money(
    traffic, reseller: Member, client_member: Member, billed_member: Member
):
    accounts = [reseller.account, client_member.account, billed_member.account]
    summary = summarise(reseller.account, accounts, PERIOD)

    days = dict(summary.days)
    assert len(days) == 20
    assert days[DAY - timedelta(days=1)] == Figures(1, 1, 1, 0, 1, D("0.05"), D(0))
    # Paid: the billed client's 0.05 + 0.012345. Earned: 0.02 on each of the client's four parts, none on the refused.
    assert days[DAY] == Figures(5, 4, 2, 3, 6, D("0.062345"), D("0.08"))
    assert days[DAY + timedelta(days=1)] == Figures()
    assert summary.total == Figures(6, 5, 3, 3, 7, D("0.112345"), D("0.08"))
    assert dict(summary.countries) == {
        "Australia": Figures(4, 4, 3, 1, 6, D("0.10"), D("0.08")),
        "New Zealand": Figures(2, 1, 0, 2, 1, D("0.012345"), D(0)),
    }


def test_a_clients_summary_is_what_it_paid(traffic, client_member: Member):
    summary = summarise(client_member.account, [client_member.account], PERIOD)
    assert summary.total == Figures(3, 2, 2, 1, 4, D("0.34"), D(0))


def test_a_period_without_messages_is_all_zeros(client_member: Member):
    summary = summarise(client_member.account, [client_member.account], PERIOD)
    assert summary.total == Figures()
    assert [figures for _, figures in summary.days] == [Figures()] * 20
    assert summary.countries == []


def test_a_report_reads_only_the_partitions_of_its_days(traffic, client_member: Member):
    begin, end = uuid_bounds(Period(FIRST.replace(day=2), LAST), client_member.account)
    with connection.cursor() as db:
        db.execute("SELECT messaging_uuid_floor(%s)", [MIDNIGHT])
        assert db.fetchone()[0] == uuid_floor(MIDNIGHT)
        db.execute("EXPLAIN SELECT count(*) FROM messaging_message WHERE id >= %s AND id < %s", [begin, end])
        plan = "\n".join(row[0] for row in db.fetchall())
    assert set(re.findall(r"messaging_message_(\d+)", plan)) == {f"{FIRST:%Y%m}"}


def test_the_number_of_queries_does_not_grow_with_messages(client_member: Member):
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            summarise(client_member.account, [client_member.account], PERIOD)
        return len(found)

    sent(client_member, [AU])
    few = queries()
    sent(client_member, [AU, AU_DEAR, NZ])
    assert queries() == few == 1


def test_the_page_shows_figures_and_filters_by_client(
    traffic, reseller: Member, client_member: Member, outsider: Member, log_in: LogIn
):
    browser = log_in(reseller.user)
    text = words(browser.get(f"/reports/{QUERY}").content.decode())
    assert "Messages 6 5 sent, 7 parts Delivered 3 60 % of sent Failed 3 Spend AUD 0.112345" in text
    assert "Margin AUD 0.08" in text
    assert f"12 {DAY:%b %Y} 5 4 2 3 6 0.062345 0.08" in text

    only = browser.get(f"/reports/{QUERY}&client={client_member.account.code}").context["summary"]
    assert only.total == Figures(3, 2, 2, 1, 4, D(0), D("0.08"))
    refused = browser.get(f"/reports/{QUERY}&client={outsider.account.code}")
    assert refused.context["form"].errors["client"] == ["There is no such client; choose one of the list."]
    assert log_in(outsider.user).get(f"/reports/{QUERY}").context["summary"].total == Figures()


def test_every_role_reads_reports_and_nobody_else(client_member: Member, log_in: LogIn, client):
    for path in ("/reports/", "/reports/messages.csv", "/batches/", "/messages/"):
        assert client.get(path).status_code == 302
        for role in Membership.Role:
            Membership.objects.filter(user=client_member.user).update(role=role)
            assert log_in(client_member.user).get(path).status_code == 200, (path, role)


def test_a_client_sees_no_margin(traffic, client_member: Member, log_in: LogIn):
    page = log_in(client_member.user).get(f"/reports/{QUERY}").content.decode()
    assert "Spend AUD 0.34" in words(page)
    assert "argin" not in page
    assert "/reports/clients/" not in page


def test_a_billed_client_reports_without_any_amount(traffic, billed_member: Member, log_in: LogIn):
    browser = log_in(billed_member.user)
    page = browser.get(f"/reports/{QUERY}").content.decode()
    assert amounts_in(page) == []
    assert "Messages 2 2 sent" in words(page)
    rows = rows_of(browser.get(f"/reports/messages.csv{QUERY}"))
    assert rows[0][-1] == "Reason"
    assert amounts_in(str(rows)) == []
    assert len(rows) == 3


# --- Client activity ---------------------------------------------------------------------------------------------


def test_client_activity_is_billed_at_display_price(
    traffic, reseller: Member, client_member: Member, billed_member: Member, log_in: LogIn
):
    accounts = [reseller.account, client_member.account, billed_member.account]
    found, total = client_activity(reseller.account, accounts, PERIOD)
    # Own price 0.05 + 0.012345; display price 0.04 more on each of two parts.
    assert [(one.client, one.messages, one.parts, one.cost, one.billed, one.profit) for one in found] == [
        (billed_member.account, 2, 2, D("0.062345"), D("0.142345"), D("0.08"))
    ]
    assert (total.messages, total.billed) == (2, D("0.142345"))

    browser = log_in(reseller.user)
    assert "Billed 2 2 0.062345 0.142345 0.08" in words(browser.get(f"/reports/clients/{QUERY}").content.decode())
    assert rows_of(browser.get(f"/reports/clients.csv{QUERY}"))[1:] == [
        ["Billed", "2", "2", "0.062345", "0.142345", "0.080000", "AUD"],
        ["Total", "2", "2", "0.062345", "0.142345", "0.080000", "AUD"],
    ]


def test_client_activity_is_for_parents_who_see_money(
    reseller: Member, client_member: Member, billed_member: Member, log_in: LogIn
):
    billed_member.account.can_have_children = True
    billed_member.account.save(update_fields=["can_have_children"])
    for path in ("/reports/clients/", "/reports/clients.csv"):
        assert log_in(reseller.user).get(path).status_code == 200
        assert log_in(client_member.user).get(path).status_code == 404
        assert log_in(billed_member.user).get(path).status_code == 404


# --- CSV ---------------------------------------------------------------------------------------------------------


def test_the_export_has_every_message_in_the_accounts_time(
    traffic, reseller: Member, client_member: Member, log_in: LogIn
):
    response = log_in(reseller.user).get(f"/reports/messages.csv{QUERY}")
    assert response.headers["Content-Disposition"] == (f'attachment; filename="messages-reseller-{FIRST}-{LAST}.csv"')
    head, *rows = rows_of(response)
    offset = f"{MIDNIGHT:%z}"[:3] + ":00"
    assert [row[0] for row in rows] == [f"{DAY - timedelta(days=1)} 23:59:59{offset}", *[f"{DAY} 00:00:00{offset}"] * 5]
    by_message = {
        (row[head.index("Account")], row[head.index("Recipient")]): dict(zip(head, row, strict=True)) for row in rows
    }
    money = {
        key: (row["Price"], row["Currency"], row["Paid by"], row["Your margin"]) for key, row in by_message.items()
    }
    assert money == {
        ("Reseller", AU): ("0.050000", "AUD", "Reseller", "0.000000"),
        ("Client", AU): ("0.140000", "AUD", "Client", "0.040000"),
        ("Client", AU_DEAR): ("0.200000", "AUD", "Client", "0.040000"),
        ("Client", NZ): ("0.000000", "AUD", "Client", "0.000000"),
        ("Billed", AU): ("0.050000", "AUD", "Reseller", "0.000000"),
        ("Billed", NZ): ("0.012345", "AUD", "Reseller", "0.000000"),
    }
    assert by_message["Client", NZ]["State"] == "Rejected"
    assert by_message["Client", NZ]["Country"] == "New Zealand"


def test_a_client_exports_its_own_messages_without_margins(traffic, client_member: Member, log_in: LogIn):
    head, *rows = rows_of(log_in(client_member.user).get(f"/reports/messages.csv{QUERY}"))
    assert head[-3:] == ["Price", "Currency", "Paid by"]
    assert sorted(row[-3] for row in rows) == ["0.000000", "0.140000", "0.200000"]
    assert {row[3] for row in rows} == {"Client"}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+1+1", "'+1+1"),
        ("-2*3", "'-2*3"),
        ("\t=1", "'\t=1"),
        ("+61412345678", "+61412345678"),
        ("-0.050000", "-0.050000"),
        ("Hello", "Hello"),
        (None, ""),
    ],
)
def test_no_cell_is_run_as_a_formula(value, cell: str):
    assert safe_cell(value) == cell


def test_a_text_that_begins_like_a_formula_is_exported_as_text(client_member: Member, log_in: LogIn):
    sent(client_member, [AU], text='=cmd|"/c calc"!A1')
    head, row = rows_of(log_in(client_member.user).get(f"/reports/messages.csv{QUERY}"))
    assert row[head.index("Text")] == '\'=cmd|"/c calc"!A1'
    assert Message.objects.get().recipient == row[head.index("Recipient")]


@pytest.mark.parametrize("query", ["first=0001-01-01&last=0001-01-02", "last=9999-12-31", "first=1969-12-31"])
def test_days_far_away_are_refused_by_name_and_break_nothing(reseller: Member, log_in: LogIn, query: str):
    browser = log_in(reseller.user)
    for path in ("/reports/", "/reports/clients/", "/batches/", "/messages/", "/billing/"):
        page = browser.get(f"{path}?{query}")
        assert page.status_code == 200, path
        assert "is too far away; choose a day from 2000-01-01 to 2999-12-31." in page.content.decode(), path
    for path in ("/reports/messages.csv", "/reports/clients.csv"):
        assert browser.get(f"{path}?{query}").status_code == 200, path
