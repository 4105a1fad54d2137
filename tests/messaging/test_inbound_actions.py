"""What inbound messages set off is done once, or says why not (messaging/services/inbound_actions.py)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import OutgoingMail
from accounts.services.accounts import suspend_account
from accounts.services.mail import send_due_mail
from billing.models import BillingTerms
from billing.selectors import balance_of
from contacts.models import ContactList, ListMember, OptOut
from contacts.services.opt_outs import opt_out
from messaging.models import Batch, Conversation, InboundAction, InboundMessage, Message
from messaging.reply_addresses import conversation_of, reply_address
from messaging.services import inbound_actions, inbound_texts
from messaging.services.inbound_actions import do_waiting, retry_actions
from tests.cast import Member
from tests.keywords.scene import NUMBER, OTHER_NUMBER, hold_number, put_keyword, set_number
from tests.messaging.inbound_scene import OTHER_PHONE, PHONE, actions, age, bring, receive
from virtual_numbers.models import Lease, VirtualNumber

D = Decimal


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


def do() -> None:
    """Handle what came and do what it sets off."""
    receive()
    do_waiting(10_000)


def due_again() -> None:
    InboundAction.objects.filter(state="waiting").update(next_try_at=timezone.now() - timedelta(minutes=1))


def action(**values: Any) -> InboundAction:
    return InboundAction.objects.get(**values)


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
    assert (mail.to, mail.reply_to, mail.subject) == ("shop@test.example", "", f"Message from {PHONE} to {NUMBER}")
    assert "JOIN please" in mail.text
    assert Conversation.objects.get().code in mail.text
    reply = action(kind="reply")
    assert (reply.batch, reply.attempts) == (sent[PHONE].batch, 1)
    assert reply.done_at


def test_replies_of_a_turn_are_accepted_together_each_as_a_batch_under_the_key_of_its_action(
    client_member: Member, number: VirtualNumber
):
    set_number(number, first_reply="Hello", later_reply="Hello")
    counts = []
    for phones in ([PHONE] * 2, [OTHER_PHONE] * 2, [f"+6141234{index:04d}" for index in range(8)]):
        for phone in phones:  # the first time opens ledger accounts and stores the quote
            bring("Hi", to=NUMBER, sender=phone)
        receive()
        with CaptureQueriesContext(connection) as queries:
            do_waiting(100)
        counts.append(len(queries))

    assert counts[1] == counts[2]
    done = InboundAction.objects.select_related("batch").order_by("pk")
    for one in done:
        assert one.batch is not None
        assert one.batch.idempotency_key == f"inbound-action-{one.pk}"
        sender = InboundMessage.objects.get(pk=one.message_id).sender
        assert list(one.batch.messages.values_list("recipient", flat=True)) == [sender]
    assert len({one.batch for one in done}) == len(done) == 12
    assert balance_of(client_member.account).held == D("0.84")


def test_a_reply_that_was_accepted_before_its_action_was_recorded_is_not_sent_again(client_member: Member, number):
    set_number(number, first_reply="Hello")
    bring("Hi", to=NUMBER)
    do()
    sent = action().batch
    InboundAction.objects.update(state="waiting", batch=None, done_at=None)
    due_again()
    do_waiting(10)
    assert (action().state, action().batch, Batch.objects.count()) == ("done", sent, 1)


def test_a_phone_that_cannot_be_sent_to_fails_also_when_it_is_tried_again(number: VirtualNumber):
    set_number(number, first_reply="Hello")
    bring("Hi", to=NUMBER, sender="+61291234567")
    bring("Hi", to=NUMBER)
    for _ in range(2):
        do()
        assert [state for _, _, state in actions()] == ["failed", "done"]
        assert "This is a fixed line, not a mobile number." in action(state="failed").error
        assert list(Message.objects.values_list("recipient", flat=True)) == [PHONE]
        assert retry_actions(InboundAction.objects.values_list("pk", flat=True)) == 1


def test_what_is_done_is_not_done_again(client_member: Member, number: VirtualNumber):
    set_number(number, first_reply="Hello", forward_emails=["shop@test.example"])
    bring("Hi", to=NUMBER)
    do()
    do()
    assert (Message.objects.count(), OutgoingMail.objects.count()) == (1, 1)


# --- Money and permission ------------------------------------------------------------------------------------------


def test_a_reply_without_money_fails_with_the_shortfall_and_others_are_sent(client_member: Member, number):
    put_keyword(client_member, number, "long", first_reply="x" * 1000)  # 7 parts of 0.07
    put_keyword(client_member, number, "short", first_reply="Hi")
    for index in range(21):  # 20 × 0.49 of 10.00
        bring("long", to=NUMBER, sender=f"+6141234{index:04d}")
    bring("short", to=NUMBER)

    do()
    do()

    states = [state for _, _, state in actions()]
    assert states == ["done"] * 20 + ["failed", "done"]
    assert action(state="failed").error == (
        "This batch costs AUD 0.49 and AUD 0.20 are available: AUD 0.29 are missing."
        " Add credit or send to fewer people."
    )
    assert balance_of(client_member.account).available == D("0.13")

    assert retry_actions(InboundAction.objects.values_list("pk", flat=True)) == 1
    do_waiting(100)
    assert action(state="failed").attempts == 1


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (lambda member: suspend_account(account=member.account, actor=None), "This account is suspended"),
        (
            lambda member: BillingTerms.objects.filter(account=member.account).update(
                trial_ends_on=timezone.now().date() - timedelta(days=3)
            ),
            "The trial of this account ended",
        ),
    ],
)
def test_a_stopped_account_replies_nothing_and_says_why(client_member: Member, number, stop, words):
    set_number(number, first_reply="Hello", forward_emails=["shop@test.example"])
    stop(client_member)
    bring("Hi", to=NUMBER)
    do()
    assert words in action(kind="reply").error
    assert actions() == [("reply", "", "failed"), ("forward_email", "shop@test.example", "done")]
    assert not Batch.objects.exists()


def test_a_number_that_only_receives_or_is_gone_sends_nothing(client_member: Member, number: VirtualNumber):
    set_number(number, first_reply="Hello")
    VirtualNumber.objects.update(capabilities=["sms_in"])
    bring("Hi", to=NUMBER)
    do()
    VirtualNumber.objects.update(capabilities=["sms_in", "sms_out"])
    bring("Hi", to=NUMBER, sender=OTHER_PHONE)
    receive()
    Lease.objects.update(ended_at=timezone.now())
    do_waiting(10)
    assert [one.error for one in InboundAction.objects.all()] == [
        f"The account cannot send from {NUMBER} (any more)."
    ] * 2
    assert not Batch.objects.exists()


# --- Opt-outs ------------------------------------------------------------------------------------------------------


def test_who_opted_out_gets_no_reply(client_member: Member, number: VirtualNumber):
    set_number(number, first_reply="Hello", later_reply="Hello")
    opt_out(account=client_member.account, number=PHONE, source="person")
    bring("Hi", to=NUMBER)
    do()
    assert actions() == [("reply", "", "skipped")]
    assert action().error == f"{PHONE} has opted out."
    assert not Batch.objects.exists()


def test_an_opt_out_between_planning_and_replying_counts(client_member: Member, number: VirtualNumber):
    set_number(number, first_reply="Hello")
    bring("Hi", to=NUMBER)
    receive()
    bring("STOP", to=NUMBER)
    do()
    assert actions() == [("reply", "", "skipped"), ("opt_out", "", "done")]


def test_the_confirmation_of_an_opt_out_is_sent_once_and_nothing_after(client_member: Member, number, settings):
    settings.OPT_OUT_CONFIRMATION = "You get no more messages."
    set_number(number, first_reply="Hello", later_reply="Hello")
    for text in ("Stop", "STOP", "Hi"):
        bring(text, to=NUMBER)
        do()

    assert list(Message.objects.values_list("recipient", "batch__text")) == [(PHONE, "You get no more messages.")]
    assert OptOut.objects.filter(ended_at=None).count() == 1
    assert [state for kind, _, state in actions() if kind == "reply"] == ["done", "skipped", "skipped"]


# --- Loops ---------------------------------------------------------------------------------------------------------


def test_a_phone_gets_so_many_replies_an_hour(client_member: Member, number: VirtualNumber, settings):
    settings.INBOUND_REPLIES_PER_HOUR = 3
    set_number(number, first_reply="Hello", later_reply="Hello again")
    for _ in range(4):
        bring("beep", to=NUMBER)
    bring("Hi", to=NUMBER, sender=OTHER_PHONE)
    do()
    bring("beep", to=NUMBER)
    do()

    assert [state for _, _, state in actions()] == ["done"] * 3 + ["skipped", "done", "skipped"]
    assert InboundAction.objects.filter(state="skipped")[0].error == (
        f"{PHONE} got 3 automatic replies from this number within an hour, the most that it may."
    )
    assert Message.objects.filter(recipient=PHONE).count() == 3

    InboundAction.objects.update(done_at=timezone.now() - timedelta(minutes=61))
    age(61 * 60)
    bring("beep", to=NUMBER)
    do()
    assert Message.objects.filter(recipient=PHONE).count() == 4


@pytest.mark.parametrize("sender", ["Bank", "19123", OTHER_NUMBER])
def test_names_short_codes_and_numbers_of_ours_get_no_reply(client_member: Member, number, reseller, sender):
    hold_number(reseller, OTHER_NUMBER)
    set_number(number, first_reply="Hello", later_reply="Hello")
    bring("Hi", to=NUMBER, sender=sender)
    do()
    assert not Batch.objects.exists()
    assert [one.error[: len(sender)] for one in InboundAction.objects.all()] == ([sender] if sender[0] == "+" else [])


def test_nothing_is_forwarded_in_a_circle(client_member: Member, reseller: Member, number: VirtualNumber):
    hold_number(reseller, OTHER_NUMBER)
    set_number(number, forward_mobiles=[OTHER_NUMBER, OTHER_PHONE])
    bring("Hi", to=NUMBER, sender=OTHER_PHONE)
    bring("Hi", to=NUMBER)
    do()
    assert list(Message.objects.values_list("recipient", flat=True)) == [OTHER_PHONE]
    assert actions() == [
        ("forward_mobile", OTHER_NUMBER, "skipped"), ("forward_mobile", OTHER_NUMBER, "skipped"),
        ("forward_mobile", OTHER_PHONE, "done"),
    ]  # fmt: skip


def test_a_text_longer_than_a_message_may_be_is_forwarded_shortened(client_member: Member, number: VirtualNumber):
    set_number(number, forward_mobiles=[OTHER_PHONE])
    bring("é" * 3000, to=NUMBER)
    do()
    [batch] = Batch.objects.all()
    assert batch.text.endswith("…")
    assert batch.part_count == 10
    assert inbound_texts.shorten("short") == "short"


# --- Failures ------------------------------------------------------------------------------------------------------


def test_one_that_breaks_is_tried_again_and_spoils_no_other(client_member: Member, number, monkeypatch):
    set_number(number, first_reply="Hello", forward_emails=["bad@test.example", "good@test.example"])
    queue = inbound_actions.queue_mail

    def fail(**values: Any) -> None:
        if values["to"] == "bad@test.example":
            raise RuntimeError("broken")
        queue(**values)

    monkeypatch.setattr(inbound_actions, "queue_mail", fail)
    bring("Hi", to=NUMBER)
    do()
    bad = action(target="bad@test.example")
    assert (bad.state, bad.attempts, bad.error) == ("waiting", 1, "Something went wrong on our side.")
    assert bad.next_try_at > timezone.now() + timedelta(seconds=10)
    assert {state for _, target, state in actions() if target != "bad@test.example"} == {"done"}

    for _ in range(10):
        due_again()
        do_waiting(10)
    bad.refresh_from_db()
    assert (bad.state, bad.attempts) == ("failed", 8)
    assert bad.error == "Given up after 8 attempts. Something went wrong on our side."
    assert (OutgoingMail.objects.count(), Message.objects.count()) == (1, 1)

    monkeypatch.setattr(inbound_actions, "queue_mail", queue)
    retry_actions([bad.pk])
    do_waiting(10)
    bad.refresh_from_db()
    assert bad.state == "done"


def test_a_text_that_breaks_acceptance_is_tried_again_and_the_others_of_its_turn_are_sent(number, monkeypatch):
    set_number(number, first_reply="Hello")
    accept = inbound_actions.accept_singles

    def fail(singles: Any) -> Any:
        if any(one.recipient == PHONE for one in singles):
            raise RuntimeError("broken")
        return accept(singles)

    monkeypatch.setattr(inbound_actions, "accept_singles", fail)
    for phone in (OTHER_PHONE, PHONE, "+61412340001"):
        bring("Hi", to=NUMBER, sender=phone)
    do()
    assert [state for _, _, state in actions()] == ["done", "waiting", "done"]
    assert action(state="waiting").error == "Something went wrong on our side."

    monkeypatch.setattr(inbound_actions, "accept_singles", accept)
    due_again()
    do_waiting(10)
    assert sorted(Message.objects.values_list("recipient", flat=True)) == ["+61412340001", PHONE, OTHER_PHONE]


def test_a_list_that_is_gone_is_left_out(client_member: Member, number: VirtualNumber):
    friends = ContactList.objects.create(account=client_member.account, name="Friends")
    set_number(number, contact_list=friends)
    bring("Hi", to=NUMBER)
    receive()
    friends.delete()
    do_waiting(10)
    assert action().error == "The list is not there any more."
    assert action().state == "skipped"


@pytest.mark.forges_books  # numbers are rows here, without their charges
def test_workers_at_once_do_each_action_once(committed_db, client_member: Member, run_together, monkeypatch):
    monkeypatch.setattr(inbound_actions, "TURN", 7)
    number = hold_number(client_member)
    set_number(number, first_reply="Hello {first_name}", forward_emails=["shop@test.example"])
    for index in range(40):
        bring("Hi", to=NUMBER, sender=f"+6141234{index:04d}")
    receive()

    def work(_: int) -> None:
        while InboundAction.objects.filter(state="waiting").exists():
            do_waiting(1000)

    outcomes = run_together(4, work)

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert set(InboundAction.objects.values_list("state", flat=True)) == {"done"}
    assert Message.objects.count() == Message.objects.values("recipient").distinct().count() == 40
    assert OutgoingMail.objects.count() == 40
    assert balance_of(client_member.account).held == D("2.80")


# --- Mail that can be answered -------------------------------------------------------------------------------------


def test_a_forwarded_mail_names_an_address_that_leads_back(client_member: Member, number, settings, mailoutbox):
    settings.REPLY_MAIL_DOMAIN = "reply.test.example"
    set_number(number, forward_emails=["shop@test.example"])
    bring("Hi", to=NUMBER)
    do()
    send_due_mail()
    conversation = Conversation.objects.get()
    [mail] = mailoutbox
    assert mail.reply_to == [reply_address(conversation)]
    assert conversation_of(mail.reply_to[0]) == conversation
    assert conversation_of(mail.reply_to[0].upper()) == conversation
    forged = mail.reply_to[0].replace(".", ".0", 1).replace("0@", "@")
    assert conversation_of(forged) is None
    assert conversation_of(mail.reply_to[0].replace("reply.test", "other.test")) is None
    assert conversation_of("nobody@reply.test.example") is None
