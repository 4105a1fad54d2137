"""Cancelling beside dispatchers and connectors that have some of the batch's messages in hand."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from accounts.models import AuditEntry
from messaging.models import Message
from messaging.services.cancelling import cancel_batch
from tests.cast import Member
from tests.messaging.test_acceptance import accept, numbers


def lock(message_id: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM messaging_message WHERE id = %s FOR UPDATE", [message_id])


def test_a_message_in_anothers_hands_is_no_deadlock_and_is_cancelled_once_it_is_free(
    committed_db: object, client_member: Member, run_together: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    # Another transaction has the last message and then wants the first one: waiting for the last while holding the
    # first, as one UPDATE over the batch would, is a deadlock.
    batch = accept(client_member, numbers(20))
    first, *_, last = batch.messages.order_by("pk").values_list("pk", flat=True)
    held, cancelling = threading.Event(), threading.Event()

    def work(index: int) -> int:
        if index:
            held.wait(10)
            cancelling.set()
            return cancel_batch(batch=batch, actor=None)
        with transaction.atomic():
            lock(last)
            held.set()
            cancelling.wait(10)
            threading.Event().wait(0.1)  # until the other has looked at the batch
            lock(first)
        return 0

    assert run_together(2, work) == [0, 20]
    assert set(Message.objects.values_list("state", flat=True)) == {"cancelled"}
    entries = AuditEntry.objects.filter(action="batch.cancelled")
    assert sum(entry.data["messages"] for entry in entries) == 20
