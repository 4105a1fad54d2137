"""SMS credits in a real browser: the parent's pages and the client's, readable at every width and without script."""

import os
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import FITS
from tests.demo import log_in

Check = Callable[[Page], None]


def shot(page: Page, name: str) -> None:
    """A picture to look at, where somebody asks for it."""
    if folder := os.environ.get("E2E_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("width", [1280, 380])
def test_credits_and_margins_are_accessible_and_fit(
    open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800}, java_script_enabled=True)
    log_in(page)
    page.goto("/clients/?q=Gym")
    page.get_by_role("link", name="Harbour City Gym").click()
    client = page.url
    shot(page, f"detail-{width}")
    page.goto(f"{client}credits/")
    assert_accessible(page)
    assert page.evaluate(FITS)
    shot(page, f"credits-{width}")
    page.locator("#transfer_quantity").fill("10")
    page.get_by_role("button", name="SHOW PRICE").click()
    expect(page.get_by_text("Your balance after")).to_be_visible()
    assert_accessible(page)
    shot(page, f"proposal-{width}")
    page.get_by_role("button", name="TRANSFER 10").click()
    expect(page.get_by_text("Harbour City Gym got 10 credits.")).to_be_visible()
    page.locator("#back_quantity").fill("10")
    page.get_by_role("button", name="SHOW WHAT COMES BACK").click()
    expect(page.get_by_text("Comes back to you")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="TAKE BACK 10").click()
    expect(page.get_by_text("10 credits taken back from Harbour City Gym.")).to_be_visible()
    page.goto(f"{client}edit/")
    page.get_by_label("Payment Method*", exact=True).select_option(label="Bill Client Activity to My Account")
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_role("button", name="CONFIRM AND UPDATE")).to_be_visible()
    assert_accessible(page)
    shot(page, f"switch-{width}")
    page.goto("/clients/?q=Harbourside")
    page.get_by_role("link", name="Harbourside Dental").click()
    page.goto(f"{page.url}margins/")
    assert_accessible(page)
    assert page.evaluate(FITS)
    shot(page, f"margins-{width}")


def test_the_client_sees_its_credits_everywhere(page: Page, assert_looks_right: Check) -> None:
    log_in(page, "credits@demo.example")
    for path in ("/", "/reports/", "/batches/"):
        page.goto(path)
        assert_looks_right(page)
        expect(page.locator(".topbar-balance")).to_contain_text("credits")
    page.goto("/send/")
    page.get_by_label("Recipients").fill("0491 570 156\n+64 21 123 4567")
    page.get_by_label("Sender").fill("Gym")
    page.get_by_label("Text").fill("Hello")
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_text("SMS credits send to numbers of Australia only.")).to_be_visible()
    assert_looks_right(page)
    shot(page, "preview")
