"""What inbound messages set off is done once, or says why not (messaging/services/inbound_actions.py)."""

from decimal import Decimal

import pytest

from accounts.models import OutgoingMail
from billing.selectors import balance_of
from contacts.models import ContactList, ListMember, OptOut
from messaging.models import Batch, InboundAction, Message
from messaging.services.inbound_actions import do_waiting
from tests.cast import Member
from tests.keywords.scene import NUMBER, hold_number, put_keyword, set_number
from tests.messaging.inbound_scene import OTHER_PHONE, PHONE, actions, bring, receive
from virtual_numbers.models import VirtualNumber

D = Decimal


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


def do() -> None:
    """Handle what came and do what it sets off."""
    receive()
    do_waiting(10_000)


def test_a_keyword_replies_lists_and_forwards(client_member: Member, number: VirtualNumber):
    friends = ContactList.objects.create(account=client_member.account, name="Friends")
    put_keyword(
        client_member, number, "join", first_reply="Welcome!", later_reply="Again?", contact_list=friends,
        forward_emails=["shop@test.example"], forward_mobiles=[OTHER_PHONE],
    )  # fmt: skip
    bring("JOIN please", to=NUMBER)

    do()

    assert actions() == [
        ("add_to_list", friends.code, "done"), ("reply", "", "done"), ("forward_email", "shop@test.example", "done"),
        ("forward_mobile", OTHER_PHONE, "done"),
    ]  # fmt: skip
    assert ListMember.objects.get().contact.number == PHONE
    sent = {m.recipient: m for m in Message.objects.select_related("batch")}
    assert sent[PHONE].batch.text == "Welcome!"
    assert sent[OTHER_PHONE].batch.text == f"{PHONE} to keyword join: JOIN please"
    for message in sent.values():
        assert (message.sender, message.batch.door, message.price) == (NUMBER, Batch.Door.KEYWORD, D("0.07"))
    assert balance_of(client_member.account).held == D("0.14")
    mail = OutgoingMail.objects.get()
    assert mail.to == "shop@test.example"
    assert mail.subject == f"Message from {PHONE} to {NUMBER}"
    assert "JOIN please" in mail.text
    reply = InboundAction.objects.get(kind="reply")
    assert (reply.batch, reply.attempts) == (sent[PHONE].batch, 1)
    assert reply.done_at
