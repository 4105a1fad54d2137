"""Races for money on real connections. Each has a canary: the same race with its lock taken out must go wrong.

The daily limit from two browsers is in test_daily_limit.py, many transfers against many sends in test_credits.py,
automatic recharges in test_recharges.py, switching the payer during a send in test_switching.py.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import Account
from billing.exceptions import DuplicateMovement, InsufficientFunds
from billing.models import LedgerAccount, LedgerTransaction, TopUp
from billing.selectors import balance_of, credits_of
from billing.services import card_movements, credits, ledger, settlement, topups
from billing.services import credit_movements as movements
from billing.services.pricing import PriceList
from billing.services.topups import Payment, settle_payment
from messaging.connectors.statements import _CLAIM
from messaging.exceptions import NotEnoughMoney
from messaging.models import Batch, Message
from messaging.services import settling
from messaging.services.cancelling import cancel_batch
from messaging.services.settling import settle_chunk, settle_waiting
from tests.billing.credits import give, make_credits_client
from tests.cast import Member
from tests.meeting import SURELY, meet
from tests.messaging.rows import AU, accept, settle_as

D = Decimal
RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def as_owner(*statements: str) -> None:
    """Change this test's own copy of the database as the owner of its tables."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        for sql in statements:
            cursor.execute(sql)


# --- 50 sends on a wallet that covers 10 ---------------------------------------------------------------------------


def send_fifty(member: Member, run_together: RunTogether) -> Counter[str]:
    """Twenty parts of 0.07 each: 1.40 a batch."""
    recipients = [f"+614{10_000_000 + index}" for index in range(20)]
    outcomes = run_together(50, lambda _: accept(member, recipients))
    return Counter(type(outcome).__name__ for outcome in outcomes)


@pytest.fixture
def covers_ten(client_member: Member) -> Member:
    """14.00: exactly ten batches of 1.40. Their quote is stored, so that nobody waits for the first who stores it."""
    prices = PriceList(client_member.account)
    prices.save_quotes([prices.price_of(AU)])
    ledger.manual_payment(account=client_member.account, amount=D(4), key="more", reason="test", actor=None)
    return client_member


def test_of_fifty_sends_at_once_a_wallet_pays_the_ten_that_it_covers(
    committed_db: object, covers_ten: Member, run_together: RunTogether
) -> None:
    assert send_fifty(covers_ten, run_together) == {"Batch": 10, NotEnoughMoney.__name__: 40}
    balance = balance_of(covers_ten.account)
    assert (balance.available, balance.held) == (D(0), D(14))
    assert (Batch.objects.count(), Message.objects.count()) == (10, 200)
    call_command("verify_ledger")


@pytest.mark.forges_books
def test_canary_without_the_floor_a_check_before_the_hold_lets_more_than_ten_through(
    committed_db: object, covers_ten: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peers' way: look at the balance, then take. Fifty looks come before the first taking."""
    as_owner("ALTER TABLE billing_ledgeraccount DROP CONSTRAINT wallet_floor")
    real = ledger.hold_all

    def look_then_hold(orders: list[ledger.HoldOrder], *, explains: bool = True) -> Any:
        if balance_of(orders[0].payer).available < orders[0].amount:
            raise InsufficientFunds("no", D(1))
        looked.wait(timeout=30)
        return real(orders, explains=explains)

    looked = threading.Barrier(50)
    monkeypatch.setattr(ledger, "hold_all", look_then_hold)
    assert send_fifty(covers_ten, run_together) == {"Batch": 50}
    assert balance_of(covers_ten.account).available == D(-56)


# --- A transfer of credits against a send --------------------------------------------------------------------------


def transfer_or_send(seller: Member, client: Member, run_together: RunTogether) -> list[str]:
    """Both want all of the seller's wallet, 1.00: twenty credits at 0.05, or twenty messages."""
    numbers = [f"+614{10_000_000 + index}" for index in range(20)]
    outcomes = run_together(2, lambda index: give(client, 20) if index else accept(seller, numbers))
    return sorted(type(outcome).__name__ for outcome in outcomes)


@pytest.fixture
def credits_client(reseller: Member) -> Member:
    """The reseller's wallet covers one of the two. Its quote is stored, so that neither waits for the other there."""
    prices = PriceList(reseller.account)
    prices.save_quotes([prices.price_of(AU)])
    ledger.manual_payment(account=reseller.account, amount=D(-99), key="less", reason="test", actor=None)
    return make_credits_client(reseller)


def test_of_a_transfer_and_a_send_at_once_a_wallet_pays_the_one_that_it_covers(
    committed_db: object, reseller: Member, credits_client: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    meet_before_paying(monkeypatch)
    outcomes = transfer_or_send(reseller, credits_client, run_together)
    assert outcomes in (["Batch", "InsufficientFunds"], ["CreditLot", "NotEnoughMoney"])
    assert balance_of(reseller.account).available == D(0)
    assert credits_of(credits_client.account).available == (20 if "CreditLot" in outcomes else 0)
    call_command("verify_ledger")


@pytest.mark.forges_books
def test_canary_without_the_floor_both_are_paid_for(
    committed_db: object, reseller: Member, credits_client: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As above, with a look at the balance in the place of the database's check: both look before either takes."""
    as_owner("ALTER TABLE billing_ledgeraccount DROP CONSTRAINT wallet_floor")
    meet_before_paying(monkeypatch, looks_at=reseller)
    assert transfer_or_send(reseller, credits_client, run_together) == ["Batch", "CreditLot"]
    assert balance_of(reseller.account).available == D(-1)


def meet_before_paying(monkeypatch: pytest.MonkeyPatch, looks_at: Member | None = None) -> None:
    """The transfer and the send come to the wallet at one moment, after a look at it where ``looks_at`` is given."""
    meeting = threading.Barrier(2)

    def meets(real: Callable[..., Any]) -> Callable[..., Any]:
        def arrive(*args: Any, **kwargs: Any) -> Any:
            if looks_at and balance_of(looks_at.account).available < 1:
                raise InsufficientFunds("no", D(1))
            meeting.wait(timeout=30)
            return real(*args, **kwargs)

        return arrive

    monkeypatch.setattr(ledger, "hold_all", meets(ledger.hold_all))
    monkeypatch.setattr(movements, "lock_credits", meets(movements.lock_credits))


# --- The same payment heard twice at once --------------------------------------------------------------------------


def pay_twice(member: Member, run_together: RunTogether) -> list[Any]:
    topup = TopUp.objects.create(
        account=member.account, amount=D(50), currency="AUD", expires_at=timezone.now() + timedelta(hours=1)
    )
    payment = Payment(topup.code, D(50), "AUD", "pi_1", timezone.now())
    return run_together(2, lambda _: settle_payment(payment))


def test_a_payment_heard_twice_at_once_is_credited_once(
    committed_db: object, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(monkeypatch, topups, "_credit")
    assert pay_twice(client_member, run_together) == ["", ""]
    assert balance_of(client_member.account).available == D(60)
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1


def test_canary_without_the_topups_lock_only_its_key_keeps_it_from_being_credited_twice(
    committed_db: object, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlock(monkeypatch)
    meet(monkeypatch, topups, "_credit", patience=SURELY)
    outcomes = pay_twice(client_member, run_together)
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"str": 1, DuplicateMovement.__name__: 1}
    assert balance_of(client_member.account).available == D(60)


@pytest.mark.forges_books
def test_canary_without_lock_and_key_it_is_credited_twice(
    committed_db: object, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_key(**arguments: Any) -> LedgerTransaction:
        return real(**arguments | {"key": str(uuid4())})

    real = ledger.post
    as_owner("ALTER TABLE billing_topup DISABLE TRIGGER USER")
    unlock(monkeypatch)
    monkeypatch.setattr(card_movements, "post", without_key)
    meet(monkeypatch, topups, "_credit", patience=SURELY)
    pay_twice(client_member, run_together)
    assert balance_of(client_member.account).available == D(110)


def unlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take FOR UPDATE out of reading a top-up."""
    monkeypatch.setattr(type(TopUp.objects.all()), "select_for_update", lambda self, **_: self.all())


# --- Settling twice at once ----------------------------------------------------------------------------------------


def settle_twice(
    member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch, patience: float = 1.0
) -> list[Any]:
    settle_as(accept(member, [AU, "+61412345679"]), "sent")
    meet(monkeypatch, settlement, "settle", patience=patience)
    return run_together(2, lambda _: settle_chunk())


def test_settling_twice_at_once_takes_the_money_once(
    committed_db: object, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(settle_twice(client_member, run_together, monkeypatch)) == [0, 2]
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D("9.86"), D(0))
    call_command("verify_ledger")


def test_canary_without_row_locks_both_settle_and_the_ledger_refuses_the_second(
    committed_db: object, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    picks = tuple(pick.replace("FOR UPDATE SKIP LOCKED", "") for pick in settling._PICKS)
    monkeypatch.setattr(settling, "_PICKS", picks)
    outcomes = settle_twice(client_member, run_together, monkeypatch, SURELY)
    assert sorted(type(outcome).__name__ for outcome in outcomes) in (
        [DuplicateMovement.__name__, "int"], ["IntegrityError", "int"],
    )  # fmt: skip
    assert balance_of(client_member.account).held == 0
    assert LedgerTransaction.objects.filter(kind="capture").count() == 1


# --- Cancelling while a connector claims ---------------------------------------------------------------------------

CLAIMED_AT_ONCE = 5


def released_batch(member: Member) -> Batch:
    batch = accept(member, [f"+614{10_000_000 + index}" for index in range(60)])
    Message.objects.filter(batch=batch).update(state="released")
    return batch


def claim_all(batch: Batch) -> list[UUID]:
    """As a connector does until nothing is left: the ids that it would write to the carrier."""
    route, claimed = Message.objects.filter(batch=batch)[0].route_id, list[UUID]()
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, {"route": route, "limit": CLAIMED_AT_ONCE, "token": "test:0:x", "late": ""})
            rows = cursor.fetchall()
        if not rows:
            return claimed
        claimed += [row[2] for row in rows]


def cancel_while(claim: Callable[[Batch], list[UUID]], member: Member, run_together: RunTogether) -> tuple[int, int]:
    """How many were cancelled and how many claimed, of 60."""
    batch = released_batch(member)
    work = [lambda: cancel_batch(batch=batch, actor=None), lambda: len(claim(batch))]
    cancelled, claimed = run_together(2, lambda index: work[index]())
    return cancelled if isinstance(cancelled, int) else 0, claimed


def test_cancelling_while_a_connector_claims_leaves_every_message_to_one_of_them(
    committed_db: object, client_member: Member, run_together: RunTogether
) -> None:
    cancelled, claimed = cancel_while(claim_all, client_member, run_together)
    assert cancelled + claimed == 60
    Message.objects.filter(state="sending").update(state="sent", sent_at=timezone.now())
    assert settle_waiting(100) == 60
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D(10) - claimed * D("0.07"), D(0))
    call_command("verify_ledger")


def test_canary_a_claim_without_lock_takes_what_was_cancelled(
    committed_db: object, client_member: Member, run_together: RunTogether
) -> None:
    batch, looked, cancelled = released_batch(client_member), threading.Event(), threading.Event()

    def cancel() -> int:
        looked.wait(10)
        count = cancel_batch(batch=batch, actor=None)
        cancelled.set()
        return count

    def claim_by_looking_first() -> int:
        """What was seen as released is claimed, whatever became of it since."""
        seen = list(Message.objects.filter(batch=batch, state="released").values_list("pk", flat=True))
        looked.set()
        cancelled.wait(10)
        return Message.objects.filter(pk__in=seen).update(state="sending")

    assert run_together(2, lambda index: (cancel, claim_by_looking_first)[index]()) == [60, 60]


# --- Debits that are lost -------------------------------------------------------------------------------------------


def test_concurrent_debits_and_credits_are_all_in_the_balance(
    committed_db: object, client_member: Member, run_together: RunTogether
) -> None:
    """Odd threads pay 0.30 in, even ones take 0.10 out by a correction: 10 + 10 × 0.30 - 10 × 0.10."""

    def move(index: int) -> None:
        amount = D("0.30") if index % 2 else D("-0.10")
        ledger.manual_payment(
            account=client_member.account, amount=amount, key=f"m{index}", reason="test", actor=None
        )  # fmt: skip

    assert run_together(20, move) == [None] * 20
    assert balance_of(client_member.account).available == D(12)
    assert LedgerAccount.objects.get(kind="manual").balance == D(-112)


# --- Taking credits back while the first are transferred ------------------------------------------------------------


def test_taking_back_while_credits_are_transferred_sees_all_of_the_transfer_or_nothing(
    committed_db: object, reseller: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transfer comes after the lots were read for locking and before they are read for taking back."""
    client = make_credits_client(reseller)
    real, transfers = credits._chains_of, list[threading.Thread]()

    def transfer() -> None:
        give(client, 100)
        connections.close_all()

    def then_transfer(account: Account) -> Any:
        chains = list(real(account))
        transfers.append(threading.Thread(target=transfer))
        transfers[0].start()
        transfers[0].join(timeout=1)  # in vain where the transfer has to wait for the taking back
        return chains

    monkeypatch.setattr(credits, "_chains_of", then_transfer)
    taken = credits.take_back_unused(client=client.account, actor=None)
    transfers[0].join(timeout=30)
    left = credits_of(client.account).available
    assert (taken.quantity if taken else 0) + left == 100
    assert balance_of(reseller.account).available == D(100) - left * D("0.05")
    call_command("verify_ledger")
