"""KEYWORDS in a real browser: from the empty page over a refused form to a tested keyword, on both widths."""

import os
from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from billing.models import BillingTerms
from keywords.services.terms import create_terms
from tests.billing.services import lease_number, make_number
from tests.cast import Member, fund, make_member
from tests.demo import account_of, log_in

Check = Callable[[Page], None]


def shot(page: Page, name: str) -> None:
    """A picture to look at, where somebody asks for it."""
    if folder := os.environ.get("E2E_PICTURES"):
        page.screenshot(path=f"{folder}/keywords-{name}.png", full_page=True)


def check(page: Page, assert_accessible: Check) -> None:
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url


def make_client(width: int) -> Member:
    """A client of its own, that other tests of the running portal do not know: 20.00, keywords at 4.50, no number."""
    member = make_member(
        account_of("outsider"), f"Keyword Café {width}", login=f"keywords{width}",
        terms={"method": BillingTerms.Method.CARD_VARIABLE, "minimum_topup": Decimal(10),
               "daily_topup_limit": Decimal(100)},
    )  # fmt: skip
    create_terms(account=member.account, is_enabled=True, price=Decimal("4.5"), limit=3, actor=None)
    fund(member, "20")
    # The portal does not know the tests' fast hashes: everybody of the demo has the same password.
    hashed = User.objects.values_list("password", flat=True).get(username="client@demo.example")
    User.objects.filter(pk=member.user.pk).update(password=hashed)
    return member


@pytest.mark.parametrize("width", [1280, 380])
def test_a_keyword_from_the_empty_page_to_its_end(
    stack_db: None, open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    member = make_client(width)
    page = open_page(viewport={"width": width, "height": 800})
    log_in(page, member.user.email)
    page.goto("/keywords/")
    expect(page.get_by_text("Keywords need a number")).to_be_visible()
    check(page, assert_accessible)
    shot(page, f"empty-{width}")

    lease_number(member, make_number(f"+6148000{width:04}", monthly="0", currency="USD"))
    page.goto("/keywords/")
    page.get_by_role("link", name="ADD KEYWORD").first.click()
    page.get_by_label("Keyword*", exact=True).fill("STOP")
    page.get_by_label("First reply").fill("Welcome {first_name|friend}, show this for a free coffee.")
    page.get_by_label("Later reply").fill("Good to see you again.")
    page.get_by_label("Forward to e-mails").fill("café@shop.example, owner@shop.example")
    page.get_by_role("button", name="ADD FOR USD 4.50").click()
    expect(page.get_by_text("2 things to correct")).to_be_visible()
    expect(page.get_by_label("Later reply")).to_have_value("Good to see you again.")
    check(page, assert_accessible)
    shot(page, f"refused-{width}")

    page.get_by_label("Keyword*", exact=True).fill("Café")
    page.get_by_label("Aliases").fill("coffee, espresso")
    page.get_by_label("Forward to e-mails").fill("owner@shop.example")
    page.get_by_label("Forward to URL").fill("https://shop.example/sms")
    page.get_by_role("button", name="ADD FOR USD 4.50").click()
    expect(page.get_by_text("Phones can text Café to")).to_be_visible()
    expect(page.locator(".topbar-balance")).to_contain_text("15.50")
    check(page, assert_accessible)
    shot(page, f"detail-{width}")

    page.get_by_role("link", name="TEST", exact=True).click()
    expect(page.get_by_text("The keyword Café takes it.")).to_be_visible()
    expect(page.get_by_text("Welcome friend, show this for a free coffee.")).to_be_visible()
    check(page, assert_accessible)
    shot(page, f"tester-{width}")

    page.goto("/keywords/")
    expect(page.get_by_text("1 of 3 keywords in use, USD 4.50 a month each.")).to_be_visible()
    check(page, assert_accessible)
    shot(page, f"list-{width}")
    page.get_by_role("link", name="Café", exact=True).click()
    page.get_by_role("button", name="CLOSE").click()
    expect(page.get_by_text("and is renewed all the same.")).to_be_visible()
    check(page, assert_accessible)
    page.get_by_role("link", name="END", exact=True).click()
    check(page, assert_accessible)
    shot(page, f"end-{width}")
    page.get_by_role("button", name="END KEYWORD").click()
    expect(page.get_by_text("Café has ended; its words are free again.")).to_be_visible()
