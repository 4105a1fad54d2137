"""Statements as files are equal to the ledger to the last place, in the account's zone, and run nothing."""

import csv
import io
import zoneinfo
from datetime import timedelta
from decimal import Decimal

import openpyxl
import pypdf
import pytest
from django.urls import reverse
from django.utils import timezone

from billing import statement_files, statements
from billing.models import LedgerEntry, LedgerTransaction
from billing.services import ledger
from billing.statements import KINDS, PARENTS_KINDS, Statement, wallet_id
from messaging.services.settling import settle_waiting
from tests.billing.test_statement import today
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, settle_as

D = Decimal


def sent(client: Member, reseller: Member) -> None:
    """Messages at three prices, one of them with six decimals, and a correction whose reason looks like a formula."""
    settle_as(accept(client, [AU, AU_DEAR, NZ]), "sent")
    settle_as(accept(client, [NZ]), "rejected")
    settle_waiting(10)
    ledger.manual_payment(
        account=client.account, amount=D("-0.000001"), key="c1", reason='=HYPERLINK("http://x")', actor=client.user
    )


def read(browser, name: str, **query: str) -> bytes:
    answer = browser.get(reverse(f"billing:statement-{name}"), query)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def booked(member: Member) -> list[tuple[Decimal, Decimal]]:
    entries = LedgerEntry.objects.filter(ledger_account=wallet_id(member.account)).order_by("pk")
    return list(entries.values_list("amount", "balance_after"))


def test_csv_equals_the_ledger_to_the_last_place(client_member: Member, reseller: Member, log_in: LogIn) -> None:
    sent(client_member, reseller)
    for member in (client_member, reseller):
        text = read(log_in(member.user), "csv").decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [(D(row["Amount"]), D(row["Balance"])) for row in rows] == booked(member)
        assert {row["Currency"] for row in rows} == {"AUD"}
    assert "-0.202345" in read(log_in(client_member.user), "csv").decode()


def test_csv_times_are_the_accounts_and_no_cell_is_a_formula(
    client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    sent(client_member, reseller)
    rows = list(csv.DictReader(io.StringIO(read(log_in(client_member.user), "csv").decode("utf-8-sig"))))
    last = LedgerTransaction.objects.get(idempotency_key="manual:c1")
    local = last.created_at.astimezone(zoneinfo.ZoneInfo("Australia/Sydney"))
    assert rows[-1]["Date"] == local.isoformat(sep=" ", timespec="seconds")
    assert rows[-1]["Details"] == '=HYPERLINK("http://x")'.join(["'", ""])
    assert (rows[-1]["Who"], rows[-1]["Movement"]) == ("Client", str(last.public_id))


def test_xlsx_equals_the_ledger_and_its_amounts_are_numbers(
    client_member: Member, reseller: Member, log_in: LogIn
) -> None:
    sent(client_member, reseller)
    book = openpyxl.load_workbook(io.BytesIO(read(log_in(client_member.user), "xlsx")))
    heading, *rows = list(book["Statement"].values)
    amount, balance, details = heading.index("Amount"), heading.index("Balance"), heading.index("Details")
    found = [(D(repr(row[amount])), D(repr(row[balance]))) for row in rows]
    assert found == booked(client_member)
    assert rows[-1][details] == '=HYPERLINK("http://x")'
    cells = list(book["Statement"].iter_rows())[-1]
    assert {cell.data_type for cell in cells} == {"d", "s", "n"}


def test_an_amount_beyond_a_spreadsheets_digits_is_text_and_exact(client_member: Member, log_in: LogIn) -> None:
    ledger.manual_payment(
        account=client_member.account, amount=D("123456789012.123456"), key="big", reason="big", actor=None
    )
    book = openpyxl.load_workbook(io.BytesIO(read(log_in(client_member.user), "xlsx")))
    *_, last = book["Statement"].values
    assert last[6:8] == ("123456789012.123456", "123456789022.123456")


def test_pdf_has_every_line_the_balances_and_the_sum(client_member: Member, reseller: Member, log_in: LogIn) -> None:
    sent(client_member, reseller)
    pdf = pypdf.PdfReader(io.BytesIO(read(log_in(client_member.user), "pdf")))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    for amount, balance in booked(client_member):
        assert statement_files._digits(amount) in text
        assert statement_files._digits(balance) in text
    assert "Balance before 0.00" in text
    assert "Balance after 9.797654" in text
    assert '=HYPERLINK("http://x")' in text.replace("“", '"').replace("”", '"')


def test_text_of_others_is_no_markup_of_the_pdf(client_member: Member, log_in: LogIn) -> None:
    reason = '#panic("x") *bold* $x$ \\ #read("/etc/passwd")'
    ledger.manual_payment(account=client_member.account, amount=D(1), key="m", reason=reason, actor=None)
    pdf = pypdf.PdfReader(io.BytesIO(read(log_in(client_member.user), "pdf")))
    assert '#panic("x") *bold* $x$' in " ".join(page.extract_text() for page in pdf.pages)


def test_a_pdf_of_too_many_lines_says_what_to_do(
    client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.manual_payment(account=client_member.account, amount=D(1), key="m", reason="more", actor=None)
    monkeypatch.setattr(statement_files, "MOST_PDF_LINES", 1)
    page = log_in(client_member.user).get(reverse("billing:statement-pdf"), follow=True).content.decode()
    assert "A PDF has room for 1 movements and this period has more." in page


@pytest.mark.parametrize("kind", [*KINDS, *PARENTS_KINDS])
def test_files_and_pages_of_a_kind_have_that_kind_only(
    client_member: Member, reseller: Member, log_in: LogIn, kind: str
) -> None:
    sent(client_member, reseller)
    wallet = wallet_id(reseller.account)
    expected = list(LedgerEntry.objects.filter(ledger_account=wallet, transaction__kind=kind).order_by("pk"))
    rows = list(csv.DictReader(io.StringIO(read(log_in(reseller.user), "csv", kind=kind).decode("utf-8-sig"))))
    assert [D(row["Amount"]) for row in rows] == [entry.amount for entry in expected]
    assert [line.entry for line in Statement(reseller.account, today()).page(kind).lines] == expected[::-1]


def test_sums_are_what_the_balance_moved_by(client_member: Member, reseller: Member) -> None:
    sent(client_member, reseller)
    for member in (client_member, reseller):
        sums = Statement(member.account, today()).sums()
        moved = sums.added - sums.messages + sums.margins + sums.clients
        assert moved == sum(amount for amount, _ in booked(member))


def test_a_long_period_is_added_up_only_when_asked_for(
    client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.manual_payment(account=client_member.account, amount=D(1), key="m", reason="more", actor=None)
    monkeypatch.setattr(statements, "SUMMED_AT_ONCE", 1)
    browser = log_in(client_member.user)
    assert "Add them up" in browser.get(reverse("billing:overview")).content.decode()
    page = browser.get(reverse("billing:overview"), {"totals": "1"}).content.decode()
    assert "AUD 11.00" in page


def test_the_name_of_a_person_above_stays_unknown(client_member: Member, reseller: Member) -> None:
    ledger.manual_payment(account=client_member.account, amount=D(1), key="m", reason="gift", actor=reseller.user)
    assert [line.who for line in Statement(client_member.account, today()).page().lines] == ["Your provider", ""]


def test_a_wrong_period_and_an_account_without_money_get_no_file(
    client_member: Member, billed_member: Member, log_in: LogIn
) -> None:
    tomorrow = timezone.localdate() + timedelta(days=1)
    query = {"first": tomorrow.isoformat(), "last": "2020-01-01"}
    for name in ("csv", "xlsx", "pdf"):
        url = reverse(f"billing:statement-{name}")
        assert log_in(client_member.user).get(url, query).status_code == 302
        assert log_in(billed_member.user).get(url).status_code == 404
