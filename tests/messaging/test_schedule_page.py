"""SEND SMS at a time, changing it, and why messages wait, without JavaScript."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from billing.selectors import balance_of
from messaging.models import Batch, ConnectorStatus, Message, Route, SendingTerms
from messaging.schedule_forms import WhenForm
from messaging.selectors import progress_of
from messaging.services.dispatching import dispatch_all
from messaging.waiting import why_waiting
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, accept, words
from tests.messaging.test_send_page import FORM, confirm, preview

ZONE = ZoneInfo("Australia/Sydney")


def typed(hours: float) -> str:
    """A time from now as a browser sends it, on the client's clocks."""
    return f"{(timezone.now() + timedelta(hours=hours)).astimezone(ZONE):%Y-%m-%dT%H:%M}"


def test_a_text_is_scheduled_with_its_money_held_and_moved_to_another_time(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    times = {"when": "later", "send_at": typed(5), "valid_for": "6"}
    page = preview(browser, **times)
    moment = datetime.fromisoformat(times["send_at"]).replace(tzinfo=ZONE)
    assert f"Goes {moment.day} {moment:%b %Y, %H:%M}" in words(page)
    assert "SCHEDULE 3 MESSAGES" in words(page)

    answer = browser.post("/send/", confirm(page, **times), follow=True)
    batch = Batch.objects.get()
    assert (batch.send_at, batch.valid_until) == (moment, moment + timedelta(hours=6))
    assert balance_of(client_member.account).held == Decimal("0.202345")
    text = words(answer.content.decode())
    assert "Scheduled: 3 messages." in text
    assert "Waits for its time: " in text

    url = f"/batches/{batch.code}/time/"
    assert f'value="{times["send_at"]}"' in browser.get(url).content.decode()
    refused = browser.post(url, {"when": "later", "send_at": typed(-1)})
    assert "has passed" in refused.content.decode()
    assert "The time of sending is changed." in words(
        browser.post(url, {"when": "later", "send_at": typed(9)}, follow=True).content.decode()
    )
    assert Message.objects.filter(not_before__gt=moment).count() == 3
    assert browser.post(url, {"when": "now"}).status_code == 302
    assert Batch.objects.get().send_at <= timezone.now()
    assert "does not wait" not in words(browser.get(f"/batches/{batch.code}/").content.decode())


@pytest.mark.parametrize(
    ("when", "send_at", "words_"),
    [
        ("later", "", "Enter the day and time"),
        ("later", "tomorrow", "tomorrow is no date and time; write it as 2026-11-30 14:05."),
        ("later", "2020-01-01T10:00", "2020-01-01 10:00 has passed"),
        ("later", "2999-01-01T10:00", "choose a time within 30 days"),
        ("later", "9999-12-31T23:59", "choose a time within 30 days"),
        ("now", "2999-01-01T10:00", "there is a time: choose “At date and time”"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_at_its_field_and_nothing_is_lost(
    client_member: Member, log_in: LogIn, when, send_at, words_
):
    answer = log_in(client_member.user).post("/send/", FORM | {"step": "preview", "when": when, "send_at": send_at})
    page = answer.content.decode()
    assert words_ in page
    assert 'id="id_send_at_error"' in page or "error_1_id_send_at" in page
    assert f'value="{send_at}"' in page or not send_at
    assert not Batch.objects.exists()


def test_clocks_that_change_skip_no_batch_and_send_none_twice(client_member: Member):
    def read(local: str) -> WhenForm:
        form = WhenForm({"when": "later", "send_at": local}, account=client_member.account)
        form.is_valid()
        return form

    gap = read("2027-10-03T02:30").errors["send_at"][0]
    assert gap == (
        "2027-10-03 02:30 does not exist in Australia/Sydney: clocks go forward over it. Choose 03:30, or another time."
    )
    field = read("x").fields["send_at"]
    assert field.clean("2027-04-04T02:30") == datetime(2027, 4, 3, 15, 30, tzinfo=UTC)  # the first of the two


def reasons(batch: Batch) -> str:
    return " / ".join(one.text for one in why_waiting(progress_of(batch)))


def test_the_batch_page_says_why_messages_wait(client_member: Member, reseller: Member, log_in: LogIn):
    batch = accept(client_member, [AU])
    assert reasons(batch) == ""

    account = client_member.account
    terms = SendingTerms.objects.create(account=account, throughput=5)
    assert reasons(batch) == "At most 5 messages a second can go from this account."
    SendingTerms.objects.update(throughput=1)
    assert reasons(batch) == "At most 1 message a second can go from this account."
    local = timezone.now().astimezone(ZONE)
    terms.dispatch_from = (local + timedelta(hours=2)).time().replace(microsecond=0)
    terms.dispatch_until = (local + timedelta(hours=3)).time().replace(microsecond=0)
    terms.throughput, terms.daily_limit = None, 0
    terms.save()
    SendingTerms.objects.create(account=reseller.account, daily_limit=0)
    assert reasons(batch) == (
        "Waits for the dispatch hours, which begin at / The daily limit of 0 messages is reached; it goes on at"
        " / A daily limit is reached; it goes on at"
    )
    assert dispatch_all() == 0
    Route.objects.update(is_paused=True)
    page = words(log_in(client_member.user).get(f"/batches/{batch.code}/").content.decode())
    assert "The route to these numbers is paused" in page
    assert f"begin at {(local + timedelta(hours=2)).day} " in page
    SendingTerms.objects.all().delete()
    Route.objects.update(is_paused=False)
    long_ago = timezone.now() - timedelta(hours=1)
    ConnectorStatus.objects.create(
        route=Route.objects.get(code="test"), bind=0, state="down", since=long_ago, seen_at=long_ago, bound_at=long_ago
    )
    for state in ("queued", "released"):
        Message.objects.update(state=state)
        assert reasons(batch) == "The carrier of these numbers cannot be reached now; they go when it can be again."
    Message.objects.update(state="scheduled", attempts=1)
    assert reasons(batch) == "The carrier was too busy for 1: they are tried again soon."
