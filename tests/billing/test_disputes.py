import itertools
from decimal import Decimal
from uuid import UUID

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, OutgoingMail, User
from billing.exceptions import WalletFrozen
from billing.models import Dispute, LedgerTransaction, TopUp
from billing.selectors import balance_of
from billing.services import ledger
from tests.billing.hooks import available, deliver, paid_topup, told
from tests.cast import PASSWORD, LogIn, Member, check_now
from tests.stripe_double import Double

D = Decimal


@pytest.fixture
def paid(double: Double, client_member: Member) -> TopUp:
    """50.00 paid and credited: the wallet has 60.00."""
    return paid_topup(double, client_member)


def is_frozen(member: Member) -> bool:
    return balance_of(member.account).is_frozen


def spend(member: Member, batch: str = "0192f000-0000-7000-8000-000000000001") -> None:
    ledger.hold(ledger.HoldOrder(
        batch_id=UUID(batch), account=member.account, payer=member.account, amount=D(1), reference="B", quantity=1,
        actor=None,
    ))  # fmt: skip


def kinds() -> list[str]:
    return sorted(LedgerTransaction.objects.filter(kind__startswith="dispute").values_list("kind", flat=True))


def test_a_dispute_takes_the_money_and_stops_spending(double: Double, paid: TopUp, client_member: Member) -> None:
    double.dispute(paid.payment_intent)
    hooks = told(double, 2)
    deliver([*hooks, *hooks])
    check_now()
    assert (available(client_member), is_frozen(client_member), kinds()) == (D(10), True, ["dispute"])
    with pytest.raises(WalletFrozen):
        spend(client_member)
    assert AuditEntry.objects.filter(action="dispute.open", subject=paid.code).count() == 1
    assert "nothing can be sent until the bank has decided" in OutgoingMail.objects.get(key__startswith="dispute:").text


def test_a_spent_wallet_goes_below_its_floor(double: Double, paid: TopUp, client_member: Member) -> None:
    ledger.manual_payment(account=client_member.account, amount=D(-55), key="spent", reason="spent", actor=None)
    double.dispute(paid.payment_intent)
    deliver(told(double, 2))
    assert available(client_member) == D(-45)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_won_dispute_gives_the_money_back_in_any_order(
    double: Double, paid: TopUp, client_member: Member, order: tuple[int, ...]
) -> None:
    dispute = double.dispute(paid.payment_intent)
    double.decide(dispute, "win")
    hooks = told(double, 4)
    deliver([hooks[index] for index in order])
    check_now()
    assert (available(client_member), is_frozen(client_member)) == (D(60), False)
    assert kinds() == ["dispute", "dispute_won"]
    assert Dispute.objects.get().state == "won"
    spend(client_member)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_lost_dispute_keeps_the_money_and_frees_the_wallet_in_any_order(
    double: Double, paid: TopUp, client_member: Member, order: tuple[int, ...]
) -> None:
    dispute = double.dispute(paid.payment_intent)
    double.decide(dispute, "lose")
    hooks = told(double, 3)
    deliver([hooks[index] for index in order])
    assert (available(client_member), is_frozen(client_member)) == (D(10), False)
    assert (kinds(), Dispute.objects.get().state) == (["dispute"], "lost")


def test_spending_stays_frozen_while_another_is_open(double: Double, paid: TopUp, client_member: Member) -> None:
    other = paid_topup(double, client_member, "20")
    first, second = double.dispute(paid.payment_intent), double.dispute(other.payment_intent)
    deliver(told(double, 4))
    assert available(client_member) == D(10)
    double.decide(first, "win")
    deliver(told(double, 2))
    assert (available(client_member), is_frozen(client_member)) == (D(60), True)
    double.decide(second, "lose")
    deliver(told(double, 1))
    assert (available(client_member), is_frozen(client_member)) == (D(60), False)


def test_an_inquiry_takes_nothing_until_it_is_a_dispute(double: Double, paid: TopUp, client_member: Member) -> None:
    dispute = double.dispute(paid.payment_intent, inquiry="1")
    deliver(told(double, 1))
    assert (available(client_member), is_frozen(client_member)) == (D(60), False)
    double.decide(dispute, "escalate")
    deliver(told(double, 2))
    assert (available(client_member), is_frozen(client_member)) == (D(10), True)


def test_an_inquiry_that_is_closed_took_nothing(double: Double, paid: TopUp, client_member: Member) -> None:
    double.decide(double.dispute(paid.payment_intent, inquiry="1"), "win")
    deliver(told(double, 2))
    assert (available(client_member), is_frozen(client_member), kinds()) == (D(60), False, [])
    assert Dispute.objects.get().closed_at is not None


def test_only_what_a_refund_left_is_disputed(double: Double, paid: TopUp, client_member: Member) -> None:
    double.refund(paid.payment_intent, 2000)
    double.dispute(paid.payment_intent)
    deliver(told(double, 4))
    assert available(client_member) == D(10)
    assert Dispute.objects.get().amount == D(30)


def test_the_account_and_its_parent_are_told_on_every_page_and_nobody_else(
    double: Double, paid: TopUp, reseller: Member, client_member: Member, billed_member: Member, outsider: Member,
    log_in: LogIn,
) -> None:  # fmt: skip
    double.dispute(paid.payment_intent)
    deliver(told(double, 2))
    words = "disputed at the bank"
    pages = {
        who: log_in(member.user).get("/messages/").content.decode()
        for who, member in {
            "own": client_member,
            "parent": reseller,
            "sibling": billed_member,
            "other": outsider,
        }.items()
    }
    assert {who: words in page for who, page in pages.items()} == {
        "own": True, "parent": True, "sibling": False, "other": False
    }  # fmt: skip
    assert reverse("clients:detail", args=[client_member.account.code]) in pages["parent"]
    assert "nothing can be sent until the bank has decided" in pages["own"]


def test_staff_see_the_disputes_of_a_payment(double: Double, paid: TopUp, log_in: LogIn) -> None:
    double.dispute(paid.payment_intent)
    deliver(told(double, 2))
    staff = log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))
    dispute = Dispute.objects.get()
    shown = staff.get(f"/admin/billing/topup/{paid.pk}/change/").content.decode()
    assert dispute.gateway_id in shown.replace("<wbr>", "")  # where a line may end
    assert dispute.gateway_id in staff.get("/admin/billing/dispute/").content.decode()
