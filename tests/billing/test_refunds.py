import itertools
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEntry, OutgoingMail, User
from billing.exceptions import BillingError, InsufficientFunds, NotAllowed
from billing.models import LedgerTransaction, PaymentEvent, Refund, TopUp
from billing.services import ledger, refunds
from billing.services.refunds import request_refund, send_refund, sweep_refunds
from billing.services.topups import start_topup
from messaging.exceptions import NotEnoughMoney
from tests.billing.hooks import available, deliver, paid_topup, told
from tests.cast import PASSWORD, LogIn, Member, check_now, fund
from tests.messaging.rows import accept, words
from tests.stripe_double import Double

D = Decimal


@pytest.fixture
def paid(double: Double, client_member: Member) -> TopUp:
    """50.00 paid and credited: the wallet has 60.00."""
    return paid_topup(double, client_member)


@pytest.fixture
def staff_user(db: None) -> User:
    return User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")


def ask(topup: TopUp, amount: str, staff: User, key: str = "REFUND1") -> Refund:
    return request_refund(topup=topup, amount=D(amount), reason="Paid twice", key=key, actor=staff)


def refunded(topup: TopUp) -> Decimal:
    topup.refresh_from_db()
    return topup.refunded


def test_staff_give_a_part_back_and_the_event_books_it_no_second_time(
    double: Double, paid: TopUp, client_member: Member, staff_user: User
) -> None:
    refund = send_refund(ask(paid, "20", staff_user))
    check_now()
    assert (refund.state, refund.gateway_id[:3]) == ("refunded", "re_")
    assert (available(client_member), refunded(paid)) == (D(40), D(20))
    deliver(told(double, 2))
    assert (available(client_member), refunded(paid)) == (D(40), D(20))
    movement = LedgerTransaction.objects.get(kind="refund")
    assert (movement.idempotency_key, movement.reference, movement.actor) == ("refund:REFUND1", paid.code, staff_user)
    assert sorted(entry.amount for entry in movement.entries.all()) == [D(-20), D(20)]
    assert AuditEntry.objects.get(action="refund.booked").data["reason"] == "Paid twice"
    mail = OutgoingMail.objects.get(key="refund:REFUND1")
    assert "AUD 20.00 goes back to the card that paid receipt" in mail.text
    assert "Reason:       Paid twice" in mail.text


def test_the_event_may_come_before_the_answer(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = ask(paid, "20", staff_user)
    with monkeypatch.context() as crashed:  # the process dies with the answer in its hands
        crashed.setattr(refunds, "apply_refund", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send_refund(refund)
    deliver(told(double, 2))
    refund.refresh_from_db()
    assert refund.state == "refunded"
    send_refund(refund)
    assert (available(client_member), refunded(paid)) == (D(40), D(20))
    assert Refund.objects.count() == 1


def test_after_a_crash_the_sweep_asks_again_with_the_same_key(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = ask(paid, "20", staff_user)
    with monkeypatch.context() as crashed:
        crashed.setattr(refunds, "apply_refund", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send_refund(refund)
    assert sweep_refunds(timezone.now()) == 0
    assert sweep_refunds(timezone.now() + timedelta(minutes=1)) == 1
    refund.refresh_from_db()
    assert refund.state == "refunded"
    assert len(told(double, 2)) == 2  # one refund at the gateway, not two
    assert available(client_member) == D(40)


def test_a_gateway_that_is_away_leaves_the_refund_waiting_and_booked(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, settings: Settings
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    refund = send_refund(ask(paid, "20", staff_user))
    assert (refund.state, available(client_member)) == ("waiting", D(40))
    settings.STRIPE_API_BASE = double.url
    sweep_refunds(timezone.now() + timedelta(minutes=1))
    refund.refresh_from_db()
    assert (refund.state, available(client_member)) == ("refunded", D(40))


def test_a_refund_that_the_gateway_refuses_puts_the_money_back(
    double: Double, paid: TopUp, client_member: Member, staff_user: User
) -> None:
    double.refund(paid.payment_intent)  # everything is back at the card already; word of it has not come
    refund = send_refund(ask(paid, "20", staff_user))
    check_now()
    assert refund.state == "failed"
    assert "greater than unrefunded amount" in refund.error
    assert (available(client_member), refunded(paid)) == (D(60), D(0))
    deliver(told(double, 2))
    assert (available(client_member), refunded(paid)) == (D(10), D(50))


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_a_refund_made_at_stripe_is_booked_once_in_any_order_and_below_zero(
    double: Double, paid: TopUp, client_member: Member, order: tuple[int, ...]
) -> None:
    double.refund(paid.payment_intent, 1250)
    hooks = told(double, 2)
    for _ in range(2):
        deliver([hooks[index] for index in order])
    assert (available(client_member), refunded(paid)) == (D("47.5"), D("12.5"))
    refund = Refund.objects.get()
    assert (refund.amount, refund.created_by, refund.reason) == (D("12.5"), None, "Refunded at Stripe")
    assert refund.transaction is not None
    assert refund.transaction.idempotency_key == f"refund:{refund.gateway_id}"


def test_a_refund_told_before_its_payment_credits_first(double: Double, client_member: Member) -> None:
    topup = start_topup(account=client_member.account, amount=D(50), actor=client_member.user)
    double.pay(topup.session_id)
    payment = told(double, 3)
    topup_intent = next(h for h in payment if b'"payment_intent.succeeded"' in h.payload)
    double.refund(json.loads(topup_intent.payload)["data"]["object"]["id"])
    deliver(told(double, 2))
    assert (available(client_member), refunded(topup)) == (D(10), D(50))
    deliver(payment)
    assert (available(client_member), refunded(topup)) == (D(10), D(50))
    assert sorted(LedgerTransaction.objects.values_list("kind", flat=True)) == ["manual", "manual", "refund", "topup"]


def test_a_refund_takes_a_spent_wallet_below_its_floor(
    double: Double, paid: TopUp, client_member: Member, staff_user: User
) -> None:
    ledger.manual_payment(account=client_member.account, amount=D(-55), key="spent", reason="spent", actor=None)
    send_refund(ask(paid, "50", staff_user))
    check_now()
    assert available(client_member) == D(-45)
    with pytest.raises(InsufficientFunds), transaction.atomic():
        ledger.manual_payment(account=client_member.account, amount=D(-1), key="more", reason="more", actor=None)
    with pytest.raises(NotEnoughMoney) as refusal:
        accept(client_member)
    assert refusal.value.shortfall == D("45.07")
    fund(client_member, "45.069999", key="nearly")
    with pytest.raises(NotEnoughMoney):
        accept(client_member)
    fund(client_member, "0.000001", key="covered")
    assert (accept(client_member).price, available(client_member)) == (D("0.07"), D(0))


def test_a_failed_refund_puts_the_money_back_once_and_late_word_of_it_changes_nothing(
    double: Double, paid: TopUp, client_member: Member
) -> None:
    made = double.refund(paid.payment_intent, 2000)
    hooks = told(double, 2)
    double.fail_refund(made["id"])
    failed = told(double, 1)
    deliver([hooks[0], *failed, *failed, *hooks])
    assert (available(client_member), refunded(paid)) == (D(60), D(0))
    assert Refund.objects.get().state == "failed"


@pytest.mark.parametrize("amount", ["0", "-1", "50.01", "20.001"])
def test_no_more_than_was_paid_can_be_given_back(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, amount: str
) -> None:
    with pytest.raises(BillingError):
        ask(paid, amount, staff_user)
    assert (available(client_member), Refund.objects.count()) == (D(60), 0)


def test_refunds_add_up_and_the_refusal_names_what_is_left(
    double: Double, paid: TopUp, client_member: Member, staff_user: User
) -> None:
    ask(paid, "30", staff_user, "FIRST1")
    with pytest.raises(NotAllowed, match=r"Amount AUD 20.01: AUD 20.00 of top-up \w+ can be given back"):
        ask(paid, "20.01", staff_user, "SECOND")
    with pytest.raises(IntegrityError, match="refunds_within_payment"), transaction.atomic():
        TopUp.objects.filter(pk=paid.pk).update(refunded=D("50.01"))


def test_what_was_never_paid_cannot_be_given_back(double: Double, client_member: Member, staff_user: User) -> None:
    topup = TopUp.objects.create(
        account=client_member.account, amount=D(20), currency="AUD", expires_at=timezone.now()
    )  # fmt: skip
    with pytest.raises(NotAllowed, match="is not paid"):
        ask(topup, "20", staff_user)


RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def test_two_refunds_at_once_cannot_pass_the_payment(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether
) -> None:
    topup = paid_topup(double, client_member)
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")
    outcomes = run_together(4, lambda index: ask(topup, "30", staff, f"REFUND{index}"))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NotAllowed"] * 3 + ["Refund"]
    assert (available(client_member), refunded(topup)) == (D(30), D(30))


def test_canary_without_the_top_ups_lock_only_the_check_stops_the_others(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    topup = paid_topup(double, client_member)
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")
    looked, book = threading.Barrier(2), refunds._book

    def book_together(*args: Any, **kwargs: Any) -> Any:
        looked.wait(timeout=30)
        return book(*args, **kwargs)

    monkeypatch.setattr(type(TopUp.objects.all()), "select_for_update", lambda self, **_: self.all())
    monkeypatch.setattr(refunds, "_book", book_together)
    outcomes = run_together(2, lambda index: ask(topup, "30", staff, f"REFUND{index}"))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IntegrityError", "Refund"]


def test_the_form_refunds_once_however_often_it_is_sent(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, log_in: LogIn
) -> None:
    page, browser = f"/admin/billing/topup/{paid.pk}/refund/", log_in(staff_user)
    key = browser.get(page).context["form"]["key"].value()
    for _ in range(2):
        assert browser.post(page, {"amount": "15", "reason": "Complaint", "key": key}).status_code == 302
    assert (available(client_member), Refund.objects.count()) == (D(45), 1)
    refused = browser.post(page, {"amount": "35.01", "reason": "Complaint", "key": "OTHERKEY"})
    assert "AUD 35.00 of top-up" in refused.context["form"].errors["amount"][0]
    shown = browser.get(f"/admin/billing/topup/{paid.pk}/change/").content.decode()
    assert all(words in shown for words in ("Complaint", "AUD\xa015.00", "AUD\xa050.00"))
    assert paid.session_id not in shown, "no word wider than a telephone"
    assert paid.session_id in shown.replace("<wbr>", "")


def test_staff_without_the_right_refund_nothing(double: Double, paid: TopUp, log_in: LogIn) -> None:
    helper = User.objects.create(username="h", email="h@test.example", name="H", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename="view_topup"))
    page = f"/admin/billing/topup/{paid.pk}/refund/"
    values = {"amount": "15", "reason": "Complaint", "key": "SOMEKEY"}
    assert log_in(helper).post(page, values).status_code == 403
    assert Client().post(page, values).status_code == 302
    assert not Refund.objects.exists()


def test_the_receipt_shows_what_was_given_back(
    double: Double, paid: TopUp, client_member: Member, staff_user: User, log_in: LogIn
) -> None:
    send_refund(ask(paid, "20", staff_user))
    text = " ".join(log_in(client_member.user).get(f"/billing/topups/{paid.code}/").content.decode().split())
    assert '<dt>Refunded</dt> <dd> <span class="money">AUD 20.00</span>' in text
    assert "Paid twice" in text
    assert "New balance" in text.partition("<dt>Refunded</dt>")[0], "what it was then, not after the refund"
    statement = words(log_in(client_member.user).get("/billing/").content.decode())
    assert f"Refund to the card Paid twice · Receipt {paid.code}" in statement


def test_a_refund_of_a_payment_that_is_not_ours_is_kept_for_the_operator(double: Double, paid: TopUp) -> None:
    TopUp.objects.filter(pk=paid.pk).update(payment_intent="pi_other")
    double.refund(paid.payment_intent, 100)
    deliver(told(double, 2))
    assert "paid for no top-up" in PaymentEvent.objects.filter(type="refund.created").get().error
    assert not Refund.objects.exists()
