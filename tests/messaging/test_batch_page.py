"""Batches: who sees them, what their page counts, cancelling, and the list."""

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Membership
from billing.models import Hold
from messaging.models import Batch, Exclusion, Message
from messaging.periods import uuid_floor
from messaging.selectors import Progress, progress_of
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, amounts_in, settle_as, words


def test_a_batch_is_seen_by_its_account_and_those_above_and_by_nobody_else(
    client_member: Member, billed_member: Member, reseller: Member, outsider: Member, log_in: LogIn
):
    batch = accept(client_member)
    answers = [(client_member, 200), (reseller, 200), (billed_member, 404), (outsider, 404)]
    for member, status in answers:
        browser = log_in(member.user)
        for path in ("", "cancel/"):
            assert browser.get(f"/batches/{batch.code}/{path}").status_code == status, (member.account, path)
        progress = browser.get(f"/batches/{batch.code}/progress/", headers={"HX-Request": "true"})
        assert progress.status_code == status
    assert log_in(outsider.user).post(f"/batches/{batch.code}/cancel/").status_code == 404
    assert log_in(reseller.user).get("/batches/NOSUCHCODE/").status_code == 404
    assert set(Message.objects.values_list("state", flat=True)) == {"queued"}


def test_the_page_counts_each_state_and_the_money(client_member: Member, log_in: LogIn):
    batch = accept(client_member, [AU, AU_DEAR, NZ, AU, "nobody"])
    Message.objects.filter(recipient=AU).update(state="delivered")
    Message.objects.filter(recipient=NZ).update(state="rejected", error_code="0x0000000B")
    Hold.objects.filter(batch_id=batch.pk).update(captured=Decimal("0.07"), released=Decimal("0.032345"))
    text = words(log_in(client_member.user).get(f"/batches/{batch.code}/").content.decode())

    assert "2 of 3 finished" in text
    assert "1 Delivered 1 Failed Rejected: 1 0 Cancelled 0 Sent 0 Sending 1 Waiting Queued: 1" in text
    assert "Held at the start AUD 0.202345 Charged AUD 0.07 Given back AUD 0.032345 Still held AUD 0.10" in text
    assert "Duplicate: 1 · Not a valid mobile number: 1" in text
    assert "nobody Not a valid mobile number Contains letters" in text
    assert "Through Web By Client Messages 3 Parts 3 Encoding GSM-7" in text


def test_a_batch_of_which_nothing_more_is_expected_reads_finished_everywhere(client_member: Member, log_in: LogIn):
    done, waits, refused = accept(client_member, [AU, NZ]), accept(client_member, [AU, NZ]), accept(client_member)
    settle_as(done, "delivered")
    settle_as(waits, "delivered")
    Message.objects.filter(batch=done, recipient=NZ).update(state="failed", sent_at=None)
    Message.objects.filter(batch=waits, recipient=NZ).update(state="sent")
    settle_as(refused, "cancelled")
    Batch.objects.filter(pk=refused.pk).update(state="cancelled")
    browser = log_in(client_member.user)

    listed = words(browser.get("/batches/").content.decode())
    for batch, state in ((done, "Finished"), (waits, "Accepted"), (refused, "Cancelled")):
        assert f"{batch.code} {state} " in listed
        assert f"Batch {batch.code} {state} " in words(browser.get(f"/batches/{batch.code}/").content.decode())
    fragment = browser.get(f"/batches/{done.code}/progress/", headers={"HX-Request": "true"}).content.decode()
    assert '<span id="batch-state" hx-swap-oob="true">' in fragment
    assert words(fragment).strip().startswith("Finished")


def test_the_list_asks_for_finished_batches_in_one_query(
    client_member: Member, log_in: LogIn, django_assert_max_num_queries: Any
):
    browser = log_in(client_member.user)
    for _ in range(3):
        accept(client_member)
    with CaptureQueriesContext(connection) as few:
        browser.get("/batches/")
    for _ in range(5):
        accept(client_member)
    with django_assert_max_num_queries(len(few)):
        browser.get("/batches/")


def test_the_pieces_of_the_bar_fill_it(client_member: Member):
    batch = accept(client_member, [AU, AU_DEAR, NZ])
    Message.objects.filter(recipient=AU).update(state="delivered")
    shares = progress_of(batch).shares
    assert [(one.name, one.start, one.width) for one in shares if one.count] == [
        ("delivered", 0.0, 33.333),
        ("waiting", 33.333, 66.667),
    ]


def test_the_page_asks_for_itself_until_nothing_more_is_expected(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    browser = log_in(client_member.user)
    page = browser.get(f"/batches/{batch.code}/").content.decode()
    assert f'hx-get="/batches/{batch.code}/progress/" hx-trigger="every 2s"' in page
    assert f'id="refresh" href="/batches/{batch.code}/"' in page  # without JavaScript

    settle_as(batch, "delivered")
    part = browser.get(f"/batches/{batch.code}/progress/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "1 of 1 finished" in words(part)
    assert "hx-get" not in part
    assert browser.get(f"/batches/{batch.code}/progress/").headers["Location"] == f"/batches/{batch.code}/"


@pytest.mark.parametrize(
    ("state", "age", "seconds"),
    [
        ("queued", timedelta(days=1), 2),
        ("sent", timedelta(0), 2),
        ("sent", timedelta(minutes=30), 30),
        ("sent", timedelta(hours=3), 0),
        ("delivered", timedelta(0), 0),
    ],
)
def test_missing_receipts_are_asked_for_less_and_less(state: str, age: timedelta, seconds: int):
    batch = Batch(state=Batch.State.ACCEPTED, created_at=timezone.now() - age)
    assert Progress(batch, {state: 1}).refresh_seconds == seconds


def test_cancelling_asks_first_and_says_how_many(client_member: Member, log_in: LogIn):
    batch = accept(client_member, [AU, AU_DEAR, NZ])
    Message.objects.filter(recipient=NZ).update(state="sending")
    browser = log_in(client_member.user)
    question = words(browser.get(f"/batches/{batch.code}/cancel/").content.decode())
    assert "2 of 3 messages have not been submitted to a carrier yet." in question
    assert "CANCEL 2 MESSAGES" in question
    assert Message.objects.filter(state="cancelled").count() == 0  # asking changes nothing

    answer = browser.post(f"/batches/{batch.code}/cancel/", follow=True).content.decode()
    assert "2 messages cancelled" in words(answer)
    assert dict(Message.objects.values_list("recipient", "state")) == {
        AU: "cancelled",
        AU_DEAR: "cancelled",
        NZ: "sending",
    }

    again = browser.post(f"/batches/{batch.code}/cancel/", follow=True).content.decode()
    assert "Nothing of this batch waits any more" in words(again)


def test_a_viewer_may_look_but_not_cancel(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    Membership.objects.filter(user=client_member.user).update(role="viewer")
    browser = log_in(client_member.user)
    page = browser.get(f"/batches/{batch.code}/")
    assert page.status_code == 200
    assert "/cancel/" not in page.content.decode()
    assert browser.post(f"/batches/{batch.code}/cancel/").status_code == 403
    assert Message.objects.get().state == "queued"


def test_a_parent_sees_what_its_client_pays(client_member: Member, reseller: Member, log_in: LogIn):
    batch = accept(client_member)
    text = words(log_in(reseller.user).get(f"/batches/{batch.code}/").content.decode())
    assert "Paid by Client Held at the start AUD 0.07" in text


def test_a_billed_client_sees_no_amount_and_its_parent_sees_its_own(
    billed_member: Member, reseller: Member, log_in: LogIn
):
    batch = accept(billed_member, [AU, "nobody"])
    for path in (f"/batches/{batch.code}/", f"/batches/{batch.code}/cancel/", "/batches/"):
        assert amounts_in(log_in(billed_member.user).get(path).content.decode()) == [], path
    text = words(log_in(reseller.user).get(f"/batches/{batch.code}/").content.decode())
    assert "Price Held at the start AUD 0.05" in text


def test_what_a_parent_paid_stays_hidden_when_its_client_pays_for_itself_later(billed_member: Member, log_in: LogIn):
    batch = accept(billed_member)
    billed_member.account.billing_terms.method = "invoice"
    billed_member.account.billing_terms.save(update_fields=["method"])
    page = log_in(billed_member.user).get(f"/batches/{batch.code}/").content.decode().partition("<main")[2]
    assert amounts_in(page) == []


def test_a_refused_batch_says_why(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    Batch.objects.update(state="refused", refusal="AUD 5.00 are missing.")
    page = log_in(client_member.user).get(f"/batches/{batch.code}/").content.decode()
    assert "Refused, nothing was sent. AUD 5.00 are missing." in words(page)
    assert "hx-get" not in page


def test_the_list_names_each_client_and_filters_by_it(
    client_member: Member, billed_member: Member, reseller: Member, outsider: Member, log_in: LogIn
):
    own, child, billed = accept(reseller), accept(client_member), accept(billed_member)

    def codes(member: Member, query: str = "") -> list[str]:
        return [batch.code for batch, _ in log_in(member.user).get(f"/batches/{query}").context["rows"]]

    assert codes(reseller) == [billed.code, child.code, own.code]
    assert codes(reseller, f"?client={client_member.account.code}") == [child.code]
    assert codes(reseller, f"?client={reseller.account.code}") == [own.code]
    assert codes(client_member) == [child.code]
    assert codes(client_member, f"?client={billed_member.account.code}") == [child.code]  # no such filter for it
    assert codes(outsider) == []
    form = log_in(reseller.user).get(f"/batches/?client={outsider.account.code}").context["form"]
    assert form.errors["client"] == ["There is no such client; choose one of the list."]


def test_the_list_covers_whole_days_of_the_accounts_zone(client_member: Member, log_in: LogIn):
    day = timezone.localdate() - timedelta(days=10)
    moment = datetime.combine(day, time(23, 59, 59, 500_000), tzinfo=ZoneInfo("Australia/Sydney"))
    batch = Batch.objects.create(
        pk=uuid_floor(moment), account=client_member.account, payer=client_member.account, door="web", sender="Shop",
        text="x", encoding="GSM-7", currency="AUD", created_at=moment,
    )  # fmt: skip
    browser = log_in(client_member.user)
    for one, found in [(day, [batch]), (day + timedelta(days=1), []), (day - timedelta(days=1), [])]:
        rows = browser.get(f"/batches/?first={one}&last={one}").context["rows"]
        assert [row for row, _ in rows] == found, one


def test_only_the_first_two_hundred_left_out_are_listed(client_member: Member, log_in: LogIn):
    batch = accept(client_member)
    Exclusion.objects.bulk_create(Exclusion(batch=batch, value=f"x{n}", reason="invalid") for n in range(250))
    page = log_in(client_member.user).get(f"/batches/{batch.code}/").content.decode()
    assert "x199<" in page
    assert "x200<" not in page
    assert "The first 200 of 250." in words(page)
