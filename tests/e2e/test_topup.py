"""Adding credit in a real browser: the portal, the payment page, and back to the receipt."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Account
from billing.models import LedgerTransaction, TopUp
from billing.selectors import balance_of
from tests.browser import FITS
from tests.demo import log_in

CLIENT = "client@demo.example"
Check = Callable[[Page], None]


def begin(page: Page, amount: str = "10") -> str:
    """Choose an amount and go to the payment page; answers the top-up's code."""
    page.goto("/billing/")
    page.get_by_role("link", name="ADD CREDIT").first.click()
    page.locator(f"input[name=amount][value='{amount}']").check()
    page.get_by_role("button", name="Pay by card").click()
    page.wait_for_url("**/c/pay/**")
    return page.get_by_text("Reference").inner_text().removeprefix("Reference ")


def pay(page: Page, number: str = "4242 4242 4242 4242") -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name="Pay").click()


def available() -> Decimal:
    return balance_of(Account.objects.get(memberships__user__email=CLIENT)).available


@pytest.mark.usefixtures("stack_db")
def test_a_client_adds_credit_after_a_declined_card(page: Page, assert_accessible: Check) -> None:
    before = available()
    log_in(page, CLIENT)
    code = begin(page)
    assert_accessible(page)
    pay(page, "4000 0000 0000 0002")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Receipt {code}")
    expect(page.get_by_text("Visa 4242")).to_be_visible()
    assert_accessible(page)
    assert available() == before + 10
    topup = TopUp.objects.get(code=code)
    assert (topup.state, topup.amount) == ("paid", Decimal(10))
    assert LedgerTransaction.objects.filter(idempotency_key=f"topup:{code}").count() == 1
    page.get_by_role("link", name="Back to the statement").click()
    expect(page.get_by_role("row").filter(has_text=code)).to_contain_text("+10.00")


@pytest.mark.usefixtures("stack_db")
def test_credit_can_be_added_without_javascript(open_page: Callable[..., Page]) -> None:
    before = available()
    page = open_page(java_script_enabled=False, viewport={"width": 380, "height": 800})
    log_in(page, CLIENT)
    code = begin(page)
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Receipt {code}")
    assert available() == before + 10


@pytest.mark.usefixtures("stack_db")
def test_a_payment_that_was_left_can_be_cancelled(page: Page, assert_accessible: Check) -> None:
    before = available()
    log_in(page, CLIENT)
    code = begin(page)
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("This payment is not finished")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Cancel this top-up").click()
    expect(page.get_by_text("This top-up was cancelled. Nothing was charged.")).to_be_visible()
    assert TopUp.objects.get(code=code).state == "cancelled"
    assert available() == before


@pytest.mark.usefixtures("stack_db")
def test_a_card_is_kept_pays_again_recharges_and_is_removed(
    open_page: Callable[..., Page], assert_accessible: Check
) -> None:
    before = available()
    page = open_page(viewport={"width": 380, "height": 800})
    log_in(page, CLIENT)
    page.goto("/billing/add-credit/")
    page.get_by_label("Another amount").fill("11.5")
    page.get_by_label("Save this card").check()
    assert_accessible(page)
    page.get_by_role("button", name="Pay by card").click()
    page.wait_for_url("**/c/pay/**")
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Receipt", timeout=30_000)
    page.goto("/billing/add-credit/?amount=10.5")
    expect(page.get_by_label("Visa 4242, expires 12/2034")).to_be_checked()
    page.get_by_role("button", name="Pay by card").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Receipt", timeout=30_000)
    assert available() == before + 22
    page.goto("/billing/cards/")
    assert_accessible(page)
    assert page.evaluate(FITS)
    page.get_by_label("When less than this is available").fill("1")
    page.get_by_label("Add (", exact=False).fill("10")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("alert")).to_contain_text("without your consent no card is charged automatically")
    assert_accessible(page)
    page.get_by_label("I agree that this card is charged automatically").check()
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("heading", name="Automatic recharge: on")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Remove Visa 4242").click()
    expect(page.get_by_text("No card is saved.")).to_be_visible()
    assert_accessible(page)


def test_billing_is_accessible_and_fits(page: Page, assert_looks_right: Check) -> None:
    log_in(page, CLIENT)
    for path in ("", "?kind=manual", "?first=2026-02-02&last=2026-01-01", "add-credit/", "cards/"):
        page.goto(f"/billing/{path}")
        assert_looks_right(page)
