"""A receipt settles its message in the transaction, and by the write, that applies it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing.models import Hold, LedgerTransaction
from billing.selectors import balance_of
from messaging.models import Message
from messaging.services import receipts
from messaging.services.receipts import apply_chunk
from messaging.services.settling import settle_waiting
from tests.cast import Member
from tests.messaging.test_receipts import LONG, receipt, submitted

D = Decimal


def test_one_write_tells_the_state_and_the_settlement(client_member: Member, reseller: Member):
    messages = submitted(client_member, 2) + submitted(client_member, 1, text=LONG, state="unknown", first=10)
    failed, delivered, _ = messages
    receipt(f"id-{delivered.recipient}")
    receipt(f"id-{failed.recipient}", "UNDELIV", "007")
    receipt(f"id-{failed.recipient}", "UNDELIV", "007")  # the same word again

    assert apply_chunk() == 3

    settled = Message.objects.filter(settled_at__isnull=False).order_by("pk").values_list("pk", "state", "settlement")
    capture = LedgerTransaction.objects.get(kind="capture")
    assert list(settled) == [
        (failed.pk, "undelivered", capture.pk),  # after the carrier took it nothing is refunded
        (delivered.pk, "delivered", capture.pk),
    ]
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (
        D("9.72"),
        D("0.14"),
    )
    assert balance_of(reseller.account).available == D("100.04")
    assert settle_waiting(100) == 0
    call_command("verify_ledger")


def test_what_is_settled_already_is_not_captured_again(client_member: Member):
    [message] = submitted(client_member)
    settle_waiting(100)
    receipt(f"id-{message.recipient}")
    apply_chunk()
    assert LedgerTransaction.objects.filter(kind="capture").count() == 1
    assert balance_of(client_member.account).available == D("9.93")
    call_command("verify_ledger")


def test_a_message_waits_so_long_for_its_receipt_and_is_settled_without_it_then(client_member: Member):
    submitted(client_member)
    assert settle_waiting(100, patience=10) == 0
    Message.objects.update(sent_at=timezone.now() - timedelta(seconds=11))
    assert settle_waiting(100, patience=10) == 1


def test_a_batch_with_wrong_books_keeps_no_receipt_from_counting(client_member: Member):
    [message], [other] = submitted(client_member), submitted(client_member, first=50)
    Hold.objects.filter(batch_id=message.batch_id).update(released=D("0.07"))
    for one in (message, other):
        receipt(f"id-{one.recipient}")
    assert apply_chunk() == 2
    assert set(Message.objects.values_list("state", flat=True)) == {"delivered"}
    settle_waiting(100)
    assert list(Message.objects.filter(settled_at=None)) == [message]


def test_receipts_of_a_chunk_that_dies_count_for_nothing_and_come_again(client_member: Member, monkeypatch):
    [message] = submitted(client_member)
    receipt(f"id-{message.recipient}")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(receipts, "_file", die)
    with pytest.raises(Killed):
        apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.settled_at) == ("sent", None)
    assert not LedgerTransaction.objects.filter(kind="capture").exists()
    monkeypatch.undo()
    apply_chunk()
    message.refresh_from_db()
    assert (message.state, message.settled_at is None) == ("delivered", False)
    call_command("verify_ledger")
