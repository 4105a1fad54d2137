"""Large sendings: checked and accepted by workers, whatever happens to those."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as NoValkey

from accounts.models import Account, AuditEntry, Membership
from billing.models import BillingTerms, Hold
from billing.selectors import balance_of
from billing.services.terms import update_terms
from contacts.models import Contact, ContactList
from contacts.services.lists import add_to_list
from contacts.services.opt_outs import opt_out
from messaging import preparing_progress
from messaging.exceptions import NotCancellable
from messaging.models import Batch, Exclusion, Message, Preparation
from messaging.services import preparing
from messaging.services.cancelling import cancel_batch, cancel_preparing
from messaging.services.preparing import forget_old, prepare_next
from tests.cast import LogIn, Member, fund
from tests.conftest import CommittedDatabase
from tests.meeting import SURELY, meet
from tests.messaging.rows import AU, AU_DEAR, NZ, amounts_in, words

D = Decimal
LIST = f"0412 345 678, {AU_DEAR}\n{NZ} 0412345678; 0299998888, nobody"
FORM = {"recipients": LIST, "sender": "Shop", "text": "Hello", "valid_for": "24"}


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three recipients are a large sending here, and a worker looks at two of them together."""
    monkeypatch.setattr("messaging.forms.LARGE", 2)
    monkeypatch.setattr("messaging.services.planning.CHUNK", 2)


def check(browser: Client, **changes: Any) -> str:
    """Have a worker check what was typed; the address of its preview."""
    answer = browser.post("/send/", FORM | {"step": "preview"} | changes)
    assert answer.status_code == 302, answer.context["form"].errors
    assert prepare_next()
    return str(answer.headers["Location"])


def confirm(browser: Client, address: str) -> Batch:
    """Send what the preview there shows; its batch, which nobody has prepared yet."""
    shown = re.search(r'name="price" value="([^"]*)"', browser.get(address).content.decode())
    answer = browser.post(address, {"step": "send"} | ({"price": shown[1]} if shown else {}))
    return Batch.objects.get(code=answer.headers["Location"].split("/")[2])


def page_of(browser: Client, batch: Batch) -> str:
    return browser.get(f"/batches/{batch.code}/").content.decode()


def local_time(ahead: timedelta) -> str:
    """As the form takes it, on the clocks of the cast."""
    return (timezone.now() + ahead).astimezone(ZoneInfo("Australia/Sydney")).strftime("%Y-%m-%dT%H:%M")


def work_again() -> bool:
    """As a worker that comes when the pause after a failed attempt is over."""
    Preparation.objects.update(retry_at=timezone.now())
    return prepare_next()


# --- The way of a large sending ------------------------------------------------------------------------------------


def test_many_recipients_are_answered_at_once_checked_previewed_and_accepted(client_member: Member, log_in: LogIn):
    browser, partial = log_in(client_member.user), {"HX-Request": "true"}
    address = browser.post("/send/", FORM | {"step": "preview"}).headers["Location"]
    waiting = browser.get(address).content.decode()
    assert "Waits for its turn" in words(waiting)
    assert f'hx-get="{address}progress/"' in waiting
    assert f'id="refresh" href="{address}"' in waiting  # without JavaScript
    found = Preparation.objects.get()
    preparing_progress.note(found, 6, 6)
    fragment = browser.get(f"{address}progress/", headers=partial).content.decode()
    assert "3 of 6 recipients checked" in words(fragment)
    assert 'max="100" value="50"' in fragment

    assert prepare_next()
    assert browser.get(f"{address}progress/", headers=partial).headers["HX-Refresh"] == "true"
    shown = words(browser.get(address).content.decode())
    assert "Valid 3 Duplicate 1 Left out 2" in shown
    assert "Australia +614915 1 1 0.1000 0.10" in shown
    assert "All 3 3 AUD 0.202345" in shown
    assert "Now AUD 10.00 This sending AUD 0.202345 After AUD 9.797655" in shown
    assert "Contains letters; a number has digits only." in shown
    assert not Batch.objects.exists()

    batch = confirm(browser, address)
    assert (batch.state, batch.sender, batch.text, batch.currency) == ("preparing", "Shop", "Hello", "AUD")
    assert "Waits for its turn" in words(page_of(browser, batch))  # what the check noted is over
    found.refresh_from_db()
    preparing_progress.note(found, 12, 6)
    page = page_of(browser, batch)
    assert "All 6 recipients checked; their messages are being written." in words(page)
    assert f'hx-get="/batches/{batch.code}/progress/?preparing"' in page
    assert f"{batch.code} Preparing" in words(browser.get("/batches/").content.decode())
    assert balance_of(client_member.account).held == D(0)

    assert prepare_next()
    assert not prepare_next()
    batch.refresh_from_db()
    assert (batch.state, batch.message_count, batch.excluded_count, batch.price) == ("accepted", 3, 3, D("0.202345"))
    assert (batch.created_by, batch.encoding, batch.part_count) == (client_member.user, "GSM-7", 3)
    assert Hold.objects.get().amount == D("0.202345")
    assert sorted(Message.objects.values_list("recipient", "state")) == [
        (number, "queued") for number in (AU, AU_DEAR, NZ)
    ]
    assert Exclusion.objects.filter(batch=batch).count() == 3
    assert not Preparation.objects.exists()  # with what was typed
    changed = browser.get(f"/batches/{batch.code}/progress/?preparing", headers=partial)
    assert changed.headers["HX-Refresh"] == "true"
    assert browser.get(address).headers["Location"] == f"/batches/{batch.code}/"
    assert browser.post(address, {"step": "send"}).headers["Location"] == f"/batches/{batch.code}/"  # a second click
    assert Batch.objects.count() == 1


def test_a_batch_of_lists_and_merge_fields_is_scheduled_as_a_small_one_is(client_member: Member, log_in: LogIn):
    team = ContactList.objects.create(account=client_member.account, name="Team")
    for number, name in ((AU, "Ann"), (NZ, "Bob"), ("+61412000001", "Eve")):
        add_to_list(contact_list=team, number=number, source="by hand")
        Contact.objects.filter(number=number).update(first_name=name)
    opt_out(account=client_member.account, number="+61412000001", source="reply")
    typed = {"recipients": AU_DEAR, "lists": [team.code], "text": "Hi {first_name|you}", "when": "later"}
    browser = log_in(client_member.user)
    address = check(browser, send_at=local_time(timedelta(days=1)), **typed)
    assert "As +61 412 345 678 gets it." in words(browser.get(address).content.decode())
    batch = confirm(browser, address)
    assert prepare_next()

    batch.refresh_from_db()
    assert batch.state == "accepted"
    texts = Message.objects.values_list("recipient", "text", "state", "not_before", "valid_until")
    assert batch.send_at is not None
    until = batch.send_at + timedelta(days=1)
    assert sorted(texts) == [
        (AU, "Hi Ann", "scheduled", batch.send_at, until),
        (AU_DEAR, "Hi you", "scheduled", batch.send_at, until),
        (NZ, "Hi Bob", "scheduled", batch.send_at, until),
    ]
    assert Exclusion.objects.get().reason == "opted_out"


def test_a_worker_tells_how_far_it_has_come(client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch):
    noted: list[tuple[int, int]] = []
    monkeypatch.setattr(preparing, "note", lambda _, done, total: noted.append((done, total)))
    check(log_in(client_member.user))
    assert noted == [(2, 6), (4, 6), (6, 6), (8, 6), (10, 6), (12, 6)]  # numbers are read, then sorted and priced


def test_without_valkey_only_the_figures_are_missing(monkeypatch: pytest.MonkeyPatch):
    def away(*_: Any, **__: Any) -> None:
        raise NoValkey

    monkeypatch.setattr("django.core.cache.cache.set", away)
    monkeypatch.setattr("django.core.cache.cache.get", away)
    preparing_progress.note(Preparation(pk=1), 2, 3)
    assert preparing_progress.checked(Preparation(pk=1)).total == 0


def test_a_form_that_became_large_since_its_preview_is_sent_once(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    sent = FORM | {"step": "send", "key": "a" * 32, "price": "0.202345"}
    first, second = browser.post("/send/", sent), browser.post("/send/", sent)
    batch = Batch.objects.get()
    assert first.headers["Location"] == second.headers["Location"] == f"/batches/{batch.code}/"
    assert Preparation.objects.count() == 1
    assert prepare_next()
    assert browser.post("/send/", sent).headers["Location"] == f"/batches/{batch.code}/"
    assert Message.objects.count() == 3


def test_the_preview_is_made_anew_when_asked(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    address = check(browser, recipients=", ".join(f"+614{10_000_000 + n}" for n in range(200)))
    assert "AUD 4.00 are missing" in words(browser.get(address).content.decode())
    fund(client_member, "5")
    browser.post(address, {"step": "preview"})
    assert "Checking the recipients" in browser.get(address).content.decode()
    assert prepare_next()
    assert "SEND 200 MESSAGES" in words(browser.get(address).content.decode())


# --- Refusals, and the way back ------------------------------------------------------------------------------------


def way_back(browser: Client, batch: Batch) -> dict[str, Any]:
    """What the form that the batch's page leads to has in its fields."""
    link = re.search(r'href="(/send/\?draft=\w+)"', page_of(browser, batch))
    assert link
    form = browser.get(link[1]).context["form"]
    return {name: form[name].value() for name in FORM}


def test_what_the_wallet_does_not_cover_is_refused_whole_and_can_be_sent_again(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    many = ", ".join(f"+614{10_000_000 + n}" for n in range(100))
    address = check(browser, recipients=many)
    fund_less = confirm(browser, check(browser, recipients=many))
    assert prepare_next()  # 7.00 of 10.00
    assert Message.objects.count() == 100
    batch = confirm(browser, address)
    assert prepare_next()

    batch.refresh_from_db()
    assert batch.state == "refused"
    assert batch.refusal.startswith("This batch costs AUD 7.00 and AUD 3.00 are available: AUD 4.00 are missing.")
    assert Message.objects.exclude(batch=fund_less).count() == 0
    assert balance_of(client_member.account).held == D(7)
    page = page_of(browser, batch)
    assert "Refused, nothing was sent. This batch costs AUD 7.00" in words(page)
    assert 'href="/billing/add-credit/"' in page
    assert "hx-get" not in page
    listed = words(browser.get("/batches/").content.decode())
    assert re.search(rf"{batch.code} Refused [^A]*Hello Shop · Web – –", listed)
    assert way_back(browser, batch) == FORM | {"recipients": many}
    Membership.objects.update(role="viewer")
    assert "draft" not in page_of(browser, batch)


def lower_margin(member: Member, _: ContactList) -> None:
    update_terms(terms=BillingTerms.objects.get(account=member.account), actor=None, sms_margin=D("0.03"))


def suspend(member: Member, _: ContactList) -> None:
    Account.objects.filter(pk=member.account.pk).update(status=Account.Status.SUSPENDED)


def all_opt_out(member: Member, _: ContactList) -> None:
    for number in (AU, AU_DEAR, NZ):
        opt_out(account=member.account, number=number, source="reply")


def delete_list(_: Member, team: ContactList) -> None:
    team.delete()


def time_passes(_: Member, __: ContactList) -> None:
    Batch.objects.update(valid_until=timezone.now())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lower_margin, "The price has changed from AUD 0.202345 to AUD 0.232345 since the preview."),
        (suspend, "This account is suspended, so nothing can be sent."),
        (all_opt_out, "None of the 6 recipients can be sent to."),
        (delete_list, "One of the lists is gone; choose among those that are left."),
        (time_passes, "It was to be sent by a time that has passed meanwhile."),
    ],
)
def test_what_changed_since_it_was_sent_is_heeded_when_it_is_accepted(
    client_member: Member, log_in: LogIn, change: Callable[[Member, ContactList], None], sentence: str
):
    team = ContactList.objects.create(account=client_member.account, name="Team")
    browser = log_in(client_member.user)
    batch = confirm(browser, check(browser, lists=[team.code]))
    change(client_member, team)
    assert prepare_next()
    batch.refresh_from_db()
    assert (batch.state, batch.message_count) == ("refused", 0)
    assert sentence in batch.refusal
    assert not Message.objects.exists()
    assert balance_of(client_member.account).held == D(0)
    if change is not suspend:  # whose pages are closed
        assert way_back(browser, batch) == FORM


def test_what_the_check_refuses_is_said_at_its_field(client_member: Member, log_in: LogIn, settings: Any):
    settings.MAX_WEB_RECIPIENTS = 5
    browser = log_in(client_member.user)
    form = browser.get(check(browser)).context["form"]
    assert form.errors["recipients"] == ["There are 6 recipients; at most 5 can be sent to at once."]
    assert {name: form[name].value() for name in FORM} == FORM


def test_a_time_that_passed_while_the_preview_was_read_is_said_at_its_field(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    address = check(browser, when="later", send_at=local_time(timedelta(minutes=5)))
    typed = Preparation.objects.get().typed | {"send_at": "2001-01-01T10:00"}
    Preparation.objects.update(typed=typed)
    form = browser.post(address, {"step": "send", "price": "0.202345"}).context["form"]
    assert "has passed" in form.errors["send_at"][0]
    assert form["recipients"].value() == LIST
    assert not Batch.objects.exists()


def test_what_was_typed_is_forgotten_after_a_week(client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    address = check(browser)
    assert forget_old(timezone.now() + timedelta(days=6)) == 0
    assert forget_old(timezone.now() + timedelta(days=8)) == 1
    assert browser.get(address).status_code == 404
    draft = address.split("/")[2]
    assert "is not kept any more" in browser.get(f"/send/?draft={draft}").content.decode()


# --- Whose it is ---------------------------------------------------------------------------------------------------


def test_a_client_billed_to_its_parent_sees_no_amount_on_any_page(
    billed_member: Member, reseller: Member, log_in: LogIn
):
    browser = log_in(billed_member.user)
    address = check(browser)
    assert amounts_in(browser.get(address).content.decode()) == []
    batch, wallet = confirm(browser, address), balance_of(reseller.account)
    assert amounts_in(page_of(browser, batch)) == []
    for path in ("/", "/batches/", f"/batches/{batch.code}/", f"/clients/{billed_member.account.code}/"):
        assert "Preparing" in words(log_in(reseller.user).get(path).content.decode()), path
    assert amounts_in(browser.get("/batches/").content.decode()) == []

    suspended = Account.objects.filter(pk=reseller.account.pk)
    suspended.update(status=Account.Status.SUSPENDED)
    assert prepare_next()
    suspended.update(status=Account.Status.ACTIVE)
    assert amounts_in(page_of(browser, batch)) == []
    parents = page_of(log_in(reseller.user), batch)
    assert "Refused, nothing was sent. Sending is stopped for this account." in words(parents)
    assert "draft" not in parents  # what its client typed is its client's
    again = confirm(browser, check(browser))
    assert prepare_next()
    again.refresh_from_db()
    assert (again.state, again.price) == ("accepted", D("0.142345"))
    assert balance_of(reseller.account).available == wallet.available - D("0.142345")


# --- Cancelling ----------------------------------------------------------------------------------------------------


def test_a_batch_is_cancelled_while_it_is_prepared(client_member: Member, log_in: LogIn, reseller: Member):
    browser = log_in(client_member.user)
    batch = confirm(browser, check(browser))
    question = words(browser.get(f"/batches/{batch.code}/cancel/").content.decode())
    assert "Cancelled now, nothing of it is sent and nothing charged" in question
    answer = words(browser.post(f"/batches/{batch.code}/cancel/", follow=True).content.decode())
    assert "Cancelled before it was accepted: nothing was sent, and nothing charged." in answer
    assert prepare_next()  # which finds out
    assert not prepare_next()
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Hold.objects.count()) == ("cancelled", 0, 0)
    assert AuditEntry.objects.get(action="batch.cancelled").subject == batch.code
    assert way_back(browser, batch) == FORM
    with pytest.raises(NotCancellable):
        cancel_batch(batch=batch, actor=None)


RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def test_a_batch_that_is_cancelled_in_the_middle_is_not_accepted(
    committed_db: CommittedDatabase,
    client_member: Member,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    run_together: RunTogether,
):
    batch = waiting_batch(client_member, log_in)
    monkeypatch.setattr(
        preparing, "note", lambda *_: run_together(1, lambda _: cancel_preparing(batch=batch, actor=None))
    )
    assert prepare_next()
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Preparation.objects.get().state) == ("cancelled", 0, "ended")


# --- Workers that die, fail and race -------------------------------------------------------------------------------


def waiting_batch(member: Member, log_in: LogIn) -> Batch:
    browser = log_in(member.user)
    return confirm(browser, check(browser))


# A worker that comes to a standstill at the given moment of its work, says so, and waits to be killed.
WORKER = """
import sys, time
import django
django.setup()
from messaging.services import acceptance, preparing
def stand_still(*_, **__):
    print("here", flush=True)
    time.sleep(60)
setattr({"preparing": preparing, "ledger": acceptance.ledger}[sys.argv[1]], sys.argv[2], stand_still)
preparing.prepare_next()
"""


def test_a_worker_killed_at_any_moment_leaves_nothing_and_the_next_accepts_exactly_once(
    committed_db: CommittedDatabase, client_member: Member, log_in: LogIn
):
    browser = log_in(client_member.user)
    address = browser.post("/send/", FORM | {"step": "preview"}).headers["Location"]
    kill_worker_at(committed_db, "preparing", "to_json")  # all is checked
    assert Preparation.objects.get().state == "checking"
    assert work_again()
    batch = confirm(browser, address)
    kill_worker_at(committed_db, "ledger", "hold_all")  # all but the money is written
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Hold.objects.count()) == ("preparing", 0, 0)
    assert Preparation.objects.get().attempts == 1
    assert work_again()
    assert not work_again()
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Hold.objects.get().amount) == ("accepted", 3, D("0.202345"))
    assert balance_of(client_member.account).available == D("9.797655")


def kill_worker_at(database: CommittedDatabase, module: str, name: str) -> None:
    command = [sys.executable, "-c", WORKER, module, name]
    with subprocess.Popen(command, env=database.env, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "here\n"
        worker.kill()
    wait_for_the_lock()


def wait_for_the_lock() -> None:
    """Until the server has noticed that the worker's connection is gone."""
    account = [preparing.LOCK_SPACE, Preparation.objects.get().account_id]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", account)
        cursor.execute("SELECT pg_advisory_unlock(%s, %s)", account)


def workers_inside(monkeypatch: pytest.MonkeyPatch, run_together: RunTogether, patience: float = 1.0) -> int:
    """How many of two workers come as far as accepting, when both have seen the same batch waiting."""
    entered: list[int] = []
    real = preparing.accept_prepared

    def counted(**values: Any) -> Batch:
        entered.append(1)
        return real(**values)

    monkeypatch.setattr(preparing, "accept_prepared", counted)
    meet(monkeypatch, preparing, "_begin", patience=patience)
    meet(monkeypatch, preparing, "accept_prepared", patience=patience)
    run_together(2, lambda _: prepare_next())
    return len(entered)


def test_two_workers_never_accept_the_same_batch(
    committed_db: CommittedDatabase,
    client_member: Member,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    run_together: RunTogether,
):
    batch = waiting_batch(client_member, log_in)
    assert workers_inside(monkeypatch, run_together) == 1
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Hold.objects.count()) == ("accepted", 3, 1)


def test_the_race_of_two_workers_can_be_lost(
    committed_db: CommittedDatabase,
    client_member: Member,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    run_together: RunTogether,
):
    """The canary: without the locks both are at it. Then the batch's own state still lets one of them accept it."""
    batch = waiting_batch(client_member, log_in)
    monkeypatch.setattr(preparing, "_alone", lambda _: nullcontext(enter_result=True))
    monkeypatch.setattr(preparing, "_BEGIN", "SELECT %s")
    monkeypatch.setattr(QuerySet, "select_for_update", lambda found, **_: found)
    assert workers_inside(monkeypatch, run_together, SURELY) == 2
    batch.refresh_from_db()
    assert (batch.state, Message.objects.count(), Hold.objects.count()) == ("accepted", 3, 1)


def test_what_fails_again_and_again_is_given_up_with_an_apology(
    client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
):
    batch = waiting_batch(client_member, log_in)

    def fail(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(preparing, "accept_prepared", fail)
    for attempt in range(preparing.MOST_ATTEMPTS):
        with pytest.raises(RuntimeError):
            work_again()
        pause = Preparation.objects.get().retry_at - timezone.now()
        assert timedelta(seconds=2 * 2**attempt - 1) < pause <= timedelta(seconds=2 * 2**attempt)
        assert not prepare_next()  # not before its time
    assert work_again()
    batch.refresh_from_db()
    assert (batch.state, batch.refusal[:44]) == ("refused", "This could not be prepared, for a reason of ")


def test_one_account_keeps_one_worker_busy_and_no_more(
    committed_db: CommittedDatabase,
    client_member: Member,
    outsider: Member,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    run_together: RunTogether,
):
    for member in (client_member, client_member, outsider):
        log_in(member.user).post("/send/", FORM | {"step": "preview"})
    meet(monkeypatch, preparing, "_check", 3, patience=2)
    run_together(3, lambda _: prepare_next())
    left = Preparation.objects.get(state="checking")
    assert left.account == client_member.account
    assert prepare_next()
