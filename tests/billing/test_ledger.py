from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.exceptions import DuplicateMovement, InsufficientFunds, WalletFrozen
from billing.models import Hold, LedgerAccount, LedgerEntry, LedgerTransaction
from billing.selectors import balance_of
from billing.services import ledger
from billing.services.settlement import Settlement, settle
from tests.cast import check_now, fund

D = Decimal


def make_hold(sender, payer, amount, **settled):
    return ledger.hold(ledger.HoldOrder(
        batch_id=uuid4(), account=sender.account, payer=payer.account, amount=D(amount), reference="B", quantity=1,
        actor=None,
    ))  # fmt: skip


def test_a_hold_moves_money_from_available_to_held(client_member):
    make_hold(client_member, client_member, "1.234567")
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D("8.765433"), D("1.234567"))
    check_now()


def test_a_hold_above_the_balance_is_refused_whole_and_names_the_shortfall(client_member):
    with pytest.raises(InsufficientFunds) as refusal:
        make_hold(client_member, client_member, "10.000001")
    assert refusal.value.shortfall == D("0.000001")
    assert balance_of(client_member.account).available == D(10)
    assert not Hold.objects.exists()
    assert not LedgerTransaction.objects.filter(kind="hold").exists()


def test_a_hold_of_exactly_the_balance_is_accepted_and_the_next_is_not(client_member):
    make_hold(client_member, client_member, "10")
    with pytest.raises(InsufficientFunds):
        make_hold(client_member, client_member, "0.000001")


def test_settling_captures_with_margins_up_the_tree_and_releases_the_rest(platform, reseller, client_member):
    hold = make_hold(client_member, client_member, "0.70")
    line = Settlement(hold.batch_id, hold.payer_id, "B", D("0.56"), 8, D("0.14"), 2)
    line.earnings[reseller.account.pk] = D("0.16")
    settled = settle(key="chunk-1", settlements=[line])[hold.batch_id]
    assert settled.capture_id
    assert settled.release_id
    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (D("9.44"), D(0))
    assert balance_of(reseller.account).available == D("100.16")
    assert LedgerAccount.objects.get(kind="revenue", currency="AUD").balance == D("0.40")
    check_now()


def test_the_same_chunk_cannot_be_settled_twice(reseller, client_member):
    hold = make_hold(client_member, client_member, "1")
    settle(key="chunk-1", settlements=[Settlement(hold.batch_id, hold.payer_id, "B", D("0.5"), 1)])
    with pytest.raises(DuplicateMovement), transaction.atomic():
        settle(key="chunk-1", settlements=[Settlement(hold.batch_id, hold.payer_id, "B", D("0.5"), 1)])
    assert balance_of(client_member.account).held == D("0.5")
    assert Hold.objects.get().captured == D("0.5")


def test_no_more_can_be_settled_than_was_held(client_member):
    hold = make_hold(client_member, client_member, "1")
    with pytest.raises(IntegrityError, match="hold_not_overspent"), transaction.atomic():
        settle(
            key="c",
            settlements=[Settlement(hold.batch_id, hold.payer_id, "B", released=D("1.000001"), released_count=1)],
        )
    assert balance_of(client_member.account).held == D(1)


def test_a_movement_that_does_not_balance_is_refused_by_the_service(client_member):
    wallet = ledger.open_account(client_member.account, "wallet")
    with pytest.raises(ValueError, match="does not balance"):
        ledger.post(
            kind="manual", key="x", currency="AUD", about=client_member.account,
            postings=[ledger.Posting(wallet.pk, D(5))],
        )  # fmt: skip


def raw(sql, params=()):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


ENTRY = "INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount) VALUES (%s, %s, 5)"


def new_header(member, currency="AUD"):
    return LedgerTransaction.objects.create(kind="manual", idempotency_key="x", currency=currency, about=member.account)


def make_and_check(make):
    """Do as a commit does: all deferred checks, then nothing of it stays."""
    with transaction.atomic():
        make()
        check_now()


def test_the_database_refuses_a_transaction_that_does_not_balance(client_member):
    wallet = ledger.open_account(client_member.account, "wallet")
    with pytest.raises(IntegrityError, match="does not balance: 5"):
        make_and_check(lambda: raw(ENTRY, [new_header(client_member).pk, wallet.pk]))


def test_the_database_refuses_a_transaction_without_entries(client_member):
    with pytest.raises(IntegrityError, match="has no entries"):
        make_and_check(lambda: new_header(client_member))


def test_the_database_refuses_entries_of_another_currency(client_member):
    wallet = ledger.open_account(client_member.account, "wallet")
    manual = ledger.platform_account("manual", "USD")

    def foreign():
        header = new_header(client_member, "USD").pk
        raw(ENTRY + ", (%s, %s, -5)", [header, wallet.pk, header, manual.pk])

    with pytest.raises(IntegrityError, match="one currency"):
        make_and_check(foreign)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ledgeraccount SET balance = balance + 1",
        "DELETE FROM billing_ledgeraccount",
        "UPDATE billing_ledgerentry SET amount = amount + 1",
        "DELETE FROM billing_ledgerentry",
        "TRUNCATE billing_ledgerentry",
        "UPDATE billing_ledgertransaction SET reference = ''",
        "DELETE FROM billing_ledgertransaction",
        "TRUNCATE billing_ledgertransaction CASCADE",
        "UPDATE billing_hold SET amount = amount + 1",
        "DELETE FROM billing_hold",
        "UPDATE billing_quote SET unit_price = 0",
    ],
)
def test_the_application_cannot_rewrite_history(client_member, sql):
    make_hold(client_member, client_member, "1")
    with pytest.raises(DatabaseError, match=r"permission denied|append-only"):
        raw(sql)
    assert balance_of(client_member.account).held == D(1)


@pytest.mark.parametrize("table", ["billing_ledgerentry", "billing_ledgertransaction"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_even_the_owner_of_the_tables_cannot_rewrite_history(client_member, table, statement):
    make_hold(client_member, client_member, "1")
    check_now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement.format(table))
        cursor.execute("RESET ROLE")


def test_entries_cannot_be_added_to_an_older_transaction(committed_db, client_member):
    header = LedgerTransaction.objects.first()
    wallet = ledger.open_account(client_member.account, "wallet")
    manual = ledger.platform_account("manual", "AUD")
    with pytest.raises(IntegrityError, match="only while it is made"):
        raw(ENTRY + ", (%s, %s, -5)", [header.pk, wallet.pk, header.pk, manual.pk])


def test_a_ledger_account_opens_with_nothing(client_member):
    with pytest.raises(IntegrityError, match="opens with a balance of zero"):
        raw(
            "INSERT INTO billing_ledgeraccount (owner_id, kind, currency, balance, credit_limit, created_at)"
            " VALUES (%s, 'held', 'AUD', 5, 0, now())",
            [client_member.account.pk],
        )


@pytest.mark.parametrize("kind", ["refund", "dispute", "takeback"])
def test_only_a_reversal_goes_below_the_floor_and_then_nothing_can_be_spent(client_member, kind):
    wallet = ledger.open_account(client_member.account, "wallet")
    card = ledger.platform_account("card", "AUD")

    def move(kind, amount):
        sides = [ledger.Posting(wallet.pk, -D(amount)), ledger.Posting(card.pk, D(amount))]
        ledger.post(kind=kind, key=f"{kind}{amount}", currency="AUD", about=client_member.account, postings=sides)

    with pytest.raises(InsufficientFunds):
        move("manual", "12")
    move(kind, "12")
    assert balance_of(client_member.account).available == D(-2)
    with pytest.raises(InsufficientFunds):
        make_hold(client_member, client_member, "0.000001")
    fund(client_member, "5")
    make_hold(client_member, client_member, "3")
    with pytest.raises(InsufficientFunds):  # the debt was covered: its allowance is gone
        make_hold(client_member, client_member, "0.000001")


def test_a_frozen_wallet_spends_nothing_and_still_receives(client_member):
    LedgerAccount.objects.filter(owner=client_member.account, kind="wallet").update(is_frozen=True)
    with pytest.raises(WalletFrozen):
        make_hold(client_member, client_member, "1")
    fund(client_member, "5")
    assert balance_of(client_member.account).available == D(15)


def test_credit_that_ends_while_it_is_used_leaves_a_debt(client_member):
    wallet = LedgerAccount.objects.filter(owner=client_member.account, kind="wallet")
    wallet.update(credit_limit=D(5), overdraft_limit=D(3))
    make_hold(client_member, client_member, "18")
    wallet.update(overdraft_limit=0)
    assert balance_of(client_member.account).available == D(-3)
    with pytest.raises(InsufficientFunds):
        make_hold(client_member, client_member, "0.01")
    fund(client_member, "3.50")
    make_hold(client_member, client_member, "0.50")


def test_running_balances_follow_the_entries(client_member):
    fund(client_member, "5")
    make_hold(client_member, client_member, "2.5")
    rows = LedgerEntry.objects.filter(ledger_account__owner=client_member.account, ledger_account__kind="wallet")
    assert [(r.amount, r.balance_after) for r in rows.order_by("id")] == [
        (D(10), D(10)), (D(5), D(15)), (D("-2.5"), D("12.5")),
    ]  # fmt: skip


@pytest.mark.forges_books
def test_fifty_holds_at_once_on_a_wallet_that_covers_ten(committed_db, client_member, run_together):
    outcomes = run_together(50, lambda index: make_hold(client_member, client_member, "1"))
    accepted = [o for o in outcomes if isinstance(o, Hold)]
    refused = [o for o in outcomes if isinstance(o, InsufficientFunds)]
    assert (len(accepted), len(refused)) == (10, 40)
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D(0), D(10))


def test_canary_a_check_outside_the_lock_overspends(committed_db, client_member, run_together):
    """The same race against a read-then-write balance must lose money, else the race above proves nothing."""
    import threading

    with transaction.atomic(using="owner"), connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
        cursor.execute("CREATE TABLE naive (balance numeric)")
        cursor.execute("INSERT INTO naive VALUES (10)")
        cursor.execute("GRANT ALL ON naive TO PUBLIC")
        cursor.execute("RESET ROLE")
    read = threading.Barrier(20)

    def naive(index):
        with connection.cursor() as cursor:
            cursor.execute("SELECT balance FROM naive")
            balance = cursor.fetchone()[0]
            read.wait(timeout=30)
            if balance >= 1:
                cursor.execute("UPDATE naive SET balance = %s", [balance - 1])
                return True

    accepted = run_together(20, naive)
    assert accepted.count(True) == 20
