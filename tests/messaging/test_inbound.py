"""From stored parts to messages, conversations and actions (messaging/services/inbound.py)."""

import pytest

from messaging.models import Conversation, InboundPart
from tests.cast import Member
from tests.keywords.scene import NUMBER, hold_number
from tests.messaging.inbound_scene import PHONE, actions, bring, receive
from virtual_numbers.models import VirtualNumber


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


def test_a_message_reaches_its_holder_and_a_conversation(client_member: Member, number: VirtualNumber):
    part = bring("Hello there", to=NUMBER)

    [message] = receive()

    assert (message.pk, message.account, message.number, message.keyword) == (
        part, client_member.account, number, None,
    )  # fmt: skip
    assert (message.sender, message.recipient, message.text, message.parts, message.missing, message.consent) == (
        PHONE, NUMBER, "Hello there", 1, 0, "",
    )  # fmt: skip
    conversation = Conversation.objects.get()
    assert message.conversation == conversation
    assert (conversation.account, conversation.number, conversation.phone) == (client_member.account, number, PHONE)
    assert (conversation.unread, conversation.last_text) == (1, "Hello there")
    assert conversation.last_inbound_at == conversation.last_at
    stored = InboundPart.objects.get()
    assert stored.handled_at
    assert stored.message_id == message.pk
    assert actions() == []
