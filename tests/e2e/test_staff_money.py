"""Staff's screens about money in a real browser: a refund, a manual payment, and the lists they are found in."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from billing.models import LedgerAccount, Refund, TopUp
from billing.selectors import balance_of
from tests.demo import account_of, log_in
from tests.e2e.test_credits_pages import shot
from tests.e2e.test_topup import begin, pay

LISTS = (
    "topup", "refund", "dispute", "paymentevent", "savedcard", "autorecharge", "invoiceterms", "noticeterms",
    "ledgeraccount", "ledgertransaction", "ledgerentry", "hold", "ledgercheck", "quote",
)  # fmt: skip


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url


@pytest.mark.usefixtures("stack_db")
def test_staff_refund_a_part_and_book_a_payment(open_page: Callable[..., Page]) -> None:
    client = account_of("client")
    payer, staff = open_page(), open_page(viewport={"width": 1280, "height": 800})
    log_in(payer, "client")
    code = begin(payer)
    pay(payer)
    expect(payer.get_by_role("heading", level=1)).to_have_text(f"Receipt {code}")
    before = balance_of(client).available
    log_in(staff, "admin")

    topup = TopUp.objects.get(code=code)
    staff.goto(f"/admin/billing/topup/{topup.pk}/change/")
    staff.get_by_role("link", name="Refund", exact=True).click()
    staff.get_by_label("Amount").fill("10.01")
    staff.get_by_label("Reason").fill("Paid twice")
    staff.get_by_role("button", name="Give it back").click()
    expect(staff.get_by_text("10.00").first).to_be_visible()  # what is left is named, and what was typed is there
    expect(staff.get_by_label("Reason")).to_have_value("Paid twice")
    staff.get_by_label("Amount").fill("4")
    staff.get_by_role("button", name="Give it back").click()
    expect(staff.get_by_text("The refund is booked and on its way")).to_be_visible()
    assert list(Refund.objects.filter(topup=topup).values_list("amount", flat=True)) == [Decimal(4)]
    assert balance_of(client).available == before - 4

    wallet = LedgerAccount.objects.get(owner=client, kind="wallet", currency="AUD")
    staff.goto(f"/admin/billing/ledgeraccount/{wallet.pk}/change/")
    staff.get_by_role("link", name="Book a payment", exact=True).click()
    staff.get_by_label("Amount").fill("2.50")
    staff.get_by_label("Reason").fill("Cash at the counter")
    staff.get_by_role("button", name="Book").click()
    expect(staff.get_by_text(f"AUD 2.50 booked for {client.name}.")).to_be_visible()
    assert balance_of(client).available == before - 4 + Decimal("2.5")

    for name in LISTS:
        staff.goto(f"/admin/billing/{name}/")
        for width in (1280, 380):
            staff.set_viewport_size({"width": width, "height": 800})
            shot(staff, f"staff-{name}-{width}")
            assert_fits(staff)
