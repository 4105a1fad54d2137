"""CONTACTS in a real browser: a list is pasted, sent to with merge fields, and one of it opts out and in again."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.demo import log_in
from tests.e2e.test_messaging_pages import Check, looks_right

PASTED = "0412 345 678, Anna, Smith\n0412 345 679\nnobody"


@pytest.mark.parametrize("width", [1280, 380])
def test_a_list_is_pasted_and_sent_to_and_who_opts_out_is_left_out(
    open_page: Callable[..., Page], assert_accessible: Check, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    log_in(page, "client")
    page.goto("/contacts/lists/add/")
    name = f"Regulars {width}"
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="MAKE LIST").click()
    page.get_by_label("Numbers").fill(PASTED)
    page.get_by_role("button", name="ADD", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="1 line could not be added")).to_be_visible()
    expect(page.get_by_label("Numbers")).to_have_value("nobody")
    looks_right(page, assert_accessible)
    page.get_by_role("link", name="Back to the list").click()
    looks_right(page, assert_accessible)

    page.get_by_role("link", name="+61 412 345 678", exact=True).click()
    looks_right(page, assert_accessible)
    page.get_by_role("link", name="OPT OUT").click()
    looks_right(page, assert_accessible)
    page.get_by_role("button", name="OPT OUT").click()
    looks_right(page, assert_accessible)

    page.goto("/contacts/")
    looks_right(page, assert_accessible)
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="SEND TO LIST").click()
    expect(page.get_by_label(f"{name} (2)")).to_be_checked()
    page.get_by_label("Sender").fill("Shop")
    page.get_by_label("Text").fill("Hi {first_name|there}, welcome")
    expect(page.locator("#text-counter")).to_contain_text("the preview counts each recipient’s own text")
    looks_right(page, assert_accessible)
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_text("Opted out: 1")).to_be_visible()
    expect(page.locator(".handset")).to_contain_text("Hi there, welcome")
    looks_right(page, assert_accessible)

    page.goto("/contacts/opt-outs/")
    page.get_by_role("link", name="Opt in…").first.click()
    looks_right(page, assert_accessible)
    page.get_by_label("How did this person agree?").fill("asked at the counter")
    page.get_by_label("This person asked to get messages again.").check()
    page.get_by_role("button", name="OPT IN").click()
    expect(page.get_by_text("is opted in: messages to it are sent again")).to_be_visible()
