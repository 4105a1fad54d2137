"""The main job in a real browser, on the processes of `make run`: add a client, top up, send, and account for it all.

The reseller pays the demo's rate card: +614 costs 0.0325 × 1.52 = 0.0494 AUD a part. Its margin here is 0.021, so the
client pays 0.0704 a part.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Account
from billing.models import LedgerAccount
from billing.selectors import balance_of
from messaging.models import Batch, Message
from reseller.run.stack import Stack
from smpp.simulator import read_journal
from tests.conftest import differences
from tests.demo import log_in
from tests.e2e.test_topup import pay
from tests.messaging.rows import amounts_in

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stack_db")]

D = Decimal
PASSWORD = "Quite-a-long-pass-77"
RESELLER = "reseller@demo.example"
BASE, MARGIN, PRICE = D("0.0494"), D("0.021"), D("0.0704")
PATIENCE = 60_000  # milliseconds until a message has its last state
LONG_TEXT = "Your order has left our warehouse and will be with you soon. " * 6  # 366 septets: 3 parts of 153


@dataclass
class Books:
    """What the reseller and the platform have, in AUD."""

    reseller: Decimal
    revenue: Decimal

    @classmethod
    def read(cls) -> "Books":
        revenue = LedgerAccount.objects.get(kind="revenue", currency="AUD").balance
        return cls(balance_of(account_of(RESELLER)).available, revenue)


def account_of(email: str) -> Account:
    return Account.objects.get(memberships__user__email=email)


def add_client(page: Page, email: str, **fields: Any) -> Account:
    """Fill ADD CLIENT as the logged-in reseller: every text by its label, every drop-down by its option's words."""
    page.goto("/")
    page.get_by_role("link", name="CLIENTS", exact=True).click()
    page.get_by_role("link", name="ADD CLIENT").first.click()
    page.get_by_label("Client Contact Name").fill("Alex Mercer")
    page.get_by_label("Client Account Name").fill(f"Account of {email}")
    page.get_by_label("Client Country").select_option(label="Australia")
    page.get_by_label("Client Mobile").fill("0491 570 110")
    page.get_by_label("Client Time Zone").select_option("Australia/Perth")
    page.get_by_label("Client Contact Email").fill(email)
    page.get_by_label("Client Password").fill(PASSWORD)
    for label, value in fields.items():
        field = page.get_by_label(re.compile(rf"^\s*{label}\W*$"))
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(label=value)
        else:
            field.fill(value)
    page.get_by_role("button", name="UPDATE").click()
    expect(page.get_by_text(f"Account of {email}").first).to_be_visible()
    return account_of(email)


def send(page: Page, text: str, recipient: str, state: str) -> Message:
    """Send one message through SEND SMS and wait on the batch's own page until it says ``state``."""
    page.get_by_role("link", name="SEND SMS", exact=True).first.click()
    page.get_by_label("Recipients").fill(recipient)
    page.get_by_label("Sender").fill("Mercer")
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="PREVIEW").click()
    page.get_by_role("button", name=re.compile("^SEND ")).click()
    page.wait_for_url("**/batches/*/")
    code = page.url.rstrip("/").rsplit("/", 1)[1]
    expect(page.get_by_role("cell", name=re.compile(f"^{state}"))).to_be_visible(timeout=PATIENCE)
    return Message.objects.get(batch__code=code)


def settled(account: Account, poll: Page) -> None:
    """Wait until nothing of the account is held any more."""
    for _ in range(100):
        if balance_of(account).held == 0:
            return
        poll.wait_for_timeout(100)
    raise AssertionError(f"{balance_of(account).held} are still held")


def test_a_reseller_adds_a_client_who_tops_up_and_sends(open_page: Callable[..., Page], stack: Stack) -> None:
    reseller = open_page()
    log_in(reseller, RESELLER)
    client = add_client(
        reseller, "alex@mercer.example",
        **{
            "Who Pays": "Client Pays", "Payment Method": "Credit Card - Variable Amounts",
            "Daily Top Up Limit": "200.00", "Minimum Top Up Limit": "10.00", "SMS Margin": "0.021",
            "Trial Period": "Yes", "Trial Expiry Date": "2030-12-31", "Number Margin": "5.00",
            "Keywords": "YES", "Keyword Price": "12.50", "Keyword Limit": "3",
        },
    )  # fmt: skip
    terms = client.billing_terms
    assert (client.contact_name, client.mobile, client.country, client.time_zone, client.currency) == (
        "Alex Mercer", "+61491570110", "AU", "Australia/Perth", "AUD",
    )  # fmt: skip
    assert (terms.method, terms.minimum_topup, terms.daily_topup_limit, terms.sms_margin) == (
        "card_variable", D(10), D(200), MARGIN,
    )  # fmt: skip
    assert str(terms.trial_ends_on) == "2030-12-31"
    assert client.number_terms.margin == D(5)
    keywords = client.keyword_terms
    assert (keywords.is_enabled, keywords.price, keywords.limit) == (True, D("12.50"), 3)

    before = Books.read()
    page = open_page()
    log_in_new(page, "alex@mercer.example")
    expect(page.get_by_role("link", name="CLIENTS", exact=True)).to_have_count(0)
    page.goto("/billing/add-credit/")
    page.locator("input[name=amount][value='50']").check()
    page.get_by_role("button", name="Pay by card").click()
    page.wait_for_url("**/c/pay/**")
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Receipt")
    assert balance_of(client).available == D(50)

    first = send(page, "Hello from Mercer", "0412 345 678", "Delivered")
    long = send(page, LONG_TEXT, "+61 412 345 679", "Delivered")
    emoji = send(page, "See you at 8 \N{PARTY POPPER}", "0412345680", "Delivered")
    refused = send(page, "This one is refused", "0412340001", "Rejected")
    settled(client, page)

    messages = [Message.objects.get(pk=message.pk) for message in (first, long, emoji, refused)]
    assert [(m.recipient, m.parts, m.price, m.state) for m in messages] == [
        ("+61412345678", 1, D("0.0704"), "delivered"),
        ("+61412345679", 3, D("0.2112"), "delivered"),
        ("+61412345680", 1, D("0.0704"), "delivered"),
        ("+61412340001", 1, D("0.0704"), "rejected"),
    ]
    # Five parts went, the refused one was given back.
    assert balance_of(client).available == D("50") - 5 * PRICE == D("49.6480")
    after = Books.read()
    assert after.reseller - before.reseller == 5 * MARGIN == D("0.105")
    assert after.revenue - before.revenue == 5 * BASE == D("0.2470")
    page.goto("/billing/")
    expect(page.get_by_text("49.648").first).to_be_visible()
    arrived = [pdu for pdu in read_journal(stack.local_dir / "simulator").accepted if pdu.source == "Mercer"]
    assert len(arrived) == 5
    assert arrived[0].text == "Hello from Mercer"
    assert differences() == []


def log_in_new(page: Page, email: str) -> None:
    page.goto("/login/")
    page.get_by_label("E-mail or login name").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login/" not in url)


def test_a_client_billed_to_its_parent_sees_no_money_anywhere(open_page: Callable[..., Page], stack: Stack) -> None:
    reseller = open_page()
    log_in(reseller, RESELLER)
    client = add_client(
        reseller, "sam@billed.example",
        **{"Who Pays": "I Pay", "Payment Method": "Bill Client Activity to My Account"},
    )  # fmt: skip
    before = Books.read()
    page = open_page()
    log_in_new(page, "sam@billed.example")
    message = send(page, LONG_TEXT, "0412 345 681", "Delivered")
    refused = send(page, "This one is refused", "0412 340 001", "Rejected")
    settled(account_of(RESELLER), page)

    after = Books.read()
    assert before.reseller - after.reseller == 3 * BASE == D("0.1482")
    assert after.revenue - before.revenue == 3 * BASE
    assert not LedgerAccount.objects.filter(owner=client).exclude(balance=0).exists()
    message.refresh_from_db()
    # The demo reseller's display margin is 0.035: what it bills its client for the three parts.
    assert (message.price, message.display_price) == (D("0.1482"), 3 * (BASE + D("0.035")))

    codes = Batch.objects.filter(pk__in=[message.batch_id, refused.batch_id]).values_list("code", flat=True)
    pages = ["/", "/send/", "/batches/", "/messages/", "/reports/", "/settings/", "/settings/password/"]
    pages += [f"/batches/{code}/" for code in codes]
    pages += [f"/messages/{one.pk}/" for one in (message, refused)]
    for path in pages:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert amounts_in(answer.text()) == [], path  # as it was sent, attributes and all
        assert amounts_in(page.locator("body").inner_text()) == [], path  # as it is read, scripts done
    with page.expect_download() as download:
        page.evaluate("location.assign('/reports/messages.csv')")
    assert not re.search(r"price|amount|AUD|0\.0\d", download.value.path().read_text(), re.IGNORECASE)
    for path in ("/billing/", "/billing/add-credit/", "/clients/", "/reports/clients/"):
        answer = page.request.get(path)
        assert answer.status == 404, path
    assert differences() == []
