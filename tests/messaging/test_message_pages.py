"""Messages: the list with its filters and keyset pages, one message's way, and why it costs what it costs."""

import uuid
from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Membership
from messaging.keyset import PAGE_SIZE, Cursor
from messaging.models import Message, MessagePart, Receipt
from messaging.periods import uuid_floor
from messaging.selectors import Chosen, page_of_messages
from tests.cast import LogIn, Member, fund, make_client, make_member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, amounts_in, move_to, receive, settle_as, words


@pytest.fixture
def grandchild(client_member: Member) -> Member:
    """A client of the reseller's client, 0.01 a part above it; wallet 5.00."""
    client_member.account.can_have_children = True
    client_member.account.save(update_fields=["can_have_children"])
    member = make_client(client_member, "Grandchild", sms_margin=Decimal("0.01"))
    fund(member, "5")
    return member


def listed(browser, query: str = "") -> list[str]:
    response = browser.get(f"/messages/{query}")
    assert response.status_code == 200
    return [message.recipient for message, _ in response.context["rows"]]


def detail(member: Member, message: Message, log_in: LogIn) -> str:
    response = log_in(member.user).get(f"/messages/{message.pk}/")
    assert response.status_code == 200
    return words(response.content.decode())


def test_a_message_is_seen_by_its_account_and_those_above_and_by_nobody_else(
    client_member: Member, billed_member: Member, reseller: Member, outsider: Member, log_in: LogIn
):
    accept(client_member)
    key = Message.objects.get().pk
    for member, status in [(client_member, 200), (reseller, 200), (billed_member, 404), (outsider, 404)]:
        assert log_in(member.user).get(f"/messages/{key}/").status_code == status, member.account
    assert log_in(reseller.user).get(f"/messages/{uuid.uuid4()}/").status_code == 404
    assert listed(log_in(outsider.user)) == []


def test_every_role_may_read_messages(client_member: Member, log_in: LogIn):
    accept(client_member)
    for role in Membership.Role:
        Membership.objects.filter(user=client_member.user).update(role=role)
        assert listed(log_in(client_member.user)) == [AU], role


def test_the_list_filters_by_state_recipient_client_and_batch(
    client_member: Member, billed_member: Member, reseller: Member, log_in: LogIn
):
    first = accept(client_member, [AU, AU_DEAR])
    accept(billed_member, [NZ])
    Message.objects.filter(recipient=AU).update(state="rejected")
    Message.objects.filter(recipient=NZ).update(state="expired")
    browser = log_in(reseller.user)

    assert listed(browser) == [NZ, AU_DEAR, AU]
    assert listed(browser, "?state=rejected") == [AU]
    assert listed(browser, "?state=all-failed") == [NZ, AU]
    assert listed(browser, "?state=all-waiting") == [AU_DEAR]
    assert listed(browser, "?recipient=0412+345+678") == [AU]
    assert listed(browser, "?recipient=%2B61491570156") == [AU_DEAR]
    assert listed(browser, f"?client={billed_member.account.code}") == [NZ]
    assert listed(browser, f"?batch={first.code}") == [AU_DEAR, AU]
    assert listed(browser, f"?batch={first.code}&state=rejected") == [AU]
    assert log_in(billed_member.user).get(f"/messages/?batch={first.code}").status_code == 404
    form = browser.get("/messages/?recipient=abc").context["form"]
    assert "abc is no telephone number" in form.errors["recipient"][0]


def test_a_clients_branch_is_listed_with_it(client_member: Member, grandchild: Member, reseller: Member, log_in: LogIn):
    accept(grandchild, [NZ])
    accept(client_member, [AU])
    assert listed(log_in(reseller.user), f"?client={client_member.account.code}") == [AU, NZ]
    assert listed(log_in(reseller.user), f"?client={grandchild.account.code}") == [NZ]
    assert listed(log_in(grandchild.user)) == [NZ]


def test_the_period_means_days_of_the_accounts_zone(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    day = timezone.localdate() - timedelta(days=10)
    move_to(batch, datetime.combine(day, time(23, 59, 59, 500_000), tzinfo=ZoneInfo("Australia/Sydney")))
    browser = log_in(client_member.user)
    for one, found in [(day, [AU]), (day + timedelta(days=1), []), (day - timedelta(days=1), [])]:
        assert listed(browser, f"?first={one}&last={one}") == found, one
    form = browser.get("/messages/?first=2026-11-11&last=2026-11-10").context["form"]
    assert form.errors["first"] == ["From (2026-11-11) is after To (2026-11-10); choose an earlier day."]
    form = browser.get("/messages/?first=2024-11-11&last=2026-11-10").context["form"]
    assert form.errors["first"] == ["The period has 730 days; choose at most 366."]


def test_pages_follow_each_other_without_gap_or_repetition(
    client_member: Member, billed_member: Member, reseller: Member
):
    fund(client_member, "50")
    accept(client_member, [f"+614{10_000_000 + number}" for number in range(PAGE_SIZE + 20)])
    accept(billed_member, [f"+614{20_000_000 + number}" for number in range(PAGE_SIZE + 20)])
    chosen = Chosen([reseller.account, client_member.account, billed_member.account])
    everything = list(Message.objects.order_by("-pk").values_list("pk", flat=True))

    seen, cursor, pages = [], Cursor(), []
    while True:
        page = page_of_messages(reseller.account, chosen, cursor)
        seen += [message.pk for message in page.rows]
        pages.append(page)
        if page.older is None:
            break
        cursor = Cursor(before=page.older)
    assert seen == everything
    assert [len(page.rows) for page in pages] == [50, 50, 40]
    assert pages[0].newer is None

    back = page_of_messages(reseller.account, chosen, Cursor(after=pages[2].newer))
    assert [message.pk for message in back.rows] == [message.pk for message in pages[1].rows]
    assert back.older is not None
    first = page_of_messages(reseller.account, chosen, Cursor(after=back.newer))
    assert [message.pk for message in first.rows] == everything[:PAGE_SIZE]
    assert first.newer is None


def test_a_page_of_one_account_is_read_from_its_index(client_member: Member):
    accept(client_member)
    with connection.cursor() as db:
        # With a few rows any index and a sort will do; forbidden, a sort is left only where the right index is missing.
        for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            db.execute(f"SET LOCAL enable_{way} = off")
        db.execute(
            "EXPLAIN SELECT id FROM messaging_message WHERE account_id = %s AND id < %s ORDER BY id DESC LIMIT 51",
            [client_member.account.pk, uuid.UUID(int=2**128 - 1)],
        )
        plan = "\n".join(row[0] for row in db.fetchall())
    assert "account_id" in plan
    assert "Sort" not in plan


def test_the_timeline_tells_the_way_in_order(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    start = timezone.now() + timedelta(seconds=1)
    settle_as(
        batch, "delivered", released_at=start, sending_at=start + timedelta(seconds=1),
        sent_at=start + timedelta(seconds=3), done_at=start + timedelta(seconds=4), carrier_id="C-77",
        settled_at=start + timedelta(seconds=9),
    )  # fmt: skip
    receipt = receive(Message.objects.get(), "DELIVRD")
    early = uuid_floor(start + timedelta(seconds=2))  # before the answer to the submit
    Receipt.objects.filter(pk=receipt.pk).update(id=early)
    text = detail(client_member, Message.objects.get(), log_in)

    titles = [
        "Accepted", "through Web, by Client", "Released to the carrier", "Submitted to the carrier",
        "Receipt: Delivered to the handset DELIVRD 000", "Accepted by the carrier", "Its id there: C-77", "Charged",
    ]  # fmt: skip
    way = text[text.index("What happened") :]
    assert [way.index(title) for title in titles] == sorted(way.index(title) for title in titles)


@pytest.mark.parametrize(
    ("state", "values", "sentence"),
    [
        ("rejected", {"error_code": "0x0000000B", "reason": "Invalid address"}, "Refused by the carrier 0x0000000B"),
        ("cancelled", {}, "Cancelled before it was submitted"),
        ("expired", {"sent_at": timezone.now()}, "No receipt came in time"),
        ("failed", {"error_code": "X1"}, "Failed X1"),
    ],
)
def test_the_timeline_says_how_a_message_ended(
    client_member: Member, log_in: LogIn, state: str, values: dict, sentence: str
):
    settle_as(accept(client_member), state, **values)
    assert sentence in detail(client_member, Message.objects.get(), log_in)


@pytest.mark.parametrize(("state", "is_charged"), [("rejected", False), ("cancelled", False), ("undelivered", True)])
def test_what_no_carrier_took_is_listed_as_not_charged(
    client_member: Member, log_in: LogIn, state: str, is_charged: bool
):
    settle_as(accept(client_member), state)
    row = words(log_in(client_member.user).get("/messages/").content.decode())
    assert ("AUD 0.0700" in row, "not charged" in row) == (is_charged, not is_charged)
    assert ("Not charged:" in detail(client_member, Message.objects.get(), log_in)) is not is_charged


def test_parts_of_a_long_message_are_listed(client_member: Member, log_in: LogIn):
    batch = accept(client_member, text="a" * 161)
    settle_as(batch, "sent")
    message = Message.objects.get()
    for part, state in [(1, "delivered"), (2, "")]:
        MessagePart.objects.create(
            message_id=message.pk, part=part, route=message.route, carrier_id=f"C-{part}", state=state
        )
    text = detail(client_member, message, log_in)
    assert "1 of 2 C-1 Delivered" in text
    assert "2 of 2 C-2 No receipt yet" in text


# --- Why this price: as far as the viewer may see (reseller 0.05, client 0.07, grandchild 0.08) --------------------


def test_each_viewer_sees_prices_from_its_own_level_down(
    client_member: Member, grandchild: Member, reseller: Member, log_in: LogIn
):
    accept(grandchild, text="a" * 161)
    message = Message.objects.get()

    top = detail(reseller, message, log_in)
    assert (
        "Your price AUD 0.0500 AUD 0.10 Client +0.0200 AUD 0.0700 AUD 0.14 Grandchild pays +0.0100 AUD 0.0800 AUD 0.16"
        in top
    )
    middle = detail(client_member, message, log_in)
    assert "Your price AUD 0.0700 AUD 0.14 Grandchild pays +0.0100 AUD 0.0800 AUD 0.16" in middle
    bottom = detail(grandchild, message, log_in)
    assert "Your price pays AUD 0.0800 AUD 0.16" in bottom
    for text, secrets in [(middle, ["0.0500", "0.0200"]), (bottom, ["0.0500", "0.0700", "0.0200", "0.0100"])]:
        assert [secret for secret in secrets if secret in text] == []
    assert "begins with +61 (Australia)" in bottom


def test_a_paying_parent_sees_its_price_and_the_display_price_and_its_client_nothing(
    billed_member: Member, reseller: Member, log_in: LogIn
):
    settle_as(accept(billed_member, text="a" * 161), "delivered", settled_at=timezone.now())
    message = Message.objects.get()
    receive(message, "DELIVRD")

    text = detail(reseller, message, log_in)
    assert "Your price pays AUD 0.0500 AUD 0.10" in text
    assert "Display price for Billed what to bill; see Client activity AUD 0.0900 AUD 0.18" in text
    for path in (f"/messages/{message.pk}/", "/messages/"):
        assert amounts_in(log_in(billed_member.user).get(path).content.decode()) == [], path


def test_an_account_under_a_billed_client_shows_nothing_to_it(reseller: Member, log_in: LogIn):
    parent = make_member(reseller.account, "Middle", can_have_children=True, terms={"method": "bill_to_parent"})
    child = make_member(parent.account, "Low", terms={"method": "bill_to_parent"})
    accept(child)
    message = Message.objects.get()
    for member in (parent, child):
        assert amounts_in(log_in(member.user).get(f"/messages/{message.pk}/").content.decode()) == []
    assert "Display price for Middle" in detail(reseller, message, log_in)
