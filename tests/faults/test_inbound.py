"""Processes are killed with -9 while phones text: nothing is lost or doubled, and all that follows is done once."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from django.db import InterfaceError, OperationalError, connections
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Account, OutgoingMail
from billing.services import ledger
from contacts.models import ContactList, ListMember
from messaging.models import Conversation, InboundAction, InboundMessage, InboundPart, Message
from reseller.run.stack import Stack
from smpp.control import ControlError, ask
from tests.conftest import differences
from tests.messaging.receiver import Receiver, receiving
from virtual_numbers.models import NumberPrice, VirtualNumber
from virtual_numbers.services.leasing import lease
from virtual_numbers.services.settings import save_settings

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_db")]

CLIENT = "client@demo.example"
COUNT = 100  # half of them before the death, when a tenth has been answered, and half while it is dead
PATIENCE = 180.0  # seconds until all is done
LONG = "Words that need more than one part, said again and again. " * 6
# What has a part in the way of an inbound message.
VICTIMS = ["connectors", "worker-settle", "worker-webhooks", "beat", "simulator", "postgres", "valkey"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def wait_until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    """Poll, also while the database is away."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (OperationalError, InterfaceError):
            connections.close_all()
        time.sleep(0.2)
    raise TimeoutError(f"after {PATIENCE:.0f} s: {what()}")


def lease_number(number: str, account: Account, receiver: Receiver) -> tuple[VirtualNumber, ContactList]:
    """A number of the account's that replies, adds to a list, forwards by mail and posts."""
    row = VirtualNumber.objects.create(number=number, country="AU", capabilities=["sms_in", "sms_out"])
    NumberPrice.objects.create(number=row, currency=account.currency, monthly=Decimal(1))
    friends = ContactList.objects.create(account=account, name=f"Texted {number}")
    leased = lease(account=account, number=row, expected=None, actor=None, now=timezone.now())
    save_settings(
        lease=leased, holder=account, actor=None, first_reply="Thanks, {first_name|friend}", later_reply="Again?",
        contact_list=friends, forward_emails=["faults@demo.example"], forward_mobiles=[], forward_url=receiver.url,
    )  # fmt: skip
    return row, friends


def text(stack: Stack, phone: str, number: str, words: str) -> None:
    """Let a phone text, also while the simulator starts again: it has a text once it has answered."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            ask(int(stack.env["SIMULATOR_CONTROL_PORT"]), do="text", phone=phone, to=number, text=words)
        except ControlError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("the simulator did not come back")


def actions_of(number: VirtualNumber) -> QuerySet[InboundAction]:
    """What the texts to the number have set off."""
    return InboundAction.objects.filter(message_id__in=InboundMessage.objects.filter(number=number).values("pk"))


def states_of(number: VirtualNumber) -> Counter[tuple[str, str, str]]:
    return Counter(actions_of(number).values_list("kind", "state", "error"))


def all_done(number: VirtualNumber) -> bool:
    """Every text is a message, and every action and every reply has come to its end."""
    messages = InboundMessage.objects.filter(number=number)
    if messages.values("sender").distinct().count() < COUNT:
        return False
    mine = actions_of(number)
    sent = Message.objects.filter(sender=number.number)
    return (
        mine.count() >= 4 * COUNT
        and not mine.filter(state="waiting").exists()
        and not sent.filter(state__in=("queued", "released", "sending", "sent")).exists()
        and not InboundPart.objects.filter(recipient=number.number, handled_at=None).exists()
    )


def check(number: VirtualNumber, friends: ContactList, texts: dict[str, str], receiver: Receiver) -> None:
    """Each text is one message of one conversation, and each of its actions was done once."""
    messages = list(InboundMessage.objects.filter(number=number))
    assert {m.sender: m.text for m in messages} == texts
    assert len(messages) == COUNT
    assert set(Conversation.objects.filter(number=number).values_list("unread", flat=True)) == {1}
    actions = actions_of(number)
    assert Counter(actions.values_list("kind", "state")) == {
        (kind, "done"): COUNT for kind in ("add_to_list", "reply", "forward_email", "forward_url")
    }
    replies = Counter(Message.objects.filter(sender=number.number).values_list("recipient", flat=True))
    assert replies == dict.fromkeys(texts, 1)
    assert ListMember.objects.filter(contact_list=friends).count() == COUNT
    mails = OutgoingMail.objects.filter(key__in=[f"inbound-action-{pk}" for pk in actions.values_list("pk", flat=True)])
    assert mails.count() == COUNT
    # An answer may get lost after the server has acted: then the call comes again, under the same id.
    calls = {headers["X-Relay-Id"] for _, headers, _ in receiver.calls}
    assert calls == {str(pk) for pk in actions.filter(kind="forward_url").values_list("pk", flat=True)}


@pytest.mark.parametrize("victim", VICTIMS)
def test_texts_survive_the_death_of(victim: str, stack: Stack, receiver: Receiver) -> None:
    account = Account.objects.get(memberships__user__email=CLIENT)
    ledger.manual_payment(account=account, amount=Decimal(100), key=f"texts-{victim}", reason="fault test", actor=None)
    number, friends = lease_number(f"+6148888000{VICTIMS.index(victim)}", account, receiver)
    texts = {
        f"+6142{VICTIMS.index(victim)}{index + 31_000:06d}": f"{index} {victim} {LONG if index % 5 == 0 else 'hello'}"
        for index in range(COUNT)
    }
    pairs = list(texts.items())

    for phone, words in pairs[: COUNT // 2]:
        text(stack, phone, number.number, words)
    wait_until(
        lambda: actions_of(number).filter(kind="reply", state="done").count() >= COUNT // 10, lambda: states_of(number)
    )
    old = stack.kill(victim)
    for phone, words in pairs[COUNT // 2 :]:
        text(stack, phone, number.number, words)
    stack.wait_restarted(victim, old)
    wait_until(lambda: all_done(number), lambda: states_of(number))

    check(number, friends, texts, receiver)
    assert differences() == []
