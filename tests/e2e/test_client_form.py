"""CLIENTS in a real browser: the form follows its answers, works without script, and fits a telephone."""

import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.demo import log_in

Check = Callable[[Page], None]
OpenPage = Callable[..., Page]


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).select_option(label=option)


def fill(page: Page, label: str, text: str) -> None:
    page.get_by_label(re.compile(rf"^\s*{re.escape(label)}\*?\s*$")).fill(text)


def fill_form(page: Page, name: str) -> None:
    fill(page, "Client Contact Name", "Ada Jones")
    fill(page, "Client Account Name", name)
    fill(page, "Client Mobile", "0412 345 678")
    fill(page, "Client Contact Email", f"{name}@e2e.example")
    fill(page, "Client Password", "Correct-horse-9")
    fill(page, "Daily Top Up Limit", "100")
    fill(page, "Minimum Top Up Limit", "10")
    fill(page, "SMS Margin", "0.02")


@pytest.fixture
def name() -> str:
    """A name that no earlier run has used."""
    return f"shop-{secrets.token_hex(4)}"


def test_the_clients_pages_are_accessible_and_fit(page: Page, assert_looks_right: Check) -> None:
    log_in(page)
    page.goto("/clients/")
    page.locator("a.client-name").first.click()
    client = page.url
    paths = ["/clients/", "/clients/?q=zzz", "/clients/add/", "/settings/clients/"]
    for path in [*paths, client, f"{client}edit/", f"{client}limits/", f"{client}suspend/"]:
        page.goto(path)
        assert_looks_right(page)
    page.goto("/clients/add/")
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_role("alert")).to_contain_text("things to correct")
    assert_looks_right(page)


def test_the_form_shows_what_the_method_uses(page: Page, assert_accessible: Check) -> None:
    log_in(page)
    page.goto("/clients/add/")
    daily, fixed = page.get_by_label("Daily Top Up Limit"), page.get_by_label("Fixed Top Up Amount")
    method = page.get_by_label("Payment Method")
    expect(daily).to_be_visible()
    expect(fixed).to_be_hidden()
    choose(page, "Payment Method*", "Credit Card - Fixed Amount")
    expect(fixed).to_be_visible()
    expect(page.get_by_label("Minimum Top Up Limit")).to_be_hidden()
    choose(page, "Who Pays*", "I Pay")
    expect(method).to_have_value("bill_to_parent")
    expect(method.locator("option")).to_have_text(["Bill Client Activity to My Account", "I will transfer SMS credits"])
    for label in ("Daily Top Up Limit", "SMS Margin", "Trial Period"):
        expect(page.get_by_label(label)).to_be_hidden()
    assert_accessible(page)
    choose(page, "Who Pays*", "Client Pays")
    expect(method).to_have_value("card_fixed")  # what was chosen before comes back
    choose(page, "Trial Period", "Yes")
    expect(page.get_by_label("Trial Expiry Date")).to_be_visible()
    choose(page, "Keywords*", "YES")
    expect(page.get_by_label("Keyword Price")).to_be_visible()


def test_the_country_brings_its_time_zones_and_the_margin_its_price(page: Page) -> None:
    log_in(page)
    page.goto("/clients/add/")
    choose(page, "Client Country*", "New Zealand")
    zone = page.get_by_label("Client Time Zone")
    expect(zone).to_have_value("Pacific/Auckland")
    expect(zone.locator("optgroup").first).to_have_attribute("label", "New Zealand")
    expect(page.get_by_text("For example 021 123 4567 or +64 21 123 4567.")).to_be_visible()
    preview = page.locator("#price-preview")
    expect(preview).to_contain_text("Your price, New Zealand")
    fill(page, "SMS Margin", "0.5")
    expect(preview).to_contain_text("AUD 0.5000")
    choose(page, "What it comes to", "Australia")
    expect(preview).to_contain_text("Your price, Australia")


def test_a_refused_form_keeps_what_was_typed_and_shows_what_is_wrong(page: Page, name: str) -> None:
    log_in(page)
    page.goto("/clients/add/")
    fill_form(page, name)
    fill(page, "Minimum Top Up Limit", "500")
    fill(page, "Client Mobile", "12")
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Minimum Top Up Limit")).to_have_value("500")
    expect(page.get_by_label("Client Mobile")).to_have_value("12")
    # A field with an error stays in sight whatever is chosen.
    choose(page, "Who Pays*", "I Pay")
    expect(page.get_by_label("Minimum Top Up Limit")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_client_is_added_found_edited_and_suspended(
    open_page: OpenPage, console_errors: list[str], name: str, script: bool
) -> None:
    page = open_page(java_script_enabled=script)
    log_in(page)
    page.goto("/clients/")
    page.get_by_role("link", name="ADD CLIENT").first.click()
    fill_form(page, name)
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.get_by_text(f"can log in as {name}@e2e.example")).to_be_visible()
    expect(page.get_by_text("any amount from AUD 10.00 to AUD 100.00 a day")).to_be_visible()
    page.get_by_role("link", name="EDIT").click()
    choose(page, "Payment Method*", "Credit Card - Fixed Amount")
    fill(page, "Fixed Top Up Amount", "50")
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_text("keeps its balance of AUD 0.00")).to_be_visible()
    page.get_by_role("button", name="CONFIRM AND UPDATE").click()
    expect(page.get_by_text("AUD 50.00 at a time, up to AUD 100.00 in 24 hours")).to_be_visible()
    page.get_by_role("link", name="SUSPEND").click()
    page.get_by_role("button", name="SUSPEND").click()
    expect(page.get_by_text(f"{name} is suspended.")).to_be_visible()
    page.goto(f"/clients/?q={name}&status=suspended")
    expect(page.locator("a.client-name")).to_have_text([name])
    guest = open_page()
    guest.goto("/login/")
    guest.get_by_label("E-mail or login name").fill(f"{name}@e2e.example")
    guest.get_by_label("Password").fill("Correct-horse-9")
    guest.get_by_role("button", name="Log in").click()
    expect(guest.get_by_role("heading", level=1)).to_contain_text("suspended")
    assert ["403" in error for error in console_errors] == [True]  # the browser notes the status, nothing else
    console_errors.clear()


def test_a_typed_password_can_be_read(page: Page) -> None:
    log_in(page)
    page.goto("/clients/add/")
    fill(page, "Client Password", "Correct-horse-9")
    field = page.get_by_label("Client Password")
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide password").click()
    expect(field).to_have_attribute("type", "password")
