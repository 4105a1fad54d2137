"""Sending and its pages in a real browser: the counter, a batch that finishes by itself, the flow without script."""

import re
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from messaging.models import Batch
from tests.browser import FITS
from tests.demo import account_of, log_in

TEXT = "“Hello” it’s 😀"
Check = Callable[[Page], None]


def write(page: Page, recipients: str = "0412 345 678, 0412345678 nobody", text: str = TEXT) -> None:
    page.goto("/send/")
    page.get_by_label("Recipients").fill(recipients)
    page.get_by_label("Sender").fill("Shop")
    page.get_by_label("Text").fill(text)


def looks_right(page: Page, assert_accessible: Check) -> None:
    """At the width that its window has."""
    assert_accessible(page)
    assert page.evaluate(FITS), page.url


@pytest.mark.parametrize("login", ["reseller", "billed"])
def test_every_page_of_sending_is_accessible_and_fits(
    stack_db: None, page: Page, assert_looks_right: Check, login: str
) -> None:
    log_in(page, login)
    page.goto("/send/")
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_role("alert").filter(has_text="things to correct")).to_be_focused()
    assert_looks_right(page)
    write(page)
    assert_looks_right(page)
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_role("heading", name="Preview")).to_be_visible()
    assert_looks_right(page)
    paths = ["/batches/", "/messages/", "/messages/?state=all-failed", "/messages/?recipient=abc", "/reports/"]
    paths += ["/reports/?first=2001-01-01&last=2001-01-02"]
    if login == "reseller":
        scheduled = Batch.objects.get(account=account_of("fixed"), send_at__gt=timezone.now())
        paths += ["/reports/clients/", f"/batches/{scheduled.code}/", f"/batches/{scheduled.code}/time/"]
    for path in paths:
        page.goto(path)
        assert_looks_right(page)
    for path in ("/batches/", "/messages/?state=delivered"):
        page.goto(path)
        page.locator("tbody a").first.click()
        assert_looks_right(page)


def test_the_counter_follows_the_text(page: Page) -> None:
    log_in(page, "client")
    write(page, text="a" * 161)
    counter = page.locator("#text-counter")
    words = r"Encoding\s*GSM-7\s*Characters\s*161\s*Parts\s*2\s*Left in this part\s*145"
    expect(counter).to_contain_text(re.compile(words))
    page.get_by_label("Text").fill(TEXT)
    expect(counter).to_contain_text("UCS-2")
    expect(counter.get_by_role("status")).to_contain_text("“ ” ’ 😀")
    expect(page.locator("#live-preview")).to_contain_text(TEXT)


def test_a_double_click_sends_once_and_the_page_follows_the_batch_by_itself(page: Page) -> None:
    log_in(page, "client")
    write(page, "0412 345 678", "Followed")
    page.get_by_role("button", name="PREVIEW").click()
    page.get_by_role("button", name="SEND 1 MESSAGE").dblclick()
    expect(page.get_by_role("heading", name="Batch")).to_be_visible()
    expect(page.locator("#batch-progress")).to_contain_text("1 of 1 finished", timeout=30_000)
    expect(page.locator("#refresh")).to_have_count(0)
    page.goto("/batches/")
    assert page.locator("tbody tr", has_text="Followed").count() == 1


def test_everything_typed_survives_edit_and_sends_without_script(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 380, "height": 800}, java_script_enabled=False)
    log_in(page, "client")
    write(page, text="Two\nlines & €")
    expect(page.locator("#text-counter")).to_be_hidden()
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_text("Contains letters; a number has digits only.")).to_be_visible()
    page.get_by_role("button", name="EDIT").click()
    expect(page.get_by_label("Recipients")).to_have_value("0412 345 678, 0412345678 nobody")
    expect(page.get_by_label("Text")).to_have_value("Two\nlines & €")
    page.get_by_role("button", name="PREVIEW").click()
    page.get_by_role("button", name="SEND 1 MESSAGE").click()
    expect(page.get_by_role("heading", name="Batch")).to_be_visible()
    page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_role("heading", name="Batch")).to_be_visible()


def test_many_recipients_are_checked_and_sent_while_the_page_tells_how_far_it_is(
    page: Page, assert_looks_right: Check
) -> None:
    log_in(page, "client")
    landlines = "\n".join(f"02 9999 {number:04d}" for number in range(3_000))  # which take long to be looked at
    wait = re.compile(r"/progress/")
    page.route(wait, lambda route: route.fulfill(status=204))  # nothing new, until the page was looked at
    write(page, "0412 345 678", "To many")
    # Chromium takes minutes to type so many lines.
    page.get_by_label("Recipients").evaluate("(field, more) => { field.value += more }", f"\n{landlines}")
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_role("heading", name="Checking the recipients")).to_be_visible()
    assert_looks_right(page)
    page.unroute(wait)
    send = page.get_by_role("button", name="SEND 1 MESSAGE")
    expect(send).to_be_visible()
    expect(page.get_by_text("The first 200 of 3,000.")).to_be_visible()
    page.route(wait, lambda route: route.fulfill(status=204))
    send.click()
    expect(page.locator("#batch-state")).to_have_text("Preparing")
    assert_looks_right(page)
    page.unroute(wait)
    expect(page.locator("#batch-progress")).to_contain_text("1 of 1 finished")
    expect(page.get_by_role("heading", name="Left out: 3,000")).to_be_visible()
