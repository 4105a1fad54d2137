"""Messages whose answer was lost: a late receipt settles them, or staff send them again or give them up."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from billing.models import LedgerAccount
from billing.selectors import balance_of
from messaging.connectors.statements import LOCK_SPACE
from messaging.models import Message, MessagePart, Receipt, Route
from messaging.services import unknown
from messaging.services.cancelling import cancel_batch
from messaging.services.dispatching import dispatch_all
from messaging.services.receipts import apply_waiting
from messaging.services.settling import settle_waiting
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.rows import accept, fill_keys, words

D = Decimal
PAGE = reverse("admin:messaging_unknownmessage_changelist")
LONG = "More than one part, said again and again. " * 6


def lose(batch, **values) -> list[Message]:
    """The batch's messages as a connector that died left them."""
    defaults = {"state": "unknown", "sending_at": timezone.now(), "claim": "1:0:dead", "attempts": 1}
    Message.objects.filter(batch=batch).update(**(defaults | values))
    fill_keys()
    return list(Message.objects.filter(batch=batch).order_by("pk"))


def numbers(count: int) -> list[str]:
    return [f"+61412{number:06d}" for number in range(345_000, 345_000 + count)]


@pytest.fixture
def staff(log_in: LogIn, db: None) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def test_what_is_given_up_costs_nothing_and_a_late_receipt_charges_nothing(client_member: Member, reseller: Member):
    first, *others = lose(accept(client_member, numbers(3)))
    lost = [one.pk for one in others]
    assert unknown.release(lost, actor=None) == 2
    Receipt.objects.create(route=first.route, carrier_id="c-9", status="DELIVRD", recipient=others[0].recipient,
                           attempts=4)  # fmt: skip
    apply_waiting(100)
    assert settle_waiting(100) == 2
    assert set(Message.objects.filter(pk__in=lost).values_list("state", "sent_at")) == {("failed", None)}
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D("9.93"), D("0.07"))  # 10.00 less the one that is unknown still
    assert balance_of(reseller.account).available == D(100)
    assert unknown.release(lost, actor=None) == 0  # a second click
    call_command("verify_ledger")


def test_what_is_sent_again_keeps_its_hold_and_is_paid_once(client_member: Member, reseller: Member):
    message = lose(accept(client_member, numbers(1), text=LONG), carrier_id="old-1")[0]
    MessagePart.objects.create(message=message, part=1, route=message.route, carrier_id="old-1")
    assert unknown.resend([message.pk], actor=client_member.user) == 1
    assert unknown.resend([message.pk], actor=client_member.user) == 0
    message.refresh_from_db()
    assert (message.state, message.attempts, message.claim, message.carrier_id) == ("queued", 1, "", "")
    assert not MessagePart.objects.filter(message=message).exists()
    assert balance_of(client_member.account).held == message.price == D("0.14")
    dispatch_all()
    Message.objects.filter(state="released").update(state="sent", sent_at=timezone.now())
    settle_waiting(100)
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (D("9.86"), D(0))
    assert balance_of(reseller.account).available == D("100.04")
    assert LedgerAccount.objects.get(kind="revenue", currency="AUD").balance == D("0.10")
    entry = AuditEntry.objects.get(action="messages.sent_again")
    assert (entry.account, entry.actor, entry.subject) == (
        client_member.account,
        client_member.user,
        message.batch.code,
    )
    assert entry.data == {"messages": 1, "batches": [message.batch.code]}
    call_command("verify_ledger")


def test_messages_of_a_cancelled_batch_can_be_given_up_only(client_member: Member):
    batch = accept(client_member, numbers(2))
    gone = Message.objects.filter(batch=batch).first()
    Message.objects.filter(pk=gone.pk).update(state="unknown", sending_at=timezone.now())
    cancel_batch(batch=batch, actor=None)
    assert unknown.resend([gone.pk], actor=None) == 0
    assert unknown.release([gone.pk], actor=None) == 1


def test_a_receipt_and_a_decision_at_once_count_once(committed_db, client_member: Member, run_together):
    """Whoever has the row first decides; the other finds it settled. Repeated, so that both orders come."""
    outcomes = set()
    for round_number in range(8):
        message = lose(accept(client_member, [f"+6141200{round_number:04d}"]), carrier_id=f"c-{round_number}")[0]
        Receipt.objects.create(route=message.route, carrier_id=f"c-{round_number}", status="DELIVRD")
        decide = unknown.release if round_number % 2 else unknown.resend
        works = [lambda: decide([message.pk], actor=None), lambda: apply_waiting(10)]  # noqa: B023
        answers = run_together(2, lambda index: works[index]())  # noqa: B023
        message.refresh_from_db()
        outcomes.add(message.state)
        expected = "delivered" if answers[0] == 0 else ("failed" if round_number % 2 else "queued")
        assert message.state == expected
        assert (message.sent_at is not None) == (expected == "delivered")
    assert outcomes <= {"delivered", "failed", "queued"}
    settle_waiting(100)
    call_command("verify_ledger")


def test_a_decision_waits_for_a_receipt_that_is_being_applied(committed_db, client_member: Member, run_together):
    message = lose(accept(client_member, numbers(1)))[0]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE messaging_message SET state = 'sent', sent_at = now() WHERE id = %s", [message.pk])
        with pytest.raises(TimeoutError):
            run_briefly(run_together, message)
    assert run_together(1, lambda _: unknown.resend([message.pk], actor=None)) == [0]


def run_briefly(run_together, message: Message) -> None:
    """Give the message up from another connection that waits for no lock longer than a moment."""

    def decide(_: int) -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            return unknown.release([message.pk], actor=None)

    answer = run_together(1, decide)[0]
    if "lock timeout" in str(answer):
        raise TimeoutError


def test_staff_see_them_by_route_age_and_account_and_decide_about_all_at_once(
    staff: Client, client_member: Member, reseller: Member
):
    hour_ago = timezone.now() - timedelta(hours=2)
    old = lose(accept(client_member, numbers(60)), sending_at=hour_ago)
    new = lose(accept(reseller, ["+61412999999"]))[0]
    route = Route.objects.get()

    def shown(**query) -> str:
        page = staff.get(PAGE, query)
        assert page.status_code == 200
        return words(page.content.decode())

    assert new.recipient in shown(account=reseller.account.code)
    assert new.recipient not in shown(account=client_member.account.code)
    assert new.recipient not in shown(age="hour")
    assert new.recipient in shown(route__id__exact=route.pk, q=new.recipient)
    # Fifty a page, and all sixty decided about at once.
    chosen = {"action": "give_up", "_selected_action": [str(old[0].pk)], "select_across": "1"}
    asked = staff.post(f"{PAGE}?age=hour", chosen)
    assert "60 messages of 1 account: nobody heard whether the carrier took them" in words(asked.content.decode())
    assert "What was held is given back at once" in words(asked.content.decode())
    assert Message.objects.filter(state="unknown").count() == 61
    done = staff.post(f"{PAGE}?age=hour", chosen | {"confirmed": "yes"}, follow=True)
    assert "60 messages given up. What was settled meanwhile is left alone." in words(done.content.decode())
    settle_waiting(100)
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (D(10), D(0))
    again = {"action": "send_again", "_selected_action": [str(new.pk)]}
    assert "A phone may get the same message twice" in words(staff.post(PAGE, again).content.decode())
    staff.post(PAGE, again | {"confirmed": "yes"})
    new.refresh_from_db()
    assert new.state == "queued"
    assert "Unknown" not in shown(q=new.recipient).split("0 unknown messages")[0][-50:]
    assert AuditEntry.objects.get(action="messages.given_up").actor.username == "staff"


def test_staff_without_the_right_decide_nothing(log_in: LogIn, client_member: Member):
    message = lose(accept(client_member, numbers(1)))[0]
    watcher = User.objects.create_user("watcher", "watcher@test.example", PASSWORD, is_staff=True)
    watcher.user_permissions.add(Permission.objects.get(codename="view_unknownmessage"))
    post = {"action": "give_up", "_selected_action": [str(message.pk)], "confirmed": "yes"}
    log_in(watcher).post(PAGE, post)
    message.refresh_from_db()
    assert message.state == "unknown"


def test_the_client_reads_honestly_that_nobody_knows(client_member: Member, log_in: LogIn):
    message = lose(accept(client_member, numbers(1)))[0]
    page = log_in(client_member.user).get(reverse("messaging:message-detail", args=[message.pk]))
    shown = words(page.content.decode())
    assert "Unknown" in shown
    assert "We do not know whether the carrier took this message" in shown
    assert "nothing is charged while that is open" in shown


def test_after_a_restore_nothing_that_may_have_gone_out_goes_again_unasked(committed_db, client_member: Member, capsys):
    waiting = accept(client_member, numbers(3))
    first, second, _ = Message.objects.filter(batch=waiting).order_by("pk").values_list("pk", flat=True)
    Message.objects.filter(pk=first).update(state="released")
    Message.objects.filter(pk=second).update(state="sending", claim="1:0:dead", sending_at=timezone.now())
    tomorrow = timezone.now() + timedelta(days=1)
    Message.objects.filter(batch=accept(client_member, numbers(1))).update(state="scheduled", not_before=tomorrow)
    done = Message.objects.filter(batch=accept(client_member, numbers(1)))
    done.update(state="delivered", sent_at=timezone.now())

    with connection.cursor() as cursor:  # as a bind that is held
        cursor.execute("SELECT pg_advisory_lock(%s, 1)", [LOCK_SPACE])
        with pytest.raises(CommandError, match="stop every process"):
            call_command("after_restore")
        cursor.execute("SELECT pg_advisory_unlock_all()")
    call_command("after_restore")

    assert "3 messages may have been sent since the back-up and are unknown now" in capsys.readouterr().out
    assert Message.objects.filter(batch=waiting, state="unknown", claim="").count() == 3
    assert dispatch_all() == 0
    assert set(Message.objects.exclude(batch=waiting).values_list("state", flat=True)) == {"scheduled", "delivered"}
    assert balance_of(client_member.account).held == D("0.35")
    settle_waiting(100)
    call_command("verify_ledger")
