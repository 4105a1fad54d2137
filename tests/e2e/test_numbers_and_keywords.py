"""The story of issue 4 in a browser: numbers leased and given, keywords, a phone that joins and stops, and the money.

The demo's reseller pays 19.00 for a number and 0.0494 for a part to +614. Its new client pays 12.50 for a keyword and
0.02 more a part; its older client pays 5.00 more for a number, and 10.00 for a keyword. The platform keeps a fifth of
each keyword.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import psycopg
import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from accounts.models import Account
from billing.models import LedgerAccount
from billing.selectors import balance_of
from billing.services import ledger
from contacts.models import ContactList, OptOut
from keywords.models import Keyword
from messaging.models import Batch, Exclusion, Message
from reseller.run.stack import Stack
from reseller.templatetags.portal import phone as phone_words
from tests.conftest import differences
from tests.demo import log_in
from tests.e2e.test_handset import text
from tests.e2e.test_main_job import RESELLER, account_of, add_client, log_in_new, settled
from tests.e2e.test_messaging_pages import looks_right
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.services.leasing import renew_numbers

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stack_db")]

D = Decimal
Check = Callable[[Page], None]
GIVEN, OWN, KEPT, PHONE = "+61491575254", "+61491575789", "+61491574118", "+61412345139"
PART, MARGIN = D("0.0694"), D("0.02")
PATIENCE = 60_000  # milliseconds until a text has gone to the phone and back


def spendable(account: Account) -> Decimal:
    return balance_of(account).available


def revenue() -> Decimal:
    return LedgerAccount.objects.get(kind="revenue", currency="AUD").balance


def give(account: Account, amount: int) -> None:
    ledger.manual_payment(
        account=account, amount=D(amount), key=f"story-{account.code}", reason="for the story", actor=None
    )  # fmt: skip


def lease(page: Page, number: str, now: str) -> Lease:
    """Pick the number from the list by its last digits and confirm ``now``, what it costs at once."""
    page.get_by_role("link", name="NUMBERS", exact=True).click()
    page.get_by_role("link", name="LEASE A NUMBER").click()
    page.get_by_label("Digits in it").fill(number[-6:])
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=f"LEASE {number}").click()
    expect(page.locator(".number-sum-total")).to_contain_text(now)
    page.get_by_role("button", name="LEASE").click()
    expect(page.get_by_text(f"{number} is yours from now on.")).to_be_visible()
    return Lease.objects.get(number__number=number, ended_at=None)


def add_keyword(page: Page, word: str, price: str, *, number: str = "", team: str = "") -> None:
    """Set a keyword up with two replies, for the price that the button names."""
    page.goto("/keywords/add/")
    if number:
        page.get_by_label("Number*", exact=True).select_option(label=number)
    page.get_by_label("Keyword*", exact=True).fill(word)
    page.get_by_label("First reply").fill(f"Welcome to {word}")
    page.get_by_label("Later reply").fill(f"{word} knows you already")
    if team:
        page.get_by_label("Add senders to").select_option(label=f"{team} (0)")
    page.get_by_role("button", name=f"ADD FOR {price}").click()
    expect(page.get_by_text(f"Phones can text {word} to")).to_be_visible()


def see(phone: Page, words: str) -> None:
    expect(phone.locator("#screen")).to_contain_text(words, timeout=PATIENCE)


def test_numbers_are_leased_given_and_answer_a_phone_until_it_stops(
    open_page: Callable[..., Page], stack: Stack, assert_accessible: Check
) -> None:
    reseller, older = account_of(RESELLER), account_of("client@demo.example")
    give(reseller, 100)
    give(older, 100)
    before = {account: spendable(account) for account in (reseller, older)} | {None: revenue()}

    # The reseller leases a number and gives it to a new client in ADD CLIENT.
    desk = open_page()
    log_in(desk, RESELLER)
    given = lease(desk, GIVEN, "AUD 19.00")
    client = add_client(
        desk, "nina@story.example",
        **{
            "Who Pays": "Client Pays", "Payment Method": "Credit Card - Variable Amounts",
            "Daily Top Up Limit": "200.00", "Minimum Top Up Limit": "10.00", "SMS Margin": "0.02",
            "Number Allocation": f"{GIVEN} (Australia)", "Number Margin": "5.00",
            "Keywords": "YES", "Keyword Price": "12.50", "Keyword Limit": "1",
        },
    )  # fmt: skip
    given.refresh_from_db()
    assert (given.account, given.holder) == (reseller, client)
    expect(desk.get_by_text("given by you")).to_be_visible()
    looks_right(desk, assert_accessible)
    give(client, 20)

    # The new client has it, is offered no list, and sets up a keyword that fills a list.
    page = open_page()
    log_in_new(page, "nina@story.example")
    page.get_by_role("link", name="NUMBERS", exact=True).click()
    expect(page.get_by_text("given to you by your provider")).to_be_visible()
    expect(page.get_by_role("link", name="LEASE A NUMBER")).to_have_count(0)
    team = ContactList.objects.create(account=client, name="Pizza club")
    add_keyword(page, "Pizza", "AUD 12.50", team="Pizza club")

    # The older client leases its own at 24.00 and sets up a keyword, too.
    own = open_page()
    log_in(own, "client@demo.example")
    lease(own, OWN, "AUD 24.00")
    looks_right(own, assert_accessible)
    own.goto("/billing/forecast/")
    expect(own.get_by_text("Number rental").first).to_be_visible()
    add_keyword(own, "Teeth", "AUD 10.00", number=phone_words(OWN))
    assert Keyword.objects.get(word="Teeth", account=older).number.number == OWN

    # A phone joins, writes again, and stops.
    phone = open_page(viewport={"width": 380, "height": 800})
    log_in_new(phone, "nina@story.example")
    phone.goto(f"/handset/?phone=%2B{PHONE[1:]}&to=%2B{GIVEN[1:]}")
    text(phone, "pizza")
    see(phone, "Welcome to Pizza")
    text(phone, "PIZZA please")
    see(phone, "Pizza knows you already")
    assert [one.contact.number for one in team.members.select_related("contact")] == [PHONE]
    settled(client, page)
    replies = Message.objects.filter(account=client)
    assert {(one.sender, one.recipient, one.price) for one in replies} == {(GIVEN, PHONE, PART)}
    assert replies.count() == 2
    text(phone, "Stop")
    page.goto("/inbox/")
    page.get_by_role("link", name="+61 412 345 139").click()
    expect(page.locator("#thread")).to_contain_text("Opted out with this message", timeout=PATIENCE)
    expect(page.locator("#thread")).to_contain_text("Reply of keyword Pizza")
    assert OptOut.objects.get(account=client, ended_at=None).number == PHONE

    # It is left out of the next sending to the list, with that reason, and costs nothing.
    page.goto("/send/")
    page.get_by_label("Recipients").fill("0412 345 140")
    page.get_by_label("Pizza club (1)").check()
    page.get_by_label("Sender").fill(GIVEN)
    page.get_by_label("Text").fill("Two for one today")
    page.get_by_role("button", name="PREVIEW").click()
    expect(page.get_by_text("Opted out").first).to_be_visible()
    looks_right(page, assert_accessible)
    page.locator("button", has_text="SEND").last.click()
    page.wait_for_url("**/batches/*/")
    batch = Batch.objects.get(code=page.url.rstrip("/").rsplit("/", 1)[1])
    assert [(one.value, one.reason) for one in batch.exclusions.all()] == [(PHONE, Exclusion.Reason.OPTED_OUT)]
    assert (batch.message_count, batch.price) == (1, PART)
    settled(client, page)

    # What everybody has, to the last place.
    parts = Message.objects.filter(account=client, sent_at__isnull=False).count()
    assert parts == 3, "two replies and one message; STOP is answered by none"
    assert spendable(client) == D(20) - D("12.50") - parts * PART
    assert before[older] - spendable(older) == D(24) + D(10)
    earned = D("12.50") * 4 / 5 + D(10) * 4 / 5 + D(5) + parts * MARGIN
    assert spendable(reseller) - before[reseller] == earned - D(19)
    kept = (D("12.50") + D(10)) / 5 + 2 * D(19) + parts * (PART - MARGIN)
    assert revenue() - before[None] == kept
    assert differences() == []


def renew_on(stack: Stack, day: date, mine: Lease) -> None:
    """Renewals as they would be done on that day, of this one number: all others are locked, so they are left alone."""
    with psycopg.connect(stack.env["DATABASE_URL"]) as others:
        others.execute("SELECT FROM billing_subscription WHERE id <> %s FOR UPDATE", [mine.subscription_id])
        renew_numbers(datetime.combine(day, time(12), tzinfo=UTC))
    mine.subscription.refresh_from_db()


def see_state(page: Page, state: str) -> None:
    page.goto("/numbers/")
    expect(page.locator("tbody tr", has_text=phone_words(KEPT))).to_contain_text(state)


def test_a_number_is_paid_for_three_months_and_lost_when_money_is_short(
    open_page: Callable[..., Page], stack: Stack
) -> None:
    """24.00 a month, 5.00 of them the reseller's."""
    reseller, client = account_of(RESELLER), account_of("client@demo.example")
    ledger.manual_payment(account=client, amount=D(200), key="months", reason="for the months", actor=None)
    page = open_page()
    log_in(page, "client@demo.example")
    kept = lease(page, KEPT, "AUD 24.00")
    before = {account: spendable(account) for account in (reseller, client)}

    for _ in range(3):
        renew_on(stack, kept.subscription.next_renewal_on, kept)
        see_state(page, "Active")
    assert before[client] - spendable(client) == 3 * D(24)
    assert spendable(reseller) - before[reseller] == 3 * D(5)

    short = spendable(client) - D("23.999999")
    ledger.manual_payment(account=client, amount=-short, key="short", reason="for the months", actor=None)
    due = kept.subscription.next_renewal_on
    renew_on(stack, due, kept)
    see_state(page, "Payment due")
    renew_on(stack, due + timedelta(days=settings.RENEWAL_GRACE_DAYS), kept)
    see_state(page, "Suspended")
    renew_on(stack, due + timedelta(days=settings.RENEWAL_GRACE_DAYS + settings.RENEWAL_SUSPENDED_DAYS), kept)
    page.goto("/numbers/")
    expect(page.locator("tbody tr", has_text=phone_words(KEPT))).to_have_count(0)
    assert VirtualNumber.objects.get(number=KEPT).state == VirtualNumber.State.QUARANTINED
    assert spendable(client) == D("23.999999"), "nothing is charged for what was not paid in time"
    ledger.manual_payment(account=client, amount=short, key="back", reason="for the months", actor=None)
    assert differences() == []
