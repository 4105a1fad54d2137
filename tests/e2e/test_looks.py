"""The frame of every page in a real browser: readable, reached by keyboard, fit for a telephone and without script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.demo import log_in

Check = Callable[[Page], None]


def test_pages_before_log_in_are_accessible_and_fit(page: Page, assert_looks_right: Check) -> None:
    for path in ("/login/", "/password/reset/", "/password/reset/done/", "/password/reset/key/1-abc/", "/inactive/"):
        page.goto(path)
        assert_looks_right(page)


def test_settings_are_accessible_and_fit(page: Page, assert_looks_right: Check) -> None:
    log_in(page)
    for path in ("/settings/", "/settings/password/", "/logout/"):
        page.goto(path)
        assert_looks_right(page)


def test_one_text_of_poor_contrast_is_noticed_among_many_that_look_well(page: Page, assert_accessible: Check) -> None:
    log_in(page)
    page.goto("/settings/")
    page.locator("main").evaluate("main => main.insertAdjacentHTML('beforeend', '<p>Some words</p>'.repeat(20))")
    assert_accessible(page)
    page.get_by_text("Some words").nth(17).evaluate("text => { text.style.color = '#aaa' }")
    with pytest.raises(AssertionError, match="color-contrast"):
        assert_accessible(page)


def test_a_page_too_wide_for_a_telephone_is_noticed(page: Page, assert_looks_right: Check) -> None:
    page.goto("/login/")
    page.locator("main").evaluate("main => { main.style.minWidth = '600px' }")
    with pytest.raises(AssertionError, match="wider than 380 pixels"):
        assert_looks_right(page)


def test_a_missing_page_is_accessible(page: Page, assert_looks_right: Check, console_errors: list[str]) -> None:
    page.goto("/no/such/page/")
    assert_looks_right(page)
    assert ["404" in error for error in console_errors] == [True]  # the browser notes the status, nothing else
    console_errors.clear()


def test_a_refused_form_leads_the_keyboard_to_its_errors(page: Page, assert_accessible: Check) -> None:
    log_in(page)
    page.goto("/settings/")
    page.get_by_label("Your name").fill("")
    page.get_by_role("button", name="UPDATE").click()
    summary = page.get_by_role("alert").filter(has_text="1 thing to correct")
    expect(summary).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your name")).to_be_focused()
    assert_accessible(page)


def test_the_keyboard_can_skip_the_menu_and_open_the_person_s_menu(page: Page, assert_accessible: Check) -> None:
    log_in(page)
    page.goto("/settings/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("button", name="your account").press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert_accessible(page)


def test_a_telephone_folds_the_menu(open_page: Callable[..., Page], assert_accessible: Check) -> None:
    page = open_page(viewport={"width": 380, "height": 800})
    log_in(page)
    page.goto("/settings/")
    menu = page.get_by_role("navigation", name="Main menu")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu", exact=True).click()
    expect(menu.get_by_role("link", name="SETTINGS")).to_have_attribute("aria-current", "page")
    expect(menu).to_have_class("topbar-menu collapse show")  # unfolded, no longer moving
    check = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(check)
    assert_accessible(page)


def test_without_script_everything_stands_open_and_works(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 380, "height": 800}, java_script_enabled=False)
    log_in(page)
    page.goto("/settings/")
    expect(page.get_by_role("navigation", name="Main menu").get_by_role("link", name="SETTINGS")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_message_can_be_dismissed(page: Page, assert_accessible: Check) -> None:
    log_in(page)
    page.goto("/settings/")
    page.get_by_role("button", name="UPDATE").click()
    note = page.get_by_role("status").filter(has_text="Your settings are saved.")
    expect(note).to_be_visible()
    assert_accessible(page)
    note.get_by_role("button", name="Dismiss").click()
    expect(note).to_have_count(0)
