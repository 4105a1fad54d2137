"""Sending at a time, and until one: schedules, validity, changes of the time (messaging/services/scheduling.py)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from billing.selectors import balance_of
from messaging.connectors.flight import validity
from messaging.exceptions import BadSchedule, BadValidity, NotReschedulable
from messaging.models import Batch, Message, Route
from messaging.services import scheduling
from messaging.services.cancelling import cancel_batch
from messaging.services.dispatching import dispatch_all
from messaging.services.rescheduling import reschedule_batch
from messaging.services.scheduling import queue_due
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund
from tests.messaging.test_acceptance import accept, numbers
from tests.messaging.test_plans import explain, rows_removed

HOUR = timedelta(hours=1)


def at(hours: float):
    return timezone.now() + hours * HOUR


def move_clock(**values) -> None:
    """Let the scheduled messages' time come, or their validity end."""
    Message.objects.filter(state__in=("scheduled", "queued", "released")).update(**values)


def test_a_scheduled_batch_holds_its_money_and_goes_when_its_time_has_come(client_member: Member):
    when = at(2)
    batch = accept(client_member, numbers(3), send_at=when)

    assert (batch.state, batch.send_at, batch.valid_until) == ("accepted", when, when + 72 * HOUR)
    assert balance_of(client_member.account).held == Decimal("0.21")
    assert set(Message.objects.values_list("state", "not_before", "valid_until")) == {
        ("scheduled", when, when + 72 * HOUR)
    }
    assert (queue_due().count, dispatch_all()) == (0, 0)

    move_clock(not_before=at(-0.01))
    queued = queue_due()
    assert (queued.count, queued.routes) == (3, [Route.objects.get().pk])
    assert dispatch_all() == 3


def test_a_scheduled_batch_can_be_cancelled_and_costs_nothing_then(client_member: Member):
    batch = accept(client_member, numbers(2), send_at=at(2))
    assert cancel_batch(batch=batch, actor=client_member.user) == 2
    settle_waiting(10)
    assert balance_of(client_member.account).available == Decimal(10)


def test_the_time_of_a_scheduled_batch_can_be_changed_until_it_begins(client_member: Member):
    batch = accept(client_member, numbers(2), send_at=at(2), valid_until=at(5))
    later = at(24)

    assert reschedule_batch(batch=batch, send_at=later, actor=client_member.user) == 2
    batch.refresh_from_db()
    assert (batch.send_at, round((batch.valid_until - later) / HOUR, 3)) == (later, 3)
    assert set(Message.objects.values_list("not_before", "valid_until")) == {(later, batch.valid_until)}
    assert AuditEntry.objects.filter(action="batch.rescheduled", subject=batch.code).count() == 1
    with pytest.raises(BadSchedule, match="has passed"):
        reschedule_batch(batch=batch, send_at=at(-1), actor=None)

    reschedule_batch(batch=batch, send_at=None, actor=None)
    assert queue_due().count == 2
    with pytest.raises(NotReschedulable, match="has begun"):
        reschedule_batch(batch=batch, send_at=later, actor=None)
    with pytest.raises(NotReschedulable, match="does not wait"):
        reschedule_batch(batch=accept(client_member, numbers(1)), send_at=later, actor=None)


@pytest.mark.parametrize(
    ("send_at", "valid_until", "error"),
    [(-1, None, BadSchedule), (31 * 24, None, BadSchedule), (2, 1, BadValidity), (None, 31 * 24, BadValidity)],
)
def test_times_that_make_no_sense_are_refused_and_nothing_is_written(client_member, send_at, valid_until, error):
    with pytest.raises(error):
        accept(
            client_member,
            numbers(1),
            send_at=None if send_at is None else at(send_at),
            valid_until=None if valid_until is None else at(valid_until),
        )
    assert not Batch.objects.exists()


def test_without_a_default_messages_are_valid_until_they_are_sent(client_member: Member, settings):
    settings.VALIDITY_HOURS = 0
    assert accept(client_member, numbers(1)).valid_until is None


def test_what_is_late_when_its_time_comes_expires_and_costs_nothing(client_member: Member):
    accept(client_member, numbers(2), send_at=at(2))
    move_clock(not_before=at(-2), valid_until=at(-1))

    assert queue_due().count == 2
    message = Message.objects.first()
    assert (message.state, message.reason) == ("expired", "Its validity ended before it could be sent.")
    assert message.done_at
    settle_waiting(10)
    assert balance_of(client_member.account).available == Decimal(10)


def test_carriers_are_told_until_when_a_message_is_worth_sending():
    assert validity(None) == ""
    moment = timezone.datetime(2026, 10, 4, 13, 5, 9, tzinfo=timezone.get_fixed_timezone(600))
    assert validity(moment) == "261004030509000+"


def test_however_much_waits_for_later_what_is_due_is_found_by_an_index(client_member: Member):
    fund(client_member, "1000")
    accept(client_member, numbers(3000, first=10_000), send_at=at(2))
    accept(client_member, numbers(20), send_at=at(1))
    Message.objects.filter(not_before__lt=at(1.5)).update(not_before=at(-1))

    plan = explain(scheduling._QUEUE, {"chunk": 5000, "late": ""})

    assert "not_before_idx" in plan, plan
    assert rows_removed(plan) < 100, plan


def test_what_waits_after_a_busy_carrier_is_not_called_scheduled(client_member: Member):
    accept(client_member, numbers(1), send_at=at(2))
    message = Message.objects.get()
    assert message.state_label == "Scheduled"
    message.attempts = 1
    assert message.state_label == "Waiting to try again"
