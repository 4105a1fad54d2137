"""Staff see what came in, what belongs to nobody first, and have failed actions tried again."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from messaging.models import InboundAction, InboundMessage, InboundPart, Route
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.scene import NUMBER, PHONE, put_keyword
from tests.messaging.inbound_rows import make_conversation, set_off, write
from tests.messaging.rows import words

MESSAGES, PARTS, ACTIONS = (
    reverse(f"admin:messaging_{name}_changelist") for name in ("inboundmessage", "inboundpart", "inboundaction")
)


@pytest.fixture
def staff(log_in: LogIn, db: None) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


@pytest.fixture
def joined(client_member: Member) -> InboundMessage:
    """A message of the client's conversation that a keyword took."""
    conversation = make_conversation(client_member)
    return write(conversation, "join " * 20, keyword=put_keyword(client_member, conversation.number, "JOIN"))


def rows(page: bytes) -> str:
    return words(page.decode().split("<tbody", 1)[1].split("</tbody>")[0]) if b"<tbody" in page else ""


def test_messages_are_narrowed_to_those_of_nobody_first(staff: Client, joined: InboundMessage):
    InboundMessage.objects.create(route=joined.route, sender=PHONE, recipient="+61480009999", text="anybody there?")
    filters = re.findall(r"[?&;]([a-z_]+)=", staff.get(MESSAGES).content.decode().split("changelist-filter", 1)[1])
    assert filters[0] == "routing"
    assert "anybody there?" in rows(staff.get(MESSAGES, {"routing": "unrouted"}).content)
    assert "join" not in rows(staff.get(MESSAGES, {"routing": "unrouted"}).content)
    routed = rows(staff.get(MESSAGES, {"routing": "routed"}).content)
    assert "JOIN" in routed
    assert "join join" in routed
    assert "…" in routed
    assert "anybody there?" not in routed


def test_a_message_shows_what_it_set_off_and_why_it_failed(staff: Client, joined: InboundMessage):
    set_off(joined, "forward_email", "boss@shop.example")
    set_off(joined, "forward_url", "https://shop.example/x", "failed", error="The server answered 500.")
    page = words(staff.get(reverse("admin:messaging_inboundmessage_change", args=[joined.pk])).content.decode())
    assert "Forward by e-mail boss@shop.example: done" in page
    assert "Forward to URL https://shop.example/x: failed The server answered 500." in page


def test_parts_that_wait_are_told_from_those_that_are_handled(staff: Client, joined: InboundMessage):
    route = Route.objects.get()
    long = {"route": route, "sender": PHONE, "recipient": NUMBER, "reference": "7", "total": 3}
    InboundPart.objects.create(**long, sequence=2, text="waits", octets=b"waits")
    InboundPart.objects.create(route=route, sender=PHONE, recipient=NUMBER, text="done", handled_at="2026-11-20T00:00Z")
    assert "2 of 3" in rows(staff.get(PARTS, {"handling": "waiting"}).content)
    assert "1 of 1" not in rows(staff.get(PARTS, {"handling": "waiting"}).content)
    assert "1 of 1" in rows(staff.get(PARTS, {"handling": "handled"}).content)
    part = InboundPart.objects.get(sequence=2)
    page = staff.get(reverse("admin:messaging_inboundpart_change", args=[part.pk]))
    assert "waits" in page.content.decode()


@pytest.mark.parametrize("found", ["key", "code"])
def test_lists_are_searched_by_what_has_an_index(staff: Client, joined: InboundMessage, found: str):
    set_off(joined, "reply", state="skipped")
    term = str(joined.pk) if found == "key" else joined.account.code.lower()
    assert PHONE in rows(staff.get(MESSAGES, {"q": term}).content)
    assert "Left out" in rows(staff.get(ACTIONS, {"q": term}).content)
    assert PHONE not in rows(staff.get(MESSAGES, {"q": "join"}).content)


def test_failed_actions_are_tried_again_and_others_left_alone(staff: Client, joined: InboundMessage):
    failed = set_off(joined, "forward_email", "a@shop.example", "failed", attempts=8, error="Gone.")
    done = set_off(joined, "forward_email", "b@shop.example")
    answer = staff.post(ACTIONS, {"action": "retry", "_selected_action": [failed.pk, done.pk]}, follow=True)
    assert "1 action will be tried now" in answer.content.decode()
    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.state, failed.attempts, failed.error, done.state) == ("waiting", 0, "", "done")


def test_staff_that_may_only_look_cannot_try_again(joined: InboundMessage, log_in: LogIn):
    failed = set_off(joined, "forward_email", "a@shop.example", "failed", error="Gone.")
    looker = User.objects.create_user("looker", "looker@test.example", PASSWORD, name="Looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_inboundaction"))
    browser = log_in(looker)
    assert "Gone." in rows(browser.get(ACTIONS).content)
    browser.post(ACTIONS, {"action": "retry", "_selected_action": [failed.pk]})
    failed.refresh_from_db()
    assert failed.state == "failed"


@pytest.mark.parametrize("model", ["inboundmessage", "inboundpart", "inboundaction"])
def test_nothing_can_be_added_changed_or_deleted(staff: Client, joined: InboundMessage, model: str):
    set_off(joined, "reply")
    InboundPart.objects.create(route=joined.route, sender=PHONE, recipient=NUMBER, text="x")
    row = {"inboundmessage": InboundMessage, "inboundpart": InboundPart, "inboundaction": InboundAction}[model]
    key = row.objects.get().pk
    assert staff.get(reverse(f"admin:messaging_{model}_add")).status_code == 403
    assert staff.post(reverse(f"admin:messaging_{model}_change", args=[key]), {}).status_code == 403
    assert staff.post(reverse(f"admin:messaging_{model}_delete", args=[key]), {"post": "yes"}).status_code == 403
    assert row.objects.count() == 1
