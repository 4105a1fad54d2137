"""No card is charged to make up for money that went back to its customer, until the customer wants it again."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, OutgoingMail, User
from billing.models import AutoRecharge, SavedCard, TopUp
from billing.services.manual_payments import book_payment
from billing.services.recharges import RECHARGE, look_at, set_recharge, sweep_recharges
from billing.services.refunds import request_refund, send_refund
from billing.services.topups import pay_with_card
from tests.billing.hooks import available, deliver, keep_card, told
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.rows import accept
from tests.messaging.test_wakeups import waiting
from tests.stripe_double import Double

D = Decimal


@pytest.fixture
def card(double: Double, client_member: Member) -> SavedCard:
    """A kept Visa; the wallet has 20.00, of which 10.00 came from the card."""
    return keep_card(double, client_member)


@pytest.fixture
def on(card: SavedCard, client_member: Member) -> AutoRecharge:
    """30.00 whenever less than 15.00 is available; 20.00 are."""
    return set_recharge(
        account=client_member.account, threshold=D(15), amount=D(30), card=card, actor=client_member.user
    )


@pytest.fixture
def staff_user(db: None) -> User:
    return User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")


def give_back(staff: User, amount: str = "10") -> Any:
    """A refund of the card payment; the wallet is debited at once."""
    topup = TopUp.objects.get(way="checkout")
    return request_refund(topup=topup, amount=D(amount), reason="Asked for", key=uuid4().hex[:12], actor=staff)


def correct(member: Member, amount: str, staff: User) -> None:
    book_payment(account=member.account, amount=D(amount), key=uuid4().hex[:12], reason="Correction", actor=staff)


def is_paused() -> bool:
    return AutoRecharge.objects.get().paused_at is not None


def recharges() -> int:
    return TopUp.objects.filter(way="recharge").count()


def paused_mails() -> list[OutgoingMail]:
    return list(OutgoingMail.objects.filter(key__startswith="recharge-paused:"))


def test_a_refund_below_the_threshold_pauses_the_recharge_with_one_mail(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    send_refund(give_back(staff_user, "6"))
    send_refund(give_back(staff_user, "4"))
    assert available(client_member) == D(10)
    assert sweep_recharges(timezone.now()) == 0
    assert look_at(client_member.account.pk, timezone.now()) is None
    assert (is_paused(), recharges()) == (True, 0)
    (mail,) = paused_mails()
    assert (mail.to, mail.subject) == ("client@test.example", "Automatic recharge of Client is paused")
    assert "after a refund of AUD 6.00, Client can spend AUD 14.00" in mail.text
    assert "below the AUD 15.00 at which AUD 30.00 would be added from Visa 4242" in mail.text
    assert AuditEntry.objects.filter(action="recharge.paused").count() == 1


def test_a_refund_that_leaves_the_threshold_changes_nothing_and_later_spending_is_recharged(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    send_refund(give_back(staff_user, "5"))
    assert (is_paused(), paused_mails()) == (False, [])
    accept(client_member, [f"+614{10_000_000 + index}" for index in range(2)])
    assert available(client_member) == D("14.86")
    assert sweep_recharges(timezone.now()) == 1
    assert available(client_member) == D("44.86")


def test_spending_while_it_is_paused_does_not_wake_it(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    give_back(staff_user)
    accept(client_member)
    assert sweep_recharges(timezone.now()) == 0
    assert recharges() == 0


def test_a_payment_that_reaches_the_threshold_lets_it_go_on_and_a_smaller_one_does_not(
    double: Double, on: AutoRecharge, card: SavedCard, client_member: Member, staff_user: User
) -> None:
    give_back(staff_user)
    correct(client_member, "4.99", staff_user)
    sweep_recharges(timezone.now())
    assert is_paused()
    pay_with_card(account=client_member.account, amount=D(10), card=card, actor=client_member.user)
    assert (is_paused(), available(client_member)) == (False, D("24.99"))
    accept(client_member, [f"+614{10_000_000 + index}" for index in range(150)])
    assert sweep_recharges(timezone.now()) == 1


def test_money_that_staff_book_is_noticed_by_the_sweep(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    give_back(staff_user)
    correct(client_member, "5", staff_user)
    assert sweep_recharges(timezone.now()) == 0
    assert (is_paused(), recharges()) == (False, 0)
    assert AuditEntry.objects.filter(action="recharge.resumed").count() == 1


def test_the_customer_switches_it_on_again(
    double: Double, on: AutoRecharge, card: SavedCard, client_member: Member, staff_user: User, log_in: LogIn
) -> None:
    give_back(staff_user)
    browser = log_in(client_member.user)
    page = " ".join(browser.get("/billing/cards/").content.decode().split())
    assert "Automatic recharge: paused" in page
    assert "after a refund of AUD 10.00: no card is charged to make up for money that went back" in page
    assert "Switch on again" in page
    browser.post("/billing/recharge/", {"threshold": "15", "amount": "30", "card": card.code, "consent": "on"})
    assert sweep_recharges(timezone.now()) == 1
    assert available(client_member) == D(40)


def test_a_correction_downwards_pauses_it_too(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    correct(client_member, "-7.50", staff_user)
    assert sweep_recharges(timezone.now()) == 0
    assert "after a correction of AUD 7.50, Client can spend AUD 12.50" in paused_mails()[0].text


def test_a_dispute_pauses_it_until_it_is_won(double: Double, on: AutoRecharge, client_member: Member) -> None:
    dispute = double.dispute(TopUp.objects.get().payment_intent)
    deliver(told(double, 2))
    assert (available(client_member), is_paused()) == (D(10), True)
    assert "after your bank withdrew a disputed payment of AUD 10.00" in paused_mails()[0].text
    double.decide(dispute, "win")
    deliver(told(double, 2))
    assert (available(client_member), is_paused()) == (D(20), False)


def test_a_refund_that_the_bank_refuses_lets_it_go_on(
    double: Double, on: AutoRecharge, client_member: Member, staff_user: User
) -> None:
    refund = send_refund(give_back(staff_user))
    assert is_paused()
    double.inbox.clear()
    double.fail_refund(refund.gateway_id)
    deliver(double.received(1))
    assert (available(client_member), is_paused()) == (D(20), False)


# --- Soon after spending -------------------------------------------------------------------------------------------


def test_accepting_a_batch_of_a_card_payer_has_it_looked_at_once(
    committed_db: object, double: Double, on: AutoRecharge, client_member: Member, valkey: Any
) -> None:
    for _ in range(3):
        accept(client_member, [f"+614{10_000_000 + index}" for index in range(40)])
    assert waiting(valkey, "billing").count(RECHARGE) == 1
    assert available(client_member) == D("11.60")
    topup = look_at(client_member.account.pk, timezone.now())
    assert topup is not None
    assert (topup.state, available(client_member)) == ("paid", D("41.60"))
    assert look_at(client_member.account.pk, timezone.now()) is None


def test_nobody_is_looked_at_who_pays_otherwise(committed_db: object, reseller: Member, valkey: Any) -> None:
    accept(reseller)
    assert RECHARGE not in waiting(valkey, "billing")
