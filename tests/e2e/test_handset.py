"""A phone in the browser texts a keyword, its reply shows on the phone and in the inbox, and STOP blocks replying."""

from collections.abc import Callable
from decimal import Decimal

from django.utils import timezone
from playwright.sync_api import Page, expect

from billing.services import ledger
from keywords.services.keywords import KeywordValues, create_keyword
from tests.demo import account_of, log_in
from tests.e2e.test_messaging_pages import looks_right
from virtual_numbers.models import NumberPrice, VirtualNumber
from virtual_numbers.services.leasing import lease

NUMBER, PHONE = "+61480000031", "+61491570131"
Check = Callable[[Page], None]


def make_keyword() -> None:
    """The demo's client leases a number and answers LUCKY on it."""
    account, now = account_of("client"), timezone.now()
    ledger.manual_payment(account=account, amount=Decimal(100), key="handset", reason="for the handset", actor=None)
    number = VirtualNumber.objects.create(number=NUMBER, country="AU", capabilities=["sms_in", "sms_out"])
    NumberPrice.objects.create(number=number, currency="AUD", monthly=19)
    lease(account=account, number=number, expected=None, actor=None)
    values = KeywordValues(first_reply="Welcome, lucky one!")
    create_keyword(account=account, number=number, word="LUCKY", values=values, expected=None, actor=None, now=now)


def text(phone: Page, words: str) -> None:
    phone.get_by_label("Text", exact=True).fill(words)
    phone.get_by_role("button", name="Send").click()
    expect(phone.locator("#screen")).to_contain_text(words)
    expect(phone.get_by_label("Text", exact=True)).to_have_value("")


def test_a_phone_texts_a_keyword_and_the_inbox_follows(
    open_page: Callable[..., Page], stack_db: None, assert_accessible: Check
) -> None:
    make_keyword()
    phone, desk = (open_page(viewport={"width": width, "height": 800}) for width in (380, 1280))
    for page in (phone, desk):
        log_in(page, "client")
    phone.goto(f"/handset/?phone=%2B{PHONE[1:]}&to=%2B{NUMBER[1:]}")
    text(phone, "lucky")
    expect(phone.locator("#screen")).to_contain_text("Welcome, lucky one!", timeout=30_000)
    expect(phone.locator("#screen")).to_contain_text("Delivered")
    looks_right(phone, assert_accessible)

    desk.goto("/inbox/?search=lucky")
    expect(desk.locator("#inbox-unread")).to_be_visible()
    looks_right(desk, assert_accessible)
    desk.get_by_role("link", name="+61 491 570 131").click()
    thread = desk.locator("#thread")
    expect(thread).to_contain_text("Reply of keyword LUCKY")
    expect(desk.locator(".conversation.is-unread")).to_have_count(0)  # opening it has marked it read
    desk.get_by_label("Reply from").fill("Come by on Sunday")
    expect(desk.locator("#text-counter")).to_contain_text("1 part, 143 left · AUD 0.")
    desk.get_by_role("button", name="SEND").click()
    expect(thread.locator(".is-out", has_text="Come by on Sunday")).to_contain_text("Delivered", timeout=30_000)
    expect(phone.locator("#screen")).to_contain_text("Come by on Sunday")

    # What is being typed survives what comes in, and STOP stops the button.
    desk.get_by_label("Reply from").fill("And on Mon")
    text(phone, "STOP")
    expect(thread).to_contain_text("Opted out with this message", timeout=30_000)
    expect(desk.get_by_role("button", name="SEND")).to_be_disabled()
    expect(desk.get_by_label("Reply from")).to_have_value("And on Mon")
    looks_right(desk, assert_accessible)
    desk.goto("/handset/")
    looks_right(desk, assert_accessible)
    phone.goto("/inbox/")
    looks_right(phone, assert_accessible)
    phone.get_by_role("link", name="+61 491 570 131").click()
    expect(phone.locator("#reply-refusal")).to_contain_text("has opted out")
    looks_right(phone, assert_accessible)
