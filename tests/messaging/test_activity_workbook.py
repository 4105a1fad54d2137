"""REPORTS, client activity as a workbook: what the ledger says, to the last place."""

import io
from decimal import Decimal

from openpyxl import load_workbook

from billing.models import LedgerEntry
from messaging.services.settling import settle_chunk
from tests.billing.credits import give, make_credits_client
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, settle_as

HEAD = ["Client", "Messages", "Parts", "Cost at your price", "Amount at display price", "Profit", "Currency"]


def test_the_workbook_adds_up_to_what_the_parent_paid(billed_member: Member, reseller: Member, log_in: LogIn):
    settle_as(accept(billed_member, [AU, AU_DEAR, NZ], text="a" * 161), "sent")
    settle_as(accept(billed_member, [AU]), "rejected")
    child = make_credits_client(reseller, "Counts credits")
    give(child, 10)
    settle_as(accept(child, [AU]), "sent")
    settle_chunk()

    answer = log_in(reseller.user).get("/reports/clients.xlsx")
    book = load_workbook(io.BytesIO(b"".join(answer.streaming_content)), read_only=True)

    head, *found = book.worksheets[0].iter_rows(values_only=True)
    assert list(head) == HEAD
    assert [row[0] for row in found] == ["Billed", "Total"]
    amounts = [Decimal(str(amount)) for amount in found[-1][3:6]]
    assert amounts == [Decimal("0.28469"), Decimal("0.52469"), Decimal("0.24")]
    captured = LedgerEntry.objects.filter(
        transaction__kind="capture", ledger_account__kind="held", ledger_account__owner=reseller.account
    ).values_list("amount", flat=True)  # fmt: skip
    assert -sum(captured) == amounts[0]


def test_an_account_that_is_billed_to_its_parent_has_no_workbook(billed_member: Member, log_in: LogIn):
    assert log_in(billed_member.user).get("/reports/clients.xlsx").status_code == 404
