"""A trial in a real browser: countdown, the parent's page, the expired page, and notices; wide and on a telephone."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Account
from billing.models import BillingTerms
from billing.services.invoices import set_invoice_terms
from billing.services.terms import update_terms
from billing.services.trials import end_trial, make_live
from billing.trial import local_date
from tests.demo import account_of, log_in

Check = Callable[[Page], None]


def check(page: Page, assert_accessible: Check) -> None:
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url


def start_trial(login: str) -> Account:
    """Put the account on a trial with nine days left, whatever it paid before."""
    account = account_of(login)
    last_day = local_date(account) + timedelta(days=8)
    BillingTerms.objects.filter(account=account).update(trial_ends_on=last_day, trial_closed_at=None)
    return account


@pytest.mark.parametrize("width", [1280, 380])
def test_a_trial_from_countdown_to_the_expired_page(
    stack_db: None, open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    account = start_trial("client")
    page = open_page(viewport={"width": width, "height": 800})
    log_in(page, "client")
    expect(page.get_by_text("Trial: 9 days left.")).to_be_visible()
    check(page, assert_accessible)
    end_trial(account=account, actor=None)
    page.goto("/send/")
    expect(page.get_by_role("heading", name="Your trial has expired")).to_be_visible()
    check(page, assert_accessible)
    page.get_by_role("link", name="ADD CREDIT").first.click()
    expect(page.get_by_role("heading", name="Add credit")).to_be_visible()
    check(page, assert_accessible)
    page.goto("/reports/")
    expect(page.get_by_text("Trial expired")).to_be_visible()
    make_live(account=account, actor=None)
    update_terms(terms=BillingTerms.objects.get(account=account), actor=None, trial_ends_on=None)


@pytest.mark.parametrize("width", [1280, 380])
def test_the_parent_extends_a_trial(
    stack_db: None, open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    account = start_trial("client")
    page = open_page(viewport={"width": width, "height": 800})
    log_in(page, "reseller")
    page.goto(f"/clients/{account.code}/")
    page.get_by_role("link", name="Extend, end or make live").click()
    check(page, assert_accessible)
    last_day = local_date(account) + timedelta(days=20)
    page.get_by_label("New last day").fill(last_day.isoformat())
    page.get_by_role("button", name="EXTEND").click()
    expect(page.get_by_text(f"lasts until the end of {last_day}")).to_be_visible()
    check(page, assert_accessible)
    page.goto(f"/clients/{account.code}/edit/")
    expect(page.get_by_label("Trial Credit")).to_be_visible()
    check(page, assert_accessible)
    make_live(account=account, actor=None)


@pytest.mark.parametrize("width", [1280, 380])
def test_notices_and_the_credit_of_an_invoiced_account(
    stack_db: None, open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    account = account_of("outsider")
    until = local_date(account) + timedelta(days=5)
    terms = {"credit_limit": Decimal(500), "overdraw_amount": Decimal(100), "overdraw_until": until}
    set_invoice_terms(account=account, actor=None, postpaid_amount=Decimal(50), **terms)
    page = open_page(viewport={"width": width, "height": 800})
    log_in(page, "outsider")
    page.goto("/settings/notices/")
    page.get_by_label("Notification limit").fill("25")
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_text("Your notices are saved.")).to_be_visible()
    check(page, assert_accessible)
    page.goto("/billing/")
    expect(page.get_by_role("heading", name="Credit", exact=True)).to_be_visible()
    check(page, assert_accessible)
