"""From stored parts to messages, conversations and actions (messaging/services/inbound.py)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import Subscription
from contacts.models import OptOut
from messaging.models import Conversation, InboundAction, InboundMessage, InboundPart, Route
from messaging.services import inbound
from messaging.services.inbound import receive_waiting
from tests.cast import Member
from tests.keywords.scene import NUMBER, OTHER_NUMBER, hold_number, put_keyword, set_number
from tests.messaging.inbound_scene import OTHER_PHONE, PHONE, actions, age, bring, bring_long, receive
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.selectors import holder_of, number_of

LONG = "The quick brown fox jumps over the lazy dog. " * 8  # 360 characters, three parts


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


def test_one_conversation_counts_all_that_a_phone_writes_to_a_number(client_member: Member, number: VirtualNumber):
    hold_number(client_member, OTHER_NUMBER)
    bring("one", to=NUMBER)
    bring("two", to=NUMBER)
    receive()
    bring("three" + "x" * 200, to=NUMBER)
    bring("elsewhere", to=OTHER_NUMBER)
    bring("someone", to=NUMBER, sender=OTHER_PHONE)
    receive()

    found = {(c.number.number, c.phone): (c.unread, c.last_text) for c in Conversation.objects.select_related("number")}
    assert found == {
        (NUMBER, PHONE): (3, ("three" + "x" * 200)[:160]),
        (OTHER_NUMBER, PHONE): (1, "elsewhere"),
        (NUMBER, OTHER_PHONE): (1, "someone"),
    }
    assert [m.text for m in InboundMessage.objects.filter(conversation__phone=PHONE).order_by("pk")][:2] == [
        "one", "two",
    ]  # fmt: skip


# --- Long messages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 3, 1], [1, 1, 2, 2, 3, 3], [3, 2, 1, 1]])
def test_a_long_message_is_whole_in_whatever_order_its_parts_come(number: VirtualNumber, order: list[int]):
    for index, part in enumerate(order):
        assert not InboundMessage.objects.exists() or set(order[:index]) == {1, 2, 3}
        bring_long(LONG, to=NUMBER, order=[part])
        receive()

    message = InboundMessage.objects.get()
    assert (message.text, message.parts, message.missing) == (LONG, 3, 0)
    # A repetition that came before the message was whole belongs to none.
    assert set(InboundPart.objects.values_list("message_id", flat=True)) - {None} == {message.pk}
    assert not InboundPart.objects.filter(handled_at=None).exists()
    assert Conversation.objects.get().unread == 1


def test_characters_that_a_phone_split_over_two_parts_are_whole(number: VirtualNumber):
    octets = "We meet at 🦊 then".encode("utf-16-be")
    middle = octets.index("🦊".encode("utf-16-be")) + 2  # between the halves of the pair
    for sequence, piece in ((1, octets[:middle]), (2, octets[middle:])):
        bring(
            piece.decode("utf-16-be", "replace"), to=NUMBER, reference="9", total=2, sequence=sequence, octets=piece,
            data_coding=8,
        )  # fmt: skip
    [message] = receive()
    assert message.text == "We meet at 🦊 then"


def test_a_part_that_never_comes_is_named_in_the_text(number: VirtualNumber, settings):
    bring_long(LONG, to=NUMBER, order=[1, 3])
    assert receive() == []
    assert set(InboundPart.objects.values_list("handled_at", flat=True)) == {None}
    first = InboundPart.objects.order_by("pk")[0]
    waits = first.due_at - timezone.now()
    assert (
        timedelta(seconds=settings.INBOUND_PART_SECONDS - 30)
        < waits
        <= timedelta(seconds=settings.INBOUND_PART_SECONDS)
    )

    age(settings.INBOUND_PART_SECONDS + 1)
    [message] = receive()

    assert message.text == f"{LONG[:153]} [part 2 of 3 did not arrive] {LONG[306:].strip()}"
    assert (message.parts, message.missing) == (3, 1)
    assert InboundPart.objects.filter(message_id=message.pk).count() == 2


def test_a_part_that_comes_after_its_message_was_given_up_is_delivered_by_itself(number: VirtualNumber, settings):
    bring_long(LONG, to=NUMBER, order=[1, 3])
    age(settings.INBOUND_PART_SECONDS + 1)
    receive()
    bring_long(LONG, to=NUMBER, order=[2])
    receive()
    age(settings.INBOUND_PART_SECONDS + 1)

    first, second = receive()

    assert second.text == f"[part 1 of 3 did not arrive] {LONG[153:306]} [part 3 of 3 did not arrive]"
    assert (first.missing, second.missing) == (1, 2)


def test_a_message_whose_beginning_is_missing_takes_no_keyword(client_member: Member, number: VirtualNumber, settings):
    put_keyword(client_member, number, "join", first_reply="Hi")
    bring_long("join " + LONG, to=NUMBER, order=[2, 3])
    age(settings.INBOUND_PART_SECONDS + 1)
    [message] = receive()
    assert message.keyword is None
    assert actions() == []


def test_phones_and_references_are_not_mixed_up(number: VirtualNumber):
    other = LONG.upper()
    bring_long(LONG, to=NUMBER, order=[1])
    bring_long(other, to=NUMBER, order=[1], sender=OTHER_PHONE)
    bring_long("x" * 400, to=NUMBER, order=[3], reference=8)
    bring_long(other, to=NUMBER, order=[2, 3], sender=OTHER_PHONE)
    bring_long(LONG, to=NUMBER, order=[3, 2])
    assert {(m.sender, m.text) for m in receive()} == {(PHONE, LONG), (OTHER_PHONE, other)}


def test_a_reference_used_again_begins_a_new_message(number: VirtualNumber):
    bring_long(LONG, to=NUMBER)
    bring_long(LONG.upper(), to=NUMBER)
    assert [m.text for m in receive()] == [LONG, LONG.upper()]


# --- Repetitions ---------------------------------------------------------------------------------------------------


def test_what_the_carrier_brings_again_on_another_session_is_one_message(number: VirtualNumber):
    original = bring("Hello", to=NUMBER)
    receive()
    again = bring("Hello", to=NUMBER, session="2")

    [message] = receive()

    assert message.pk == original
    repeated = InboundPart.objects.get(pk=again)
    assert repeated.handled_at
    assert repeated.message_id == original
    assert Conversation.objects.get().unread == 1


def test_repetitions_in_one_set_are_one_message(number: VirtualNumber):
    for session in ("1", "2", "3"):
        bring("Hello", to=NUMBER, session=session)
    [message] = receive()
    assert set(InboundPart.objects.values_list("message_id", flat=True)) == {message.pk}


def test_who_writes_the_same_twice_has_said_it_twice(number: VirtualNumber):
    bring("ok", to=NUMBER)
    bring("ok", to=NUMBER)
    assert [m.text for m in receive()] == ["ok", "ok"]


def test_another_session_later_than_carriers_repeat_brings_a_new_message(number: VirtualNumber, settings):
    bring("ok", to=NUMBER)
    receive()
    age(settings.INBOUND_REPEAT_SECONDS + 1)
    bring("ok", to=NUMBER, session="2")
    assert len(receive()) == 2


def test_a_carriers_own_id_tells_repetitions_from_messages_for_a_week(number: VirtualNumber):
    bring("ok", to=NUMBER, carrier_id="A1", session="1")
    bring("ok", to=NUMBER, carrier_id="A2", session="2")
    receive()
    age(6 * 24 * 3600)
    bring("ok", to=NUMBER, carrier_id="A1", session="3")
    assert len(receive()) == 2


def test_a_part_of_a_finished_long_message_that_comes_again_waits_for_nothing(number: VirtualNumber):
    bring_long(LONG, to=NUMBER)
    receive()
    bring_long(LONG, to=NUMBER, order=[2], session="2")
    [message] = receive()
    assert InboundPart.objects.filter(handled_at=None).count() == 0
    assert InboundPart.objects.filter(message_id=message.pk).count() == 4


# --- Whose message it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["+61480000001", "61480000001", "0061480000001"])
def test_numbers_are_known_in_every_form_that_carriers_write(number: VirtualNumber, written: str):
    bring("Hello", to=written)
    [message] = receive()
    assert (message.number, message.recipient) == (number, NUMBER)


@pytest.mark.parametrize(
    ("sender", "phone"),
    [
        ("+61412345678", "+61412345678"), ("61412345678", "+61412345678"), ("0412345678", "+61412345678"),
        ("19123", "19123"), ("Bank & Co", "Bank & Co"), ("+447700900123", "+447700900123"),
    ],
)  # fmt: skip
def test_senders_are_named_in_one_way(number: VirtualNumber, sender: str, phone: str):
    bring("Hello", to=NUMBER, sender=sender)
    [message] = receive()
    assert message.sender == Conversation.objects.get().phone == phone


def nobodys(number: VirtualNumber) -> None:
    Lease.objects.filter(number=number).update(ended_at=timezone.now())


def suspended(number: VirtualNumber) -> None:
    today = timezone.now().date()
    Subscription.objects.update(state="suspended", due_since=today, suspended_since=today)


@pytest.mark.parametrize("make", [nobodys, suspended])
def test_what_comes_to_a_number_that_nobody_holds_is_kept_for_staff(client_member: Member, number, make):
    put_keyword(client_member, number, "join", first_reply="Hi")
    make(number)
    bring("join", to=NUMBER)
    bring("STOP", to=NUMBER)

    first, _ = receive()

    assert (first.account, first.number, first.conversation, first.keyword) == (None, number, None, None)
    assert holder_of(number) is None
    assert actions() == []
    assert not Conversation.objects.exists()
    assert not OptOut.objects.exists()


def test_what_comes_to_no_number_of_ours_is_kept_for_staff(number: VirtualNumber):
    bring("Hello", to="+61480999999")
    bring("Hello", to="NotANumber")
    assert [(m.account, m.number, m.recipient) for m in receive()] == [
        (None, None, "+61480999999"), (None, None, "NotANumber"),
    ]  # fmt: skip


def test_a_number_given_to_a_client_brings_its_messages_to_the_client(reseller: Member, client_member: Member):
    number = hold_number(reseller)
    client: Account = client_member.account
    Lease.objects.filter(number=number).update(allocated_to=client, holder=client)
    bring("Hello", to=NUMBER)
    [message] = receive()
    assert message.account == client == holder_of(number)
    assert number_of(NUMBER) == number


def test_a_short_code_of_two_countries_is_the_one_of_its_route(client_member: Member, reseller: Member):
    australian = hold_number(client_member, "19123", country="AU")
    british = hold_number(reseller, "19123", country="GB")
    bring("Hello", to="19123")
    [message] = receive()
    assert message.number is None  # whose it is cannot be told
    VirtualNumber.objects.filter(pk=british.pk).update(route=Route.objects.get(code="test"))
    bring("Hello again", to="19123")
    assert receive()[1].number == british
    assert australian != british


# --- What it sets off ----------------------------------------------------------------------------------------------


def test_the_first_and_the_later_reply_are_the_keywords_own(client_member: Member, number: VirtualNumber):
    keyword = put_keyword(client_member, number, "join", first_reply="First", later_reply="Later")
    set_number(number, first_reply="Who are you?", later_reply="You again")
    for text in ("hello", "join", "join now", "hello"):
        bring(text, to=NUMBER)
    bring("JOIN", to=NUMBER, sender=OTHER_PHONE)
    receive()
    bring("join", to=NUMBER)
    messages = receive()

    replies = [
        (action.message_id, action.payload["text"]) for action in InboundAction.objects.order_by("message_id", "pk")
    ]
    assert replies == [
        (message.pk, text)
        for message, text in zip(
            messages, ["Who are you?", "First", "Later", "You again", "First", "Later"], strict=True
        )
    ]
    assert [m.keyword for m in messages] == [None, keyword, keyword, None, keyword, keyword]


def test_stop_opts_out_at_once_and_start_opts_in_again(client_member: Member, number: VirtualNumber):
    bring("Stop", to=NUMBER)
    receive()
    out = OptOut.objects.get(account=client_member.account, number=PHONE)
    assert (out.source, out.detail, out.ended_at) == ("reply", "Stop", None)
    bring("STOP", to=NUMBER)
    bring("start", to=NUMBER)
    bring("START", to=NUMBER)

    messages = receive()

    out.refresh_from_db()
    assert out.ended_at
    assert [m.consent for m in messages] == ["opt_out", "opt_out", "opt_in", "opt_in"]
    assert actions() == [
        ("opt_out", "", "done"), ("opt_out", "", "skipped"), ("opt_in", "", "done"), ("opt_in", "", "skipped"),
    ]  # fmt: skip
    assert Conversation.objects.get().unread == 4


def test_stop_and_start_in_one_set_leave_the_last_word(number: VirtualNumber):
    for text in ("stop", "start", "stop"):
        bring(text, to=NUMBER)
    receive()
    assert OptOut.objects.filter(ended_at=None).count() == 1
    assert OptOut.objects.count() == 2


# --- Sets ----------------------------------------------------------------------------------------------------------


def test_a_set_that_breaks_is_handled_one_by_one_and_the_culprit_put_aside(number: VirtualNumber, monkeypatch):
    for text in ("one", "poison", "three"):
        bring(text, to=NUMBER)
    written = inbound.write_messages

    def write(cursor, route_id, arrived, now):
        if any(one.text == "poison" for one in arrived):
            raise ValueError("no")
        return written(cursor, route_id, arrived, now)

    monkeypatch.setattr(inbound, "write_messages", write)
    assert [m.text for m in receive()] == ["one", "three"]
    left = InboundPart.objects.get(handled_at=None)
    assert left.text == "poison"
    assert left.due_at > timezone.now() + timedelta(seconds=30)

    monkeypatch.setattr(inbound, "write_messages", written)
    age(120)
    assert "poison" in {m.text for m in receive()}


@pytest.mark.forges_books  # numbers and keywords are rows here, without their charges
def test_workers_at_once_handle_each_part_once(committed_db, client_member: Member, run_together, monkeypatch):
    monkeypatch.setattr("messaging.services.inbound.CHUNK", 7)
    number = hold_number(client_member)
    put_keyword(client_member, number, "join", first_reply="First", later_reply="Later")
    for index in range(30):
        bring(f"join {index}", to=NUMBER, sender=f"+6141234{index % 10:04d}")
        bring_long(f"{index} {LONG}", to=NUMBER, order=[2, 1, 3], reference=index, sender=f"+6141235{index:04d}")

    def work(_: int) -> None:
        for _ in range(60):
            if not receive_waiting(1000) and not InboundPart.objects.filter(handled_at=None).exists():
                return

    outcomes = run_together(4, work)

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert InboundMessage.objects.count() == 60
    texts = list(InboundAction.objects.values_list("payload__text", flat=True))
    assert (texts.count("First"), texts.count("Later")) == (10, 20)
    assert sum(Conversation.objects.values_list("unread", flat=True)) == 60
