"""Captures and releases in chunks, exact along the tree (messaging/services/settling.py)."""

from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.models import BillingTerms, Hold, LedgerAccount, LedgerTransaction
from billing.selectors import balance_of
from messaging.models import Batch, Message
from messaging.services import settling
from messaging.services.cancelling import cancel_batch
from messaging.services.settling import settle_chunk, settle_waiting
from tests.cast import Member, check_now, fund, make_client
from tests.messaging.test_acceptance import accept, numbers

D = Decimal
Method = BillingTerms.Method


def end(state: str, sent: bool, **which) -> None:
    Message.objects.filter(**which).update(state=state, sent_at=timezone.now() if sent else None)


def revenue() -> Decimal:
    return LedgerAccount.objects.get(kind="revenue", currency="AUD").balance


@pytest.fixture
def grandchild(reseller: Member) -> Member:
    """Pays by card below a middle account: 0.05 + 0.02 + 0.03 a part."""
    middle = make_client(reseller, "Middle")
    middle.account.can_have_children = True
    middle.account.save(update_fields=["can_have_children"])
    member = make_client(middle, "Grandchild", sms_margin=D("0.03"))
    fund(member, "10")
    return member


def test_three_levels_earn_their_margins_on_what_was_sent_only(grandchild: Member, reseller: Member):
    accept(grandchild, numbers(5), text="a" * 161)  # 2 parts each: 10 parts at 0.10
    for index, (state, sent) in enumerate(
        [("sent", True), ("undelivered", True), ("expired", True), ("rejected", False), ("failed", False)]
    ):
        end(state, sent, recipient=numbers(5)[index])

    assert settle_chunk() == 5
    check_now()

    assert (balance_of(grandchild.account).available, balance_of(grandchild.account).held) == (D("9.40"), D(0))
    assert balance_of(grandchild.account.parent).available == D("0.18")
    assert balance_of(reseller.account).available == D("100.12")
    assert revenue() == D("0.30")
    assert settle_chunk() == 0
    call_command("verify_ledger")


def test_a_batch_billed_to_the_parent_charges_it_its_own_price(billed_member: Member, reseller: Member):
    accept(billed_member, numbers(3))
    end("delivered", True)

    settle_waiting(100)

    assert (balance_of(reseller.account).available, balance_of(reseller.account).held) == (D("99.85"), D(0))
    assert revenue() == D("0.15")
    assert balance_of(billed_member.account).available == D(0)


def test_waiting_and_unknown_messages_keep_their_hold(client_member: Member):
    accept(client_member, numbers(4))
    for state, number in zip(["queued", "released", "sending", "unknown"], numbers(4), strict=True):
        end(state, False, recipient=number)

    assert settle_waiting(100) == 0
    assert balance_of(client_member.account).held == D("0.28")


def test_cancelling_releases_what_was_not_claimed(client_member: Member):
    batch = accept(client_member, numbers(3))
    end("sending", False, recipient=numbers(1)[0])

    assert cancel_batch(batch=batch, actor=client_member.user) == 2
    settle_waiting(100)

    batch.refresh_from_db()
    assert batch.state == "cancelled"
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (
        D("9.93"),
        D("0.07"),
    )
    hold = Hold.objects.get()
    assert (hold.amount, hold.captured, hold.released) == (D("0.21"), D(0), D("0.14"))


def test_chunks_of_many_workers_settle_everything_once(committed_db, client_member, run_together, monkeypatch):
    monkeypatch.setattr(settling, "CHUNK", 7)
    for index in range(4):
        accept(client_member, numbers(20, first=100 * index))
    end("sent", True)

    counts = run_together(5, lambda _: settle_waiting(1000))

    assert sum(counts) == 80
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (D("4.40"), D(0))
    assert revenue() == D("4.00")
    call_command("verify_ledger")


def test_two_payers_of_one_account_are_charged_each_for_its_own_batches(client_member: Member, reseller: Member):
    accept(client_member, numbers(2))
    BillingTerms.objects.filter(account=client_member.account).update(method=Method.BILL_TO_PARENT)
    accept(client_member, numbers(2, first=50))
    end("sent", True)

    settle_waiting(100)

    assert balance_of(client_member.account).held == balance_of(reseller.account).held == D(0)
    assert balance_of(client_member.account).available == D("9.86")
    assert balance_of(reseller.account).available == D("99.94")  # earned 0.04 as parent, paid 0.10 as payer
    call_command("verify_ledger")


def test_a_batch_with_wrong_books_does_not_keep_others_from_settling(client_member: Member):
    broken = accept(client_member, numbers(2))
    accept(client_member, numbers(2, first=50))
    Hold.objects.filter(batch_id=broken.pk).update(released=D("0.14"))
    end("sent", True)

    assert settle_waiting(100) == 2
    assert settle_waiting(100) == 0

    assert Message.objects.filter(batch=broken, settled_at=None).count() == 2
    assert Message.objects.exclude(batch=broken).filter(settled_at=None).count() == 0


def test_free_messages_settle_without_a_movement(client_member: Member):
    from billing.models import Rate

    Rate.objects.filter(prefix="61").update(price=D(0))
    BillingTerms.objects.filter(account=client_member.account).update(sms_margin=D(0))
    accept(client_member, numbers(2))
    end("sent", True)

    assert settle_waiting(100) == 2
    assert not LedgerTransaction.objects.filter(kind="capture").exists()
    assert not Message.objects.filter(settled_at=None).exists()


def test_who_pays_from_a_wallet_does_not_wait_while_its_messages_are_stamped(
    committed_db, client_member, run_together, monkeypatch
):
    accept(client_member, numbers(1))
    end("sent", True)
    real, meanwhile = settling._stamp, []

    def pay() -> Batch:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        return accept(client_member, numbers(1, first=50))

    def stamp(*arguments):
        real(*arguments)
        meanwhile.extend(run_together(1, lambda _: pay()))

    monkeypatch.setattr(settling, "_stamp", stamp)
    assert settle_chunk() == 1
    assert [type(outcome) for outcome in meanwhile] == [Batch]
    call_command("verify_ledger")
