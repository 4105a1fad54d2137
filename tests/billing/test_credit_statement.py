"""The statement in SMS credits: what the client got, used and gave back, with the balance after each, and no money."""

import csv
import io
from decimal import Decimal
from typing import Any

import openpyxl
import pypdf
import pytest
from django.test import Client

from billing.models import CREDITS, LedgerEntry
from billing.statements import wallet_id
from messaging.services.settling import settle_waiting
from tests.billing.credits import give, make_credits_client, take
from tests.cast import LogIn, Member
from tests.messaging.rows import accept, settle_as, words

D = Decimal
NUMBERS = [f"+614{10_000_000 + index}" for index in range(50)]


@pytest.fixture
def child(reseller: Member) -> Member:
    """100 credits received, 8 used for messages, 2 given back, 40 taken back: 52 left."""
    child = make_credits_client(reseller, "Credit Shop")
    give(child, 100)
    settle_as(accept(child, NUMBERS[:4], text="a" * 200), "sent")
    settle_as(accept(child, NUMBERS[:2]), "rejected")
    settle_waiting(100)
    take(child, 40)
    return child


@pytest.fixture
def web(child: Member, log_in: LogIn) -> Client:
    return log_in(child.user)


def read(web: Client, path: str) -> bytes:
    answer: Any = web.get(path)
    assert answer.status_code == 200, path
    return b"".join(answer.streaming_content)


def booked(child: Member) -> list[tuple[int, int]]:
    entries = LedgerEntry.objects.filter(ledger_account=wallet_id(child.account, CREDITS)).order_by("pk")
    return [(int(entry.amount), int(entry.balance_after)) for entry in entries]


def test_every_movement_stands_on_it_with_the_credits_left_after_it(web: Client, child: Member) -> None:
    page = words(web.get("/credits/").content.decode())
    assert booked(child) == [(100, 100), (-8, 92), (-2, 90), (2, 92), (-40, 52)]
    for amount, balance in booked(child):
        count = f"{abs(amount)} credit{'' if abs(amount) == 1 else 's'}"
        assert f"{'+' if amount > 0 else '−'}{count} {balance} credits" in page
    assert "Available now 52 credits Nothing is set aside for messages" in page
    assert "Received, less taken back 60 credits" in page
    assert "Messages 8 credits" in page
    for title in ("SMS credits received", "SMS credits taken back", "Set aside for messages", "Given back"):
        assert title in page


def test_no_money_stands_on_it_or_in_its_files(web: Client, child: Member) -> None:
    pdf = pypdf.PdfReader(io.BytesIO(read(web, "/credits.pdf")))
    texts = [
        web.get("/credits/").content.decode(),
        read(web, "/credits.csv").decode(),
        str(list(openpyxl.load_workbook(io.BytesIO(read(web, "/credits.xlsx"))).active.values)),  # type: ignore[union-attr]
        " ".join(page.extract_text() for page in pdf.pages),
    ]
    for text in texts:
        assert "AUD" not in text
        assert "0.05" not in text
        assert "Reseller" not in text


def test_the_files_hold_the_same_movements_in_whole_credits(web: Client, child: Member) -> None:
    rows = list(csv.DictReader(io.StringIO(read(web, "/credits.csv").decode("utf-8-sig"))))
    assert [(int(row["Credits"]), int(row["Balance"])) for row in rows] == booked(child)
    sheet = openpyxl.load_workbook(io.BytesIO(read(web, "/credits.xlsx")))["Statement"]
    assert [(row[6], row[7]) for row in list(sheet.values)[1:]] == booked(child)
    pdf = pypdf.PdfReader(io.BytesIO(read(web, "/credits.pdf")))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert "Counted in SMS credits Balance before 0 Balance after 52" in text


@pytest.mark.parametrize(("kind", "amounts"), [("credits", [100]), ("takeback", [-40]), ("hold", [-8, -2])])
def test_it_is_narrowed_by_kind_and_period(web: Client, child: Member, kind: str, amounts: list[int]) -> None:
    rows = list(csv.DictReader(io.StringIO(read(web, f"/credits.csv?kind={kind}").decode("utf-8-sig"))))
    assert [int(row["Credits"]) for row in rows] == amounts
    page = words(web.get(f"/credits/?kind={kind}").content.decode())
    assert ("SMS credits received" in page) == (kind == "credits")
    long_ago = web.get("/credits/?first=2020-01-01&last=2020-01-31").content.decode()
    assert "No movements found" in long_ago


def test_a_wrong_period_goes_back_to_the_page_that_names_it(web: Client) -> None:
    answer = web.get("/credits.csv?first=2026-02-01&last=2026-01-01", follow=True)
    assert answer.redirect_chain[0][0].startswith("/credits/?")
    assert "From (2026-02-01) is after To (2026-01-01)" in answer.content.decode()


def test_a_movement_is_explained_in_credits_down_to_its_messages(web: Client, child: Member) -> None:
    held = LedgerEntry.objects.get(ledger_account=wallet_id(child.account, CREDITS), amount=-8)
    page = words(web.get(f"/billing/movements/{held.transaction.public_id}/").content.decode())
    assert "Amount −8 credits" in page
    assert "100 credits before, 92 credits after" in page
    assert "Australia +61 4 8 1 credit 8 credits" in page
    assert "+61 410 000 000" in page
    assert "AUD" not in page


def test_money_movements_of_its_parent_are_not_the_client_s_to_see(
    web: Client, child: Member, reseller: Member
) -> None:
    paid = LedgerEntry.objects.filter(ledger_account=wallet_id(reseller.account), transaction__kind="credits").get()
    assert web.get(f"/billing/movements/{paid.transaction.public_id}/").status_code == 404


def test_the_page_is_in_the_menu_of_those_who_send_with_credits_and_of_nobody_else(
    web: Client, client_member: Member, billed_member: Member, reseller: Member, log_in: LogIn
) -> None:
    assert 'href="/credits/"' in web.get("/").content.decode()
    assert web.get("/billing/").status_code == 404
    for other in (client_member, billed_member, reseller):
        browser = log_in(other.user)
        assert 'href="/credits/"' not in browser.get("/").content.decode()
        for path in ("/credits/", "/credits.csv", "/credits.xlsx", "/credits.pdf"):
            assert browser.get(path).status_code == 404
