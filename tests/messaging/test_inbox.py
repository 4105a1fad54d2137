"""INBOX: who is listed, what a thread shows, what a reply costs and why it is refused; looking writes nothing."""

import re
import threading
import time
import uuid
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, Membership
from accounts.services.users import create_member
from billing.models import BillingTerms, Hold, Rate, Subscription
from billing.selectors import balance_of
from contacts.models import Contact, ContactList
from contacts.services.opt_outs import opt_in, opt_out
from messaging.inbox import MOST_COUNTED, PAGE_SIZE, page_of_conversations, unread_count
from messaging.models import Batch, Conversation, InboundMessage, Message
from messaging.services.conversations import mark_read, reply_terms
from messaging.thread import thread_of
from tests.billing.credits import give, make_credits_client
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.scene import NUMBER, OTHER_NUMBER, OTHER_PHONE, PHONE, put_keyword
from tests.messaging.inbound_rows import fill_inbox, make_conversation, set_off, write
from tests.messaging.rows import accept, amounts_in, settle_as, words
from virtual_numbers.models import Lease, VirtualNumber

# Of PHONE: an Australian mobile of the dearer block at 0.08, and the client pays 0.02 more (tests/cast.py).
UNIT = Decimal("0.10")


@pytest.fixture
def chat(client_member: Member) -> Conversation:
    """A conversation of the client with one unread message."""
    conversation = make_conversation(client_member)
    write(conversation, "Do you open on Sunday?")
    conversation.refresh_from_db()
    return conversation


def url(name: str, conversation: Conversation | None = None) -> str:
    return reverse(f"messaging:{name}", args=[conversation.code] if conversation else [])


def get(browser: Client, address: str, **query: str) -> str:
    answer = browser.get(address, query)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def names(page: str) -> list[str]:
    return [words(name).strip() for name in re.findall(r'class="conversation-name">(.*?)</span>', page, re.DOTALL)]


def send(browser: Client, conversation: Conversation, text: str = "Yes, from ten", price: object = UNIT, key: str = ""):
    values = {"text": text, "key": key or uuid.uuid4().hex, "unit_price": "" if price is None else f"{price:.6f}"}
    return browser.post(url("conversation-reply", conversation), values)


# --- The list ------------------------------------------------------------------------------------------------------


def test_conversations_stand_by_contact_the_latest_first(client_member: Member, outsider: Member, log_in: LogIn):
    now = timezone.now()
    Contact.objects.create(account=client_member.account, number=PHONE, first_name="Ada", last_name="Byron")
    old, new = make_conversation(client_member), make_conversation(client_member, OTHER_PHONE)
    write(old, "older", now - timedelta(hours=1))
    write(new, "newer", now)
    write(make_conversation(outsider, PHONE, OTHER_NUMBER), "not yours")
    opt_out(account=client_member.account, number=OTHER_PHONE, source="reply")
    Conversation.objects.filter(pk=old.pk).update(assigned_to=client_member.user)
    page = get(log_in(client_member.user), "/inbox/")
    assert names(page) == ["+61 491 570 157", "Ada Byron"]
    assert re.findall(r'class="conversation-text">(.*?)<', page) == ["newer", "older"]
    first, second = page.split("conversation-name")[1:]
    assert "Opted out" in first
    assert "Opted out" not in second
    assert str(client_member.user) in second
    assert '1<span class="visually-hidden"> unread' in first


def test_an_empty_inbox_says_what_will_be_there(client_member: Member, log_in: LogIn):
    text = get(log_in(client_member.user), "/inbox/")
    assert "No messages yet" in text
    assert "Choose a conversation" not in text


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("0491 570 156", ["Ada"]),
        ("+61 491 570 156", ["Ada"]),
        ("570157", ["+61 491 570 157"]),
        ("byron", ["Ada"]),
        ("ada by", ["Ada"]),
        ("SUNDAY", ["Ada"]),  # not the last text
        ("from ten", ["Ada"]),  # what was replied
        ("Grüße", ["+61 491 570 157"]),
        ("secret", []),  # another account's
        ("100%", []),  # no pattern
        ("12", []),  # too few digits for a number, and in no text
    ],
)
def test_search_finds_numbers_names_and_texts(
    client_member: Member, outsider: Member, log_in: LogIn, search: str, found: list[str]
):
    Contact.objects.create(account=client_member.account, number=PHONE, first_name="Ada", last_name="Byron")
    first, second = make_conversation(client_member), make_conversation(client_member, OTHER_PHONE)
    write(first, "Open on sunday?")
    write(first, "Thanks, 100 times")
    write(second, "Grüße")
    accept(client_member, [PHONE], "Yes, from ten", sender=NUMBER)
    write(make_conversation(outsider, PHONE, OTHER_NUMBER), "secret")
    shown = names(get(log_in(client_member.user), "/inbox/", search=search))
    assert [name.replace(" Byron", "") for name in shown] == found


def test_the_list_narrows_to_unread_mine_and_assigned(client_member: Member, log_in: LogIn):
    colleague = create_member(
        account=client_member.account, email="colleague@test.example", name="Col League", password=PASSWORD, actor=None
    )
    unread, mine, theirs = (make_conversation(client_member, f"+6149157015{digit}") for digit in (6, 7, 8))
    write(unread)
    Conversation.objects.filter(pk=mine.pk).update(assigned_to=client_member.user)
    Conversation.objects.filter(pk=theirs.pk).update(assigned_to=colleague)
    browser = log_in(client_member.user)

    def shown(show: str) -> set[str]:
        return {name[-3:] for name in names(get(browser, "/inbox/", show=show))}

    assert {show: shown(show) for show in ("", "unread", "mine", "assigned", "nonsense")} == {
        "": {"156", "157", "158"}, "unread": {"156"}, "mine": {"157"}, "assigned": {"157", "158"},
        "nonsense": {"156", "157", "158"},
    }  # fmt: skip


def test_pages_go_through_every_conversation_once_and_back(client_member: Member):
    fill_inbox(client_member, 2 * PAGE_SIZE + 7)
    # Several at one moment, across the border of two pages.
    moment = Conversation.objects.order_by("-last_at")[PAGE_SIZE].last_at
    middle = Conversation.objects.order_by("-last_at").values("pk")[PAGE_SIZE - 3 : PAGE_SIZE + 3]
    Conversation.objects.filter(pk__in=list(middle.values_list("pk", flat=True))).update(last_at=moment)

    def page(**where: str):
        return page_of_conversations(client_member.account, client_member.user, **where)

    def codes(found) -> list[str]:
        return [row.conversation.code for row in found.rows]

    first = page()
    second = page(before=first.older)
    third = page(before=second.older)
    everything = codes(first) + codes(second) + codes(third)
    assert (first.newer, third.older) == ("", "")
    assert len(everything) == len(set(everything)) == 2 * PAGE_SIZE + 7
    assert codes(page(after=third.newer)) == codes(second)
    assert codes(page(after=second.newer)) == codes(first)
    assert codes(page(before="nonsense", after="99999999999999999.X")) in ([], codes(first))


def test_a_long_list_asks_the_database_as_often_as_a_short_one(
    client_member: Member, log_in: LogIn, django_assert_max_num_queries
):
    fill_inbox(client_member, 3 * PAGE_SIZE)
    browser = log_in(client_member.user)
    with django_assert_max_num_queries(13):
        page = get(browser, "/inbox/")
    assert len(names(page)) == PAGE_SIZE


def test_the_menu_counts_unread_conversations_to_a_hundred(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)

    def badge() -> str:
        return re.search(r'id="inbox-unread"( hidden)?>(\d+\+?)<', get(browser, "/settings/")).expand(r"\1\2")

    assert badge() == " hidden0"
    fill_inbox(client_member, 30)
    assert badge() == "3"
    Conversation.objects.update(unread=2)
    Conversation.objects.filter(phone__endswith="1").update(unread=0)
    assert badge() == "27"
    assert unread_count(client_member.account) == 27
    fill_many = [
        Conversation(account=client_member.account, number=VirtualNumber.objects.get(), phone=f"+44{n}", unread=1)
        for n in range(MOST_COUNTED)
    ]
    Conversation.objects.bulk_create(fill_many)
    assert badge() == "99+"


# --- The thread ----------------------------------------------------------------------------------------------------


def test_a_thread_has_both_directions_in_order_and_marks_what_a_keyword_answered(
    client_member: Member, chat: Conversation, log_in: LogIn
):
    keyword = put_keyword(client_member, chat.number, "JOIN")
    joined = write(chat, "join", keyword=keyword)
    answer = accept(client_member, [PHONE], "Welcome!", sender=NUMBER, door="keyword", actor=None)
    set_off(joined, "reply", batch=answer)
    settle_as(answer, "delivered")
    asked = write(chat, "and on Monday?")
    other = accept(client_member, [PHONE], "Out of office", sender=NUMBER, door="keyword", actor=None)
    set_off(asked, "reply", batch=other)
    settle_as(accept(client_member, [PHONE], "From nine", sender=NUMBER), "undelivered")
    page = words(get(log_in(client_member.user), url("conversation", chat)))
    parts = ["Do you open on Sunday?", "join", "Welcome!", "and on Monday?", "Out of office", "From nine"]
    assert sorted(parts, key=page.rindex) == parts
    assert "Keyword JOIN" in page
    assert "Reply of keyword JOIN Delivered" in page
    assert "Automatic reply Queued" in page
    assert f"From nine {client_member.user} Undelivered" in page


def test_a_thread_is_of_this_pair_and_this_account_alone(
    client_member: Member, reseller: Member, chat: Conversation, log_in: LogIn
):
    accept(client_member, [PHONE], "Other sender", sender="Shop")
    accept(client_member, [OTHER_PHONE], "Other phone", sender=NUMBER)
    accept(reseller, [PHONE], "Other account", sender=NUMBER)
    write(make_conversation(client_member, OTHER_PHONE), "Other conversation")
    mine = accept(client_member, [PHONE, OTHER_PHONE], "To both", sender=NUMBER)
    thread = thread_of(chat)
    assert [entry.text for entry in thread.entries] == ["Do you open on Sunday?", "To both"]
    assert thread.entries[1].message.batch == mine


def test_what_a_message_set_off_is_told_with_its_outcome(client_member: Member, chat: Conversation, log_in: LogIn):
    customers = ContactList.objects.create(account=client_member.account, name="Customers")
    message = InboundMessage.objects.get()
    set_off(message, "forward_email", "boss@shop.example")
    set_off(message, "forward_url", "https://shop.example/sms", "failed", error="The server answered 500.")
    set_off(message, "forward_mobile", "+61412345678", "waiting")
    set_off(message, "add_to_list", customers.code)
    set_off(message, "reply", "", "skipped", error="Five replies an hour are enough.")
    page = words(get(log_in(client_member.user), url("conversation", chat)))
    assert "Forwarded to boss@shop.example" in page
    assert "Could not be forwarded to https://shop.example/sms: The server answered 500." in page
    assert "Being forwarded to +61412345678" in page
    assert "Added to the list Customers" in page
    assert "No automatic reply: Five replies an hour are enough." in page


def test_stop_is_marked_where_it_was_said_and_while_it_lasts(client_member: Member, chat: Conversation, log_in: LogIn):
    write(chat, "STOP", consent="opt_out")
    opt_out(account=client_member.account, number=PHONE, source="reply", detail="STOP")
    browser = log_in(client_member.user)
    page = words(get(browser, url("conversation", chat)))
    assert "Opted out with this message" in page
    assert "(reply from the phone: “STOP”). Nothing is sent to this phone." in page
    opt_in(account=client_member.account, number=PHONE, reason="asked on the telephone")
    page = words(get(browser, url("conversation", chat)))
    assert "Opted out with this message" in page
    assert "Nothing is sent to this phone" not in page


def test_parts_that_never_came_are_told(chat: Conversation, client_member: Member, log_in: LogIn):
    write(chat, "Half of […]", missing=2)
    assert "2 parts never came" in words(get(log_in(client_member.user), url("conversation", chat)))


def test_a_long_thread_is_read_in_pages_from_its_end(client_member: Member, chat: Conversation, log_in: LogIn):
    for number in range(60):
        write(chat, f"number {number:03d}")
    latest = thread_of(chat)
    assert [entry.text for entry in latest.entries] == [f"number {number:03d}" for number in range(10, 60)]
    before = thread_of(chat, latest.older)
    assert [entry.text for entry in before.entries][-1] == "number 009"
    assert (len(before.entries), before.older) == (11, None)
    page = get(log_in(client_member.user), url("conversation", chat), older=str(latest.older))
    assert "number 009" in page
    assert "number 010" not in page.split('class="thread-scroll"')[1]
    assert "Latest messages" in page


def test_another_tenants_conversation_is_not_there(chat: Conversation, outsider: Member, reseller: Member, log_in):
    for member in (outsider, reseller):
        for name in ("conversation", "conversation-thread"):
            assert log_in(member.user).get(url(name, chat)).status_code == 404


# --- Replying ------------------------------------------------------------------------------------------------------


def test_a_reply_goes_from_the_number_once_at_the_price_shown(client_member: Member, chat: Conversation, log_in: LogIn):
    browser = log_in(client_member.user)
    page = get(browser, url("conversation", chat))
    assert "AUD 0.1000 a part of 160 characters" in words(page)
    key, price = (re.search(rf'name="{name}" value="(.*?)"', page)[1] for name in ("key", "unit_price"))
    text = "Yes, from ten. " * 12  # two parts
    for _ in range(2):
        answer = send(browser, chat, text, Decimal(price), key)
        assert (answer.status_code, answer["Location"]) == (302, url("conversation", chat))
    message = Message.objects.select_related("batch").get()
    assert (message.sender, message.recipient, message.parts, message.price) == (NUMBER, PHONE, 2, 2 * UNIT)
    assert (message.batch.door, message.batch.created_by) == ("web", client_member.user)
    assert Hold.objects.get().amount == Decimal("0.20")
    chat.refresh_from_db()
    assert chat.last_text == text.strip()[:160] or chat.last_text == text[:160]
    assert text.strip() in get(browser, url("conversation", chat))


def test_a_price_that_changed_is_refused_shown_and_then_agreed_to(
    client_member: Member, chat: Conversation, log_in: LogIn
):
    browser = log_in(client_member.user)
    Rate.objects.filter(prefix="614915").update(price=Decimal("0.09"))
    answer = send(browser, chat, "Kept <b>words</b>")
    page = unescape(answer.content.decode())
    assert "The price has changed from AUD 0.10 to AUD 0.11 since the preview." in words(page)
    assert "Kept <b>words</b>" in page
    assert 'name="unit_price" value="0.110000"' in page
    assert not Message.objects.exists()
    assert send(browser, chat, "Kept <b>words</b>", Decimal("0.11")).status_code == 302
    assert Message.objects.get().price == Decimal("0.11")


def suspend(conversation: Conversation) -> None:
    today = timezone.localdate()
    Subscription.objects.filter(lease__number=conversation.number).update(
        state="suspended", due_since=today - timedelta(days=7), suspended_since=today
    )


def release(conversation: Conversation) -> None:
    Lease.objects.filter(number=conversation.number).update(ended_at=timezone.now())


def let_only_receive(conversation: Conversation) -> None:
    VirtualNumber.objects.filter(pk=conversation.number_id).update(capabilities=["sms_in"])


def stop(conversation: Conversation) -> None:
    opt_out(account=conversation.account, number=conversation.phone, source="reply", detail="STOP")


def drop_prices(conversation: Conversation) -> None:
    Rate.objects.all().delete()


BLOCKS = {
    suspend: "is suspended until its rental is paid",
    release: "is no longer yours",
    let_only_receive: "only receives",
    stop: "has opted out",
    drop_prices: "cannot be replied to. ",
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_a_reply_that_cannot_be_sent_is_blocked_with_the_reason_and_loses_no_text(
    client_member: Member, chat: Conversation, log_in: LogIn, block
):
    browser = log_in(client_member.user)
    block(chat)
    page = get(browser, url("conversation", chat))
    assert BLOCKS[block] in page
    assert 'name="text"' not in page
    answer = send(browser, chat, "Kept words")  # from a page that was open already
    page = unescape(answer.content.decode())
    assert answer.status_code == 200
    assert "Kept words" in page
    assert re.search(r'<button class="btn btn-primary" type="submit" disabled>', page)
    assert not Batch.objects.exists()
    assert balance_of(client_member.account).available == Decimal(10)


def test_a_trial_that_is_over_blocks_the_reply_with_its_reason(client_member: Member, chat: Conversation):
    terms = BillingTerms.objects.filter(account=client_member.account)
    terms.update(trial_ends_on=timezone.localdate() - timedelta(days=2))
    assert "trial of this account ended" in reply_terms(chat).refusal


@pytest.mark.parametrize("phone", ["MyBank", "12345", "+61291234567"])
def test_a_sender_that_is_no_mobile_is_not_replied_to(client_member: Member, phone: str, log_in: LogIn):
    conversation = make_conversation(client_member, phone)
    write(conversation, "Your code is 1234")
    page = get(log_in(client_member.user), url("conversation", conversation))
    assert f"{phone} cannot be replied to: it is no mobile number." in page


def test_too_little_money_is_told_and_the_text_stays(client_member: Member, chat: Conversation, log_in: LogIn):
    accept(client_member, ["+61491570110"], "x" * 1500)  # ten parts
    while balance_of(client_member.account).available >= UNIT:
        accept(client_member, ["+61491570110"], "x" * 1500)
    page = unescape(send(log_in(client_member.user), chat, "Kept words").content.decode())
    assert "are missing" in page
    assert "Kept words" in page


@pytest.mark.parametrize(("text", "problem"), [("", "Enter the text"), ("x" * 1531, "at most 10 are possible")])
def test_an_impossible_text_is_refused_at_its_field(
    client_member: Member, chat: Conversation, log_in: LogIn, text: str, problem: str
):
    page = unescape(send(log_in(client_member.user), chat, text).content.decode())
    assert problem in words(page)
    assert f">\n{text}</textarea>" in page
    assert not Batch.objects.exists()


def test_a_client_billed_to_its_parent_replies_without_seeing_an_amount(
    reseller: Member, billed_member: Member, log_in: LogIn
):
    conversation = make_conversation(billed_member)
    write(conversation)
    browser = log_in(billed_member.user)
    page = get(browser, url("conversation", conversation))
    assert amounts_in(page) == []
    assert "160 characters make one part" in page
    assert send(browser, conversation, price=None).status_code == 302
    assert Message.objects.get().payer == reseller.account
    assert amounts_in(get(browser, url("conversation", conversation))) == []


def test_who_only_views_reads_and_changes_nothing(client_member: Member, chat: Conversation, log_in: LogIn):
    viewer = create_member(
        account=client_member.account, email="viewer@test.example", name="Vi Ewer", password=PASSWORD, actor=None
    )
    Membership.objects.filter(user=viewer).update(role="viewer")
    browser = log_in(viewer)
    page = get(browser, url("conversation", chat))
    assert "Do you open on Sunday?" in page
    assert "Your role lets you read" in page
    assert "<textarea" not in page
    assert "Mark" not in page
    for name in ("conversation-reply", "conversation-read", "conversation-assign"):
        assert browser.post(url(name, chat), {"text": "x"}).status_code == 403
    chat.refresh_from_db()
    assert (chat.unread, chat.assigned_to, Batch.objects.count()) == (1, None, 0)


# --- Reading and assigning -----------------------------------------------------------------------------------------


def test_looking_marks_nothing_as_read_and_posting_does(client_member: Member, chat: Conversation, log_in: LogIn):
    browser = log_in(client_member.user)
    page = get(browser, url("conversation", chat))
    browser.get(url("conversation-thread", chat), headers={"HX-Request": "true"})
    chat.refresh_from_db()
    assert chat.unread == 1
    newest = re.search(r'name="newest" value="(.*?)"', page)[1]
    assert browser.post(url("conversation-read", chat), {"newest": newest}).status_code == 302
    chat.refresh_from_db()
    assert chat.unread == 0
    assert 'name="newest"' not in get(browser, url("conversation", chat))


def test_what_came_after_the_page_was_drawn_stays_unread(chat: Conversation):
    seen = InboundMessage.objects.get()
    write(chat, "and on Monday?")
    mark_read(conversation=chat, newest=seen.pk)
    chat.refresh_from_db()
    assert chat.unread == 1
    mark_read(conversation=chat, newest=seen.pk)  # again, as of another window
    chat.refresh_from_db()
    assert chat.unread == 1


def test_a_conversation_is_marked_unread_again(client_member: Member, chat: Conversation, log_in: LogIn):
    Conversation.objects.update(unread=0)
    answer = log_in(client_member.user).post(f"{url('conversation-read', chat)}?show=mine", {"as": "unread"})
    assert answer["Location"] == "/inbox/?show=mine"
    chat.refresh_from_db()
    assert chat.unread == 1


def test_a_conversation_is_given_to_one_of_the_accounts_people_only(
    client_member: Member, outsider: Member, chat: Conversation, log_in: LogIn
):
    browser = log_in(client_member.user)
    own = client_member.user.username
    page = get(browser, url("conversation", chat))
    assert re.findall(r'<option value="(.+?)"', page) == [own]
    browser.post(url("conversation-assign", chat), {"user": outsider.user.username})
    chat.refresh_from_db()
    assert chat.assigned_to is None
    browser.post(url("conversation-assign", chat), {"user": own})
    chat.refresh_from_db()
    assert chat.assigned_to == client_member.user
    assert AuditEntry.objects.filter(action="conversation.assigned", subject=chat.code).count() == 1
    browser.post(url("conversation-assign", chat), {"user": ""})
    chat.refresh_from_db()
    assert chat.assigned_to is None


def test_a_message_that_arrives_while_the_thread_is_marked_read_stays_unread(committed_db, client_member: Member):
    VirtualNumber.objects.create(number=NUMBER, country="AU")  # nobody's: a lease without its charges is no true book
    chat = make_conversation(client_member)
    seen = write(chat)
    outcome: list[Exception | None] = []

    def read() -> None:
        try:
            outcome.append(mark_read(conversation=chat, newest=seen.pk))
        except Exception as error:
            outcome.append(error)
        finally:
            connections.close_all()

    with transaction.atomic():
        write(chat, "just arriving")
        reader = threading.Thread(target=read)
        reader.start()
        wait_for_a_waiting_lock()
    reader.join(30)
    chat.refresh_from_db()
    assert (outcome, chat.unread) == ([None], 1)


def wait_for_a_waiting_lock() -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise TimeoutError("nobody waits for the conversation")


# --- Refreshing ----------------------------------------------------------------------------------------------------


def polls(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'hx-get="(.*?)"', page)]


def test_refreshing_brings_what_is_new_and_never_the_reply_box(
    client_member: Member, chat: Conversation, log_in: LogIn
):
    browser = log_in(client_member.user)
    listing, thread = polls(get(browser, url("conversation", chat)))
    htmx = {"HX-Request": "true"}
    assert [browser.get(one, headers=htmx).status_code for one in (listing, thread)] == [204, 204]
    write(make_conversation(client_member, OTHER_PHONE), "somebody else")
    assert browser.get(thread, headers=htmx).status_code == 204
    rows = browser.get(listing, headers=htmx).content.decode()
    assert "somebody else" in rows
    assert re.search(r'id="inbox-unread" hx-swap-oob="true">2<', rows)
    assert f'id="conversation-{chat.code}"' in rows.split('aria-current="page"')[0]
    write(chat, "and on Monday?")
    fragment = browser.get(thread, headers=htmx).content.decode()
    assert "and on Monday?" in fragment
    assert "<textarea" not in fragment + rows
    assert "<html" not in fragment + rows


@pytest.mark.parametrize("change", ["state", "opt-out", "action"])
def test_a_thread_is_new_when_a_state_an_opt_out_or_an_action_is(
    client_member: Member, chat: Conversation, change: str
):
    batch = accept(client_member, [PHONE], "Yes", sender=NUMBER)
    action = set_off(InboundMessage.objects.get(), "forward_email", "boss@shop.example", "waiting")
    before = thread_of(chat).digest
    assert thread_of(chat).digest == before
    if change == "state":
        settle_as(batch, "delivered")
    elif change == "opt-out":
        stop(chat)
    else:
        type(action).objects.update(state="done")
    assert thread_of(chat).digest != before


def test_pages_of_the_past_do_not_refresh(client_member: Member, log_in: LogIn):
    fill_inbox(client_member, PAGE_SIZE + 1)
    browser = log_in(client_member.user)
    older = re.search(r"before=([\w.]+)", get(browser, "/inbox/"))[1]
    assert polls(get(browser, "/inbox/", before=older)) == []


def test_an_account_with_credits_replies_for_credits(reseller: Member, log_in: LogIn):
    member = make_credits_client(reseller)
    give(member, 5)
    conversation = make_conversation(member)
    write(conversation)
    browser = log_in(member.user)
    page = get(browser, url("conversation", conversation))
    assert "1 credit a part of 160 characters" in words(page)
    assert "AUD" not in page
    assert send(browser, conversation, price=Decimal(1)).status_code == 302
    assert (Hold.objects.get().amount, Hold.objects.get().currency) == (Decimal(1), "SMS")
