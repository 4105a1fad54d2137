"""The dashboards in a real browser: drawn, accessible, fit for a telephone, complete without script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.demo import PASSWORD, log_in

Check = Callable[[Page], None]
OpenPage = Callable[..., Page]


def open_dashboard(page: Page, login: str) -> None:
    log_in(page, login)
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


@pytest.mark.parametrize("login", ["reseller", "client", "billed"])
def test_dashboards_are_accessible_and_fit(page: Page, assert_looks_right: Check, login: str) -> None:
    open_dashboard(page, login)
    expect(page.locator("figure[data-drawn] canvas").first).to_be_visible()
    assert_looks_right(page)


def test_without_script_the_figures_stand_in_tables(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    open_dashboard(page, "reseller")
    for title in ("Messages by day: figures", "Margin by day: figures"):
        figures = page.locator("figure", has_text=title).get_by_role("table")
        expect(figures).to_be_visible()
        assert figures.locator("tbody tr").count() == 30


def test_the_dashboard_leads_to_a_batch_and_to_sending(page: Page) -> None:
    open_dashboard(page, "client")
    page.get_by_role("region", name="Last batches").get_by_role("link").first.click()
    page.wait_for_url("**/batches/*/")
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="SEND SMS").first.click()
    page.wait_for_url("**/send/")


def test_staff_read_the_overview(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("E-mail or login name").fill("admin@demo.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
    expect(page.get_by_text("Money by currency")).to_be_visible()
