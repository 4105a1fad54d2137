"""Receipts: early, twice, out of order, for long and for unknown messages (messaging/services/receipts.py)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.models import Message, MessagePart, Receipt, Route
from messaging.services.receipts import MAX_ATTEMPTS, apply_chunk, apply_waiting
from tests.cast import Member
from tests.messaging.rows import fill_keys
from tests.messaging.test_acceptance import accept, numbers

LONG = "a" * 161  # two parts


def submitted(member: Member, count: int = 1, text: str = "Hi", state: str = "sent", first: int = 0) -> list[Message]:
    """Messages that the carrier has, with ids "id-<recipient>"."""
    batch = accept(member, numbers(count, first=first), text=text)
    messages = list(Message.objects.filter(batch=batch).order_by("pk"))
    for message in messages:
        known = state == "sent"
        Message.objects.filter(pk=message.pk).update(
            state=state, sending_at=timezone.now() - timedelta(seconds=5),
            sent_at=timezone.now() if known else None, carrier_id=f"id-{message.recipient}" if known else "",
            claim="" if known else "1:0:dead",
        )  # fmt: skip
    fill_keys()
    return messages


def receipt(
    carrier_id: str, status: str = "DELIVRD", error: str = "000", recipient: str = "", attempts: int = 0
) -> Receipt:
    return Receipt.objects.create(
        route=Route.objects.get(code="test"), carrier_id=carrier_id, status=status, error_code=error,
        recipient=recipient, attempts=attempts, next_try_at=timezone.now() - timedelta(minutes=1),
    )  # fmt: skip


def due_again() -> None:
    Receipt.objects.filter(applied_at=None).update(next_try_at=timezone.now() - timedelta(minutes=1))


@pytest.mark.parametrize(
    ("status", "state", "error", "reason"),
    [
        ("DELIVRD", "delivered", "", ""),
        ("UNDELIV", "undelivered", "007", "The carrier could not deliver it."),
        ("EXPIRED", "expired", "007", "The carrier could not deliver it in time."),
        ("REJECTD", "undelivered", "007", "The carrier refused it after accepting it."),
        ("DELETED", "undelivered", "007", "The carrier deleted it."),
    ],
)
def test_final_words_end_a_message(client_member: Member, status, state, error, reason):
    [message] = submitted(client_member)
    stored = receipt(f"id-{message.recipient}", status, "007")

    assert apply_chunk() == 1

    message.refresh_from_db()
    assert (message.state, message.error_code, message.reason) == (state, error, reason)
    assert message.done_at
    stored.refresh_from_db()
    assert stored.message_id == message.pk
    assert stored.applied_at


@pytest.mark.parametrize("status", ["ENROUTE", "ACCEPTD", "UNKNOWN"])
def test_words_on_the_way_change_nothing(client_member: Member, status):
    [message] = submitted(client_member)
    receipt(f"id-{message.recipient}", status)

    apply_waiting(10)

    message.refresh_from_db()
    assert (message.state, message.done_at) == ("sent", None)
    assert not Receipt.objects.filter(applied_at=None).exists()


def test_a_receipt_before_its_submit_answer_waits_for_it(client_member: Member):
    [message] = submitted(client_member, state="sending")
    stored = receipt(f"id-{message.recipient}")
    assert apply_chunk() == 1
    stored.refresh_from_db()
    assert (stored.applied_at, stored.attempts) == (None, 1)
    assert stored.next_try_at > timezone.now() - timedelta(seconds=30)

    Message.objects.update(state="sent", sent_at=timezone.now(), carrier_id=f"id-{message.recipient}")
    fill_keys()
    due_again()
    apply_chunk()

    message.refresh_from_db()
    assert message.state == "delivered"


def test_receipts_twice_and_in_the_wrong_order_change_nothing_after_the_first_final(client_member: Member):
    [message] = submitted(client_member)
    for status in ("DELIVRD", "DELIVRD", "ENROUTE", "UNDELIV"):
        receipt(f"id-{message.recipient}", status)
        apply_chunk()

    message.refresh_from_db()
    assert message.state == "delivered"
    assert Receipt.objects.filter(message=message).count() == 4


def test_two_words_in_one_chunk_count_in_their_order(client_member: Member):
    [message] = submitted(client_member)
    receipt(f"id-{message.recipient}", "ENROUTE")
    receipt(f"id-{message.recipient}", "DELIVRD")
    receipt(f"id-{message.recipient}", "DELIVRD")

    assert apply_chunk() == 3

    message.refresh_from_db()
    assert message.state == "delivered"


def with_parts(message: Message) -> Message:
    for part in range(1, message.parts + 1):
        MessagePart.objects.create(
            message=message, part=part, route_id=message.route_id, carrier_id=f"id-{message.recipient}-{part}"
        )
    Message.objects.filter(pk=message.pk).update(carrier_id=f"id-{message.recipient}-1")
    fill_keys()
    return message


def test_a_long_message_is_delivered_when_every_part_is(client_member: Member):
    message = with_parts(submitted(client_member, text=LONG)[0])
    receipt(f"id-{message.recipient}-2")
    apply_chunk()
    message.refresh_from_db()
    assert message.state == "sent"

    receipt(f"id-{message.recipient}-1")
    apply_chunk()
    message.refresh_from_db()
    assert message.state == "delivered"


def test_the_first_failure_of_a_part_decides(client_member: Member):
    message = with_parts(submitted(client_member, text=LONG)[0])
    receipt(f"id-{message.recipient}-2", "UNDELIV", "042")
    receipt(f"id-{message.recipient}-1")
    apply_chunk()

    message.refresh_from_db()
    assert (message.state, message.error_code) == ("undelivered", "042")
    assert dict(MessagePart.objects.values_list("part", "state")) == {1: "delivered", 2: "undelivered"}


def test_a_receipt_settles_the_only_unknown_message_to_its_recipient(client_member: Member):
    [message, other] = submitted(client_member, 2, state="unknown")
    stored = receipt("never-heard", recipient=message.recipient)
    for _ in range(3):
        apply_chunk()
        message.refresh_from_db()
        assert message.state == "unknown"  # it may be early: another message's answer may still be recorded
        due_again()
    apply_chunk()

    message.refresh_from_db()
    assert (message.state, message.carrier_id, message.claim) == ("delivered", "never-heard", "")
    assert message.sent_at
    stored.refresh_from_db()
    assert stored.message_id == message.pk
    other.refresh_from_db()
    assert other.state == "unknown"


@pytest.mark.parametrize("second", ["unknown", "sending"])
def test_with_two_open_messages_to_a_recipient_nothing_is_guessed(client_member: Member, second):
    [message] = submitted(client_member, state="unknown")
    submitted(client_member, state=second)
    receipt("never-heard", recipient=message.recipient, attempts=5)

    apply_chunk()

    assert not Message.objects.filter(state="delivered").exists()
    assert Receipt.objects.get().applied_at is None


def test_an_unknown_long_message_is_settled_part_by_part(client_member: Member):
    """A part proves itself only: the connection may have ended before the others were written."""
    [message] = submitted(client_member, text=LONG, state="unknown")
    receipt("x-1", recipient=message.recipient, attempts=5)
    apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.sent_at) == ("unknown", None)

    receipt("x-2", "ENROUTE", recipient=message.recipient, attempts=5)
    receipt("x-2", recipient=message.recipient, attempts=5)
    apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.error_code, message.reason) == ("delivered", "", "")
    assert message.sent_at
    assert list(MessagePart.objects.order_by("part").values_list("part", "carrier_id")) == [(1, "x-1"), (2, "x-2")]


def test_a_part_that_failed_ends_no_message_whose_other_parts_may_never_have_been_sent(client_member: Member):
    """The connection ended between two parts: the price is not taken for one that the carrier may not have."""
    [message] = submitted(client_member, text=LONG, state="unknown")
    MessagePart.objects.create(message=message, part=1, route_id=message.route_id, carrier_id="p-1")
    receipt("p-1", "EXPIRED", "002")
    apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.settled_at) == ("unknown", None)
    assert MessagePart.objects.get().state == "expired"

    receipt("p-2", recipient=message.recipient, attempts=5)
    apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.settled_at is not None) == ("expired", True)
    assert (message.error_code, message.reason) == ("002", "The carrier could not deliver it in time.")


def test_an_unknown_long_message_of_which_all_parts_were_answered_is_sent_by_any_receipt(client_member: Member):
    [message] = submitted(client_member, text=LONG, state="unknown")
    for part in (1, 2):
        MessagePart.objects.create(message=message, part=part, route_id=message.route_id, carrier_id=f"p-{part}")
    receipt("p-2", "ENROUTE")
    apply_chunk()
    message.refresh_from_db()
    assert message.state == "sent"
    assert message.sent_at


def test_a_receipt_for_a_message_refused_or_cancelled_is_kept_and_changes_nothing(client_member: Member):
    message = with_parts(submitted(client_member, text=LONG)[0])
    Message.objects.update(state="rejected", sent_at=None)
    receipt(f"id-{message.recipient}-1")

    apply_chunk()

    message.refresh_from_db()
    assert message.state == "rejected"
    assert Receipt.objects.get().message_id == message.pk


def test_a_receipt_that_fits_nothing_is_given_up_and_stays_visible(client_member: Member):
    stored = receipt("nobodys", attempts=MAX_ATTEMPTS - 1)

    apply_chunk()

    stored.refresh_from_db()
    assert stored.applied_at
    assert stored.message_id is None
    assert apply_chunk() == 0


def test_many_receipts_in_one_chunk(client_member: Member):
    messages = submitted(client_member, 30)
    for message in messages:
        receipt(f"id-{message.recipient}")

    assert apply_waiting(1000) == 30
    assert Message.objects.filter(state="delivered").count() == 30


def test_workers_at_once_apply_each_receipt_once(committed_db, client_member: Member, run_together, monkeypatch):
    monkeypatch.setattr("messaging.services.receipts.CHUNK", 5)
    for message in submitted(client_member, 40):
        receipt(f"id-{message.recipient}")
        receipt(f"id-{message.recipient}")

    outcomes = run_together(4, lambda _: apply_waiting(1000))

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert Message.objects.filter(state="delivered").count() == 40
