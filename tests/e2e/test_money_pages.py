"""The pages about money in a real browser, as the person each is for: readable, and fit for a desk and a telephone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.demo import log_in
from tests.e2e.test_credits_pages import shot

Check = Callable[[Page], None]
WIDTHS = (1280, 380)
LONG_AGO = "first=2020-01-01&last=2020-01-31"
# Who sees them -> page, and which first link of its statement leads to a page of no fixed address ("" for none).
WHY = "/billing/movements/"
WALKS: dict[str, list[tuple[str, str]]] = {
    "client": [("/billing/", WHY), (f"/billing/?{LONG_AGO}", "")],
    "reseller": [
        ("/billing/?kind=capture", WHY),
        ("/billing/?kind=credits", WHY),
        ("/reports/margins/", ""),
        ("/reports/clients/", ""),
    ],
    "credits": [("/credits/", WHY)],
}


def look(page: Page, assert_accessible: Check, name: str) -> None:
    """The page at both widths: nothing that axe marks, and nothing to scroll sideways for."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url
        shot(page, f"money-{name}-{width}")
        assert_accessible(page)


@pytest.mark.parametrize("login", WALKS)
def test_money_pages_are_accessible_and_fit(
    open_page: Callable[..., Page], assert_accessible: Check, login: str
) -> None:
    page = open_page(viewport={"width": 1280, "height": 800})
    log_in(page, f"{login}@demo.example")
    for number, (path, link) in enumerate(WALKS[login]):
        page.goto(path)
        look(page, assert_accessible, f"{login}-{number}")
        if link:
            page.set_viewport_size({"width": 1280, "height": 800})
            page.locator(f"table.statement a[href^='{link}']").first.click()
            page.wait_for_load_state()
            look(page, assert_accessible, f"{login}-{number}-inside")
