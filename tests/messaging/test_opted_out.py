"""Whoever opted out gets nothing: excluded from every plan with that reason, whatever runs at the same moment."""

import threading
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection

from accounts.prepared import fetch_prepared
from billing.selectors import balance_of
from contacts.models import OptOut
from contacts.services.lists import Person, add_people, create_list
from contacts.services.opt_outs import opt_in, opt_out
from messaging.exceptions import NothingToSend
from messaging.models import Batch, Exclusion, Message, Route
from messaging.services import acceptance, stopping
from messaging.services.dispatching import dispatch_route
from messaging.services.planning import plan_batch
from messaging.services.settling import settle_waiting
from messaging.services.stopping import block_opted_out
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, words

D = Decimal


def plan(member: Member, recipients: list[str], **more: Any):
    return plan_batch(account=member.account, sender="Shop", text="Hi", recipients=recipients, **more)


def test_an_opted_out_recipient_is_left_out_with_the_reason_and_costs_nothing(client_member: Member):
    opt_out(account=client_member.account, number=AU, source="reply")
    found = plan(client_member, ["0412 345 678", NZ, AU])

    assert [(row.value, row.reason, row.detail) for row in found.exclusions] == [
        ("0412 345 678", "opted_out", "This person has opted out of your messages."),
        (AU, "duplicate", "+61412345678 is in the list already."),
    ]
    assert [row.number for row in found.recipients] == [NZ]
    assert found.total == D("0.032345")

    batch = accept(client_member, [AU, NZ])
    assert (batch.message_count, batch.excluded_count, batch.price) == (1, 1, D("0.032345"))
    assert Exclusion.objects.get(batch=batch).get_reason_display() == "Opted out"
    assert not Message.objects.filter(recipient=AU).exists()


def test_it_holds_in_any_list_and_through_any_door(client_member: Member):
    account = client_member.account
    team = create_list(account=account, name="Team", actor=None)
    add_people(contact_list=team, people=[Person(AU), Person(AU_DEAR)], source="by hand", actor=None)
    opt_out(account=account, number=AU, source="keyword")
    for door in Batch.Door.values:
        batch = accept(client_member, [NZ, AU], lists=[team], door=door)
        assert set(Message.objects.filter(batch=batch).values_list("recipient", flat=True)) == {AU_DEAR, NZ}, door
        reasons = list(Exclusion.objects.filter(batch=batch).order_by("pk").values_list("value", "reason"))
        assert reasons == [(AU, "opted_out"), (AU, "duplicate")], door


def test_the_opt_out_of_one_account_binds_no_other(client_member: Member, reseller: Member):
    opt_out(account=reseller.account, number=AU, source="reply")
    assert plan(client_member, [AU]).exclusions == []
    assert plan(reseller, [AU]).recipients == []


def test_a_batch_to_opted_out_numbers_alone_is_refused(client_member: Member):
    opt_out(account=client_member.account, number=AU, source="reply")
    with pytest.raises(NothingToSend, match=r"This person has opted out of your messages"):
        accept(client_member, [AU])
    assert not Batch.objects.exists()


def test_an_opt_in_lets_messages_through_again(client_member: Member):
    opt_out(account=client_member.account, number=AU, source="reply")
    opt_in(account=client_member.account, number=AU, reason="asked on the phone")
    assert accept(client_member, [AU]).message_count == 1


def test_a_preview_before_the_opt_out_changes_nothing(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    form = {"recipients": f"{AU} {NZ}", "sender": "Shop", "text": "Hello"}
    preview = browser.post("/send/", form | {"step": "preview"})
    opt_out(account=client_member.account, number=AU, source="reply")
    answer = browser.post(
        "/send/", form | {"step": "send", "key": preview.context["key"], "price": preview.context["expected_price"]}
    )

    assert "The price has changed from AUD 0.102345 to AUD 0.032345" in words(answer.content.decode())
    assert not Batch.objects.exists()
    again = browser.post("/send/", form | {"step": "preview"})
    assert "Opted out: 1" in words(again.content.decode())
    browser.post("/send/", form | {"step": "send", "key": again.context["key"], "price": "0.032345"})
    batch = Batch.objects.get()
    assert (batch.message_count, batch.excluded_count) == (1, 1)
    assert "Opted out: 1" in words(browser.get(f"/batches/{batch.code}/").content.decode())


def test_who_was_left_out_is_exported_with_the_reason(client_member: Member, outsider: Member, log_in: LogIn):
    opt_out(account=client_member.account, number=AU, source="reply")
    batch = accept(client_member, [AU, "=1+1", NZ])
    path = f"/batches/{batch.code}/left-out.csv"
    lines = b"".join(log_in(client_member.user).get(path).streaming_content).decode().splitlines()
    assert lines == [
        "\ufeffAs typed,Reason,Detail",
        "+61412345678,Opted out,This person has opted out of your messages.",
        "'=1+1,Not a valid mobile number,Too short for a telephone number.",
    ]
    assert log_in(outsider.user).get(path).status_code == 404


def test_a_plan_asks_once_for_all_recipients(client_member: Member, django_assert_max_num_queries):
    few, many = ([f"+614{10_000_000 + index}" for index in range(count)] for count in (2, 2000))
    with django_assert_max_num_queries(20) as asked:
        plan(client_member, few)
    with django_assert_max_num_queries(len(asked)):
        plan(client_member, many)


@pytest.mark.parametrize("holds_still", [True, False], ids=["as built", "canary: without the lock"])
def test_an_opt_out_committed_before_a_batch_is_never_sent_to(
    committed_db, client_member: Member, run_together, monkeypatch: pytest.MonkeyPatch, holds_still: bool
):
    """The opt-out comes after the plan has read the opt-outs and before the batch commits: it must wait for it."""
    planned, committed = threading.Event(), []
    write = acceptance._write_batches

    def slow(orders):
        planned.set()
        _wait_until(lambda: committed or _is_anyone_waiting())
        batches = write(orders)
        committed.append("batch")
        return batches

    monkeypatch.setattr(acceptance, "_write_batches", slow)
    if not holds_still:
        monkeypatch.setattr(acceptance, "hold_still", lambda account: None)

    def work(index: int) -> None:
        if index == 0:
            accept(client_member, [AU])
        else:
            planned.wait(10)
            opt_out(account=client_member.account, number=AU, source="reply")
            committed.append("opt-out")

    assert run_together(2, work) == [None, None]
    assert committed == (["batch", "opt-out"] if holds_still else ["opt-out", "batch"])
    with pytest.raises(NothingToSend):
        accept(client_member, [AU])


def test_opt_outs_and_batches_at_once_leave_no_message_after_the_opt_out(
    committed_db, client_member: Member, run_together
):
    """Ten batches and one opt-out race; whatever was accepted after the opt-out has no message to that number."""

    def work(index: int) -> Any:
        if index == 5:
            return opt_out(account=client_member.account, number=AU, source="reply")
        return accept(client_member, [AU, NZ])

    outcomes = run_together(11, work)
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    batches = {batch.pk: batch for batch in outcomes if isinstance(batch, Batch)}
    with_anna = set(Message.objects.filter(recipient=AU).values_list("batch_id", flat=True))
    left_out = set(Exclusion.objects.filter(reason="opted_out").values_list("batch_id", flat=True))
    opted_out_at = OptOut.objects.get().created_at
    assert with_anna == {key for key, batch in batches.items() if batch.accepted_at < opted_out_at}
    assert left_out == {key for key, batch in batches.items() if batch.accepted_at > opted_out_at}
    assert len(with_anna | left_out) == 10


def test_what_waits_when_somebody_opts_out_is_blocked_and_costs_nothing(client_member: Member, reseller: Member):
    account = client_member.account
    first, second = accept(client_member, [AU, NZ]), accept(client_member, [AU])
    accept(reseller, [AU])
    Message.objects.filter(batch=second).update(state="released")
    gone = accept(client_member, [AU])
    Message.objects.filter(batch=gone).update(state="sending")
    opt_out(account=account, number=AU, source="reply")
    Route.objects.update(is_paused=True)
    dispatch_route(Route.objects.get().pk)

    states = dict(Message.objects.values_list("batch__account__name", "state").filter(recipient=NZ))
    assert states == {"Client": "queued"}
    blocked = Message.objects.filter(state="blocked").order_by("pk")
    assert [message.batch_id for message in blocked] == [first.pk, second.pk]
    assert {message.reason for message in blocked} == {"The recipient opted out before it was sent."}
    assert Message.objects.get(batch__account=reseller.account).state == "queued"
    assert Message.objects.get(batch=gone).state == "sending"  # it is on its way: nobody can call it back
    settle_waiting(100)
    assert balance_of(account).available == D(10) - D("0.07") - D("0.032345")


def test_the_confirmation_of_an_opt_out_is_not_blocked_with_what_came_before(client_member: Member):
    before = accept(client_member, [AU])
    opt_out(account=client_member.account, number=AU, source="reply")
    after = accept(client_member, [AU], confirms_opt_out=True)
    assert dispatch_route(Route.objects.get().pk).released == 1
    assert Message.objects.get(batch=before).state == "blocked"
    assert Message.objects.get(batch=after).state == "released"


def test_an_opt_in_before_the_dispatch_leaves_what_waits(client_member: Member):
    accept(client_member, [AU])
    opt_out(account=client_member.account, number=AU, source="reply")
    opt_in(account=client_member.account, number=AU, reason="by mistake")
    assert dispatch_route(Route.objects.get().pk).released == 1
    assert not OptOut.objects.filter(stopped_at=None).exists()


def test_a_dispatch_without_new_opt_outs_asks_once_more_only(db, monkeypatch, django_assert_num_queries):
    asking = Mock(wraps=fetch_prepared)
    monkeypatch.setattr(stopping, "fetch_prepared", asking)
    with django_assert_num_queries(0):  # those of Django, which are not prepared
        assert block_opted_out() == 0
    asking.assert_called_once()


def _wait_until(is_true) -> None:
    for _ in range(1000):
        if is_true():
            return
        threading.Event().wait(0.01)
    raise TimeoutError("neither happened")


def _is_anyone_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        return cursor.fetchone()[0]
