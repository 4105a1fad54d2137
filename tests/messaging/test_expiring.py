"""What time ends: validity before sending, and receipts that never come (messaging/services/expiring.py)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.selectors import balance_of
from messaging.models import Message, Receipt, Route, SendingTerms, SilentMessage
from messaging.services import expiring
from messaging.services.expiring import end_silent, expire_late, find_silent
from messaging.services.receipts import apply_waiting
from messaging.services.settling import settle_waiting
from messaging.timeline import timeline_of
from tests.cast import Member, fund
from tests.messaging.rows import AU, accept, fill_keys, move_to
from tests.messaging.test_acceptance import numbers
from tests.messaging.test_plans import explain, rows_removed

DAY = timedelta(days=1)


def ago(days: float):
    return timezone.now() - days * DAY


def look() -> None:
    while find_silent() >= expiring.MESSAGES:
        pass
    end_silent()


def test_what_waits_past_its_validity_expires_and_its_money_comes_back(client_member: Member):
    late, fresh = accept(client_member, [AU]), accept(client_member, [AU])
    Route.objects.update(is_paused=True)
    for model in (Message.objects.filter(batch=late), type(late).objects.filter(pk=late.pk)):
        model.update(valid_until=ago(0.001))
    sending = accept(client_member, [AU])
    Message.objects.filter(batch=sending).update(state="sending", valid_until=ago(0.001))

    assert expire_late() == 1
    assert expire_late() in {0, 1}
    message = Message.objects.get(batch=late)
    assert (message.state, message.reason) == ("expired", "Its validity ended before it could be sent.")
    assert Message.objects.get(batch=fresh).state == "queued"
    assert Message.objects.get(batch=sending).state == "sending"  # a connector has it
    settle_waiting(10)
    assert balance_of(client_member.account).held == Decimal("0.14")
    assert "No receipt" not in str(timeline_of(message, shows_money=True))


@pytest.mark.parametrize(
    ("terms", "days", "state"),
    [
        (None, 2.9, "sent"),
        (None, 3.1, "expired"),
        ({"waiting_days": 1}, 1.1, "expired"),
        ({"waiting_days": 10, "expired_state": "delivered"}, 9.9, "sent"),
        ({"waiting_days": 10, "expired_state": "delivered"}, 10.1, "delivered"),
        ({"waiting_days": 2, "expired_state": "undelivered"}, 2.1, "undelivered"),
    ],
)
def test_without_a_receipt_the_account_decides_what_a_message_becomes_and_when(
    client_member: Member, terms, days, state
):
    if terms:
        SendingTerms.objects.create(account=client_member.account, **terms)
    batch = accept(client_member, [AU])
    move_to(batch, ago(days))
    Message.objects.update(state="sent", sent_at=ago(days), carrier_id="c-1")
    fill_keys()
    settle_waiting(10)
    before = balance_of(client_member.account)

    look()
    look()

    message = Message.objects.get()
    assert message.state == state
    assert SilentMessage.objects.count() == (state == "sent")
    if state == "sent":
        return
    assert message.reason == f"No receipt came within {(terms or {}).get('waiting_days', 3)} day{'s' * (days > 2)}."
    assert message.reason in str(timeline_of(message, shows_money=False))
    # A receipt that comes at last is kept with the message and counts nothing twice.
    Receipt.objects.create(route=message.route, carrier_id="c-1", status="UNDELIV", recipient=AU, next_try_at=ago(1))
    apply_waiting(10)
    settle_waiting(10)
    message.refresh_from_db()
    assert (message.state, Receipt.objects.get().message_id) == (state, message.pk)
    assert balance_of(client_member.account) == before


def test_waiting_counts_from_the_sending_however_long_a_message_waited_for_that(client_member: Member):
    batch = accept(client_member, [AU])
    move_to(batch, ago(20))
    look()
    assert SilentMessage.objects.count() == 1

    Message.objects.update(state="sent", sent_at=ago(2.5))
    SilentMessage.objects.update(look_at=ago(0.01))
    look()
    assert Message.objects.get().state == "sent"
    Message.objects.update(sent_at=ago(3.5))
    SilentMessage.objects.update(look_at=ago(0.01))
    look()
    assert Message.objects.get().state == "expired"
    assert not SilentMessage.objects.exists()


def test_messages_are_looked_at_once_in_the_order_of_their_ids(client_member: Member, monkeypatch):
    monkeypatch.setattr(expiring, "MESSAGES", 20)
    for days in (7, 6, 5):
        move_to(accept(client_member, numbers(15, first=days * 100)), ago(days))
    Message.objects.update(state="sent", sent_at=ago(5))
    look()
    while end_silent():
        pass
    assert set(Message.objects.values_list("state", flat=True)) == {"expired"}
    assert find_silent() == 0


def test_sweeps_walk_indexes(client_member: Member):
    fund(client_member, "1000")
    batch = accept(client_member, numbers(2000, first=10_000))
    plan = explain(expiring._EXPIRE, ["", [batch.pk]])
    assert "batch_id_state_idx" in plan, plan
    assert rows_removed(plan) <= 2000, plan
    plan = explain(expiring._FIND_SILENT, [ago(3), ago(2), 5000])
    assert rows_removed(plan) < 20, plan
    plan = explain(expiring._ENDED, [ago(1), timezone.now(), 500])
    assert "batch_validity" in plan, plan
