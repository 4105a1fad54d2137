"""What the database alone stops when the services are bypassed: raw SQL, on the application's own connection.

Every case is a transaction that a bug or an intruder with the application's rights could run. It must fail at the
latest at its commit, and leave every balance and every hold as it was.
"""

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.models import CreditLot, Hold, LedgerAccount, LedgerTransaction, Quote
from billing.proof import run_proofs
from billing.services import ledger
from billing.services.pricing import PriceList
from messaging.proof import PROOFS
from tests.cast import Member, make_reseller
from tests.messaging.rows import AU, accept

State = tuple[list[Any], ...]


@pytest.fixture
def book(client_member: Member, reseller: Member) -> dict[str, int]:
    """A wallet of 9.93, a hold of 0.07 with its quote, and the ids that the statements below need."""
    dollars = make_reseller("Dollars", "USD")
    accept(client_member)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    owner = client_member.account
    return {
        "owner": owner.pk,
        "reseller": reseller.account.pk,
        "wallet": ledger.open_account(owner, "wallet").pk,
        "held": ledger.open_account(owner, "held").pk,
        "dollars": ledger.open_account(dollars.account, "wallet").pk,
        "manual": ledger.platform_account("manual", "AUD").pk,
        "quote": Quote.objects.get().pk,
        "nobody": 999_999_998,
        "nowhere": 999_999_999,
    }


def snapshot() -> State:
    """Everything that money is, as the database has it."""
    accounts = LedgerAccount.objects.order_by("pk").values_list()
    holds = Hold.objects.order_by("pk").values_list()
    return [*accounts], [*holds], [*Quote.objects.values_list()], [LedgerTransaction.objects.count()]


HEADER = (
    "INSERT INTO billing_ledgertransaction (kind, idempotency_key, currency, reference, description, about_id)"
    " VALUES ('{kind}', 'raw', '{currency}', '', '', {owner})"
)
ENTRIES = "INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount) VALUES "
ENTRY = "(currval(pg_get_serial_sequence('billing_ledgertransaction', 'id')), {account}, {amount})"
OPEN = (
    "INSERT INTO billing_ledgeraccount"
    " (owner_id, kind, currency, balance, credit_limit, overdraft_limit, debt_allowance, is_frozen, created_at)"
    " VALUES ({reseller}, 'held', 'AUD', {balance}, {credit}, 0, {debt}, false, now())"
)


HOLD = (
    "INSERT INTO billing_hold"
    " (batch_id, account_id, movement_id, payer_id, currency, amount, is_subsidy, captured, released, created_at)"
    " VALUES (uuidv7(), {owner}, {movement}, {owner}, 'AUD', 5, false, 0, 0, now())"
)


MOVEMENT = "currval(pg_get_serial_sequence('billing_ledgertransaction', 'id'))"


def holds(**changes: str) -> tuple[str, ...]:
    """A movement of 2.50 and, by one statement, two holds of it: one is right, of the other something is changed."""
    right = {
        "account_id": "{owner}", "movement_id": MOVEMENT, "payer_id": "{owner}", "currency": "'AUD'", "amount": "1.25",
        "is_subsidy": "false",
    }  # fmt: skip
    rows = ", ".join(f"(uuidv7(), {', '.join(row.values())}, 0, 0, now())" for row in (right, right | changes))
    names = f"batch_id, {', '.join(right)}, captured, released, created_at"
    insert = f"INSERT INTO billing_hold ({names}) VALUES {rows}"
    return header("hold"), entries(("wallet", "-2.5"), ("held", "2.5")), insert


def header(kind: str = "manual", currency: str = "AUD") -> str:
    return HEADER.replace("{kind}", kind).replace("{currency}", currency)


def entries(*sides: tuple[str, str]) -> str:
    """Of one movement, in one statement: (account, amount) each."""
    rows = (ENTRY.replace("{account}", f"{{{account}}}").replace("{amount}", amount) for account, amount in sides)
    return ENTRIES + ", ".join(rows)


def opening(balance: int = 0, credit: int = 0, debt: int = 0) -> str:
    values = {"{balance}": balance, "{credit}": credit, "{debt}": debt}
    sql = OPEN
    for name, value in values.items():
        sql = sql.replace(name, str(value))
    return sql


ILLEGAL: dict[str, tuple[str, ...]] = {
    "an unbalanced transaction": (header(), entries(("wallet", "5"), ("manual", "-4.999999"))),
    "a transaction with one side": (header(), entries(("wallet", "5"))),
    "a transaction without sides": (header(),),
    "two sides on different currencies": (header(), entries(("manual", "-5"), ("dollars", "5"))),
    "a transaction of another currency than its accounts": (
        header(currency="USD"), entries(("manual", "-5"), ("wallet", "5")),
    ),
    "an entry of nothing": (header(), entries(("wallet", "0"), ("manual", "0"))),
    "an entry after the balance was checked": (
        header(), entries(("wallet", "5"), ("manual", "-5")), "SET CONSTRAINTS ALL IMMEDIATE", entries(("wallet", "5")),
    ),
    "a header dated so that entries could follow later": (
        header().replace("about_id)", "about_id, created_at)").replace("{owner})", "{owner}, now() + interval '1 s')"),
        entries(("wallet", "5"), ("manual", "-5")),
    ),
    "entries of a movement that there is not": (
        entries(("wallet", "5"), ("manual", "-5")).replace("currval(", "1000000 + currval("),
    ),
    "a side on an account that there is not": (header(), entries(("wallet", "-5"), ("nobody", "5"))),
    "sides on accounts that there are not": (header(), entries(("nobody", "-5"), ("nowhere", "5"))),
    "three sides, one on an account that there is not": (
        header(), entries(("wallet", "-5"), ("manual", "4"), ("nobody", "1")),
    ),
    "the same key twice": (header(), entries(("wallet", "5"), ("manual", "-5")), header()),
    "a wallet spent below its floor": (header("hold"), entries(("wallet", "-9.930001"), ("held", "9.930001"))),
    "a wallet below its floor between two entries of a statement": (
        header(),
        entries(("wallet", "-9.930001"), ("manual", "9.930001"), ("wallet", "9.930001"), ("manual", "-9.930001")),
    ),
    "a reversal that lets another movement of its statement pass the floor": (
        header("refund"),
        header().replace("'raw'", "'raw-2'"),
        "INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount) SELECT t.id, s.account, s.amount"
        " FROM (VALUES (1, 'raw', {wallet}, -9.94), (2, 'raw', {manual}, 9.94), (3, 'raw-2', {wallet}, -0.01),"
        " (4, 'raw-2', {manual}, 0.01)) AS s(n, key, account, amount)"
        " JOIN billing_ledgertransaction t ON t.idempotency_key = s.key ORDER BY s.n",
    ),
    "sides that come in two statements": (
        header(), entries(("wallet", "5")), entries(("manual", "-5")),
    ),
    "a wallet corrected below its floor": (header(), entries(("wallet", "-9.930001"), ("manual", "9.930001"))),
    "more taken from what is held than is held": (
        header("capture"), entries(("held", "-0.070001"), ("manual", "0.070001")),
    ),
    "a hold overspent": ("UPDATE billing_hold SET captured = 0.050001, released = 0.02",),
    "a hold settled below zero": ("UPDATE billing_hold SET captured = -0.01",),
    "a hold that is settled and opened again": (
        "UPDATE billing_hold SET captured = 0.07", "UPDATE billing_hold SET captured = 0",
    ),
    "a hold that grows": ("UPDATE billing_hold SET amount = amount + 1",),
    "a hold that changes its payer": ("UPDATE billing_hold SET payer_id = {reseller}",),
    "a hold without a movement": (HOLD.replace("{movement}", "NULL"),),
    "a hold of a movement that is none": (
        header("manual"), entries(("wallet", "-5"), ("held", "5")),
        HOLD.replace("{movement}", "currval(pg_get_serial_sequence('billing_ledgertransaction', 'id'))"),
    ),
    "a hold in a wallet that there is not": (
        header("hold"), entries(("wallet", "-5"), ("held", "5")),
        HOLD.replace("{movement}", "currval(pg_get_serial_sequence('billing_ledgertransaction', 'id'))").replace(
            "{owner}, 'AUD'", "{reseller}, 'AUD'"
        ),
    ),
    "a hold of nothing for nobody": (
        HOLD.replace("{movement}", "NULL").replace(", 5,", ", 0,").replace("{owner}, 'AUD'", "{nobody}, 'AUD'"),
    ),
    "holds, one without a movement": holds(movement_id="NULL"),
    "holds, one of a movement that there is not": holds(movement_id=f"1000000 + {MOVEMENT}"),
    "holds, one of a payment": (
        header().replace("'raw'", "'paid'"), entries(("wallet", "5"), ("manual", "-5")),
        *holds(movement_id=f"{MOVEMENT} - 1"),
    ),
    "holds, one of another sender": holds(account_id="{reseller}"),
    "holds, one in a wallet that there is not": holds(payer_id="{reseller}"),
    "holds, one in another currency": holds(currency="'USD'"),
    "holds, one of a subsidy that nobody set aside": holds(is_subsidy="true"),
    "holds, one of nothing with a movement": holds(amount="0"),
    "holds, one of nothing from nobody": holds(amount="0", movement_id="NULL", account_id="{nobody}"),
    "holds, one of nothing for nobody": holds(amount="0", movement_id="NULL", payer_id="{nobody}"),
    "a hold deleted": ("DELETE FROM billing_hold",),
    "all holds gone": ("TRUNCATE billing_hold",),
    "a balance written": ("UPDATE billing_ledgeraccount SET balance = balance + 1 WHERE id = {wallet}",),
    "a debt allowed by hand": ("UPDATE billing_ledgeraccount SET debt_allowance = 100 WHERE id = {wallet}",),
    "a ledger account under another id": ("UPDATE billing_ledgeraccount SET id = {nobody} WHERE id = {dollars}",),
    "a currency changed": ("UPDATE billing_ledgeraccount SET currency = 'USD' WHERE id = {wallet}",),
    "a wallet handed to another owner": ("UPDATE billing_ledgeraccount SET owner_id = {reseller} WHERE id = {held}",),
    "a negative credit limit": ("UPDATE billing_ledgeraccount SET credit_limit = -1 WHERE id = {wallet}",),
    "a negative overdraft": ("UPDATE billing_ledgeraccount SET overdraft_limit = -1 WHERE id = {wallet}",),
    "a ledger account deleted": ("DELETE FROM billing_ledgeraccount WHERE id = {dollars}",),
    "all ledger accounts gone": ("TRUNCATE billing_ledgeraccount CASCADE",),
    "a ledger account that opens with money": (opening(balance=5),),
    "a ledger account that opens with a negative debt": (opening(debt=-1),),
    "a ledger account that opens with an allowed debt": (opening(debt=100),),
    "a second wallet of one owner": (opening().replace("'held'", "'wallet'"),),
    "an entry changed": ("UPDATE billing_ledgerentry SET amount = amount * 2",),
    "a running balance changed": ("UPDATE billing_ledgerentry SET balance_after = 0",),
    "an entry deleted": ("DELETE FROM billing_ledgerentry",),
    "all entries gone": ("TRUNCATE billing_ledgerentry",),
    "a transaction changed": ("UPDATE billing_ledgertransaction SET kind = 'refund'",),
    "a transaction deleted": ("DELETE FROM billing_ledgertransaction",),
    "all transactions gone": ("TRUNCATE billing_ledgertransaction CASCADE",),
    "a quote changed": ("UPDATE billing_quote SET unit_price = 0",),
    "a quote deleted": ("DELETE FROM billing_quote WHERE id = {quote}",),
    "all quotes gone": ("TRUNCATE billing_quote CASCADE",),
    "the guards switched off": ("ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL",),
    "the guards replaced": (
        "CREATE OR REPLACE FUNCTION billing_history_stays() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NULL; END $$",
    ),
    "triggers left out": ("SET session_replication_role = replica",),
    "a child in another currency than its parent": (
        "INSERT INTO accounts_account SELECT (jsonb_populate_record(a, jsonb_build_object("
        " 'id', 999999, 'code', 'FOREIGN', 'parent_id', {reseller}, 'currency', 'USD'))).*"
        " FROM accounts_account a WHERE id = {owner}",
    ),
    "an account that changes its currency": ("UPDATE accounts_account SET currency = 'USD' WHERE id = {owner}",),
    "an account that moves in the tree": ("UPDATE accounts_account SET parent_id = 1 WHERE id = {owner}",),
    "an account with money deleted": ("DELETE FROM accounts_account WHERE id = {owner}",),
    "a movement about nobody": (
        header().replace("{owner}", "{nobody}"), entries(("wallet", "5"), ("manual", "-5")),
    ),
    "a top-up paid without a movement": (
        "INSERT INTO billing_topup (code, account_id, amount, currency, state, session_id, checkout_url,"
        " payment_intent, card, error, created_at, expires_at)"
        " VALUES ('X', {owner}, 5, 'AUD', 'paid', '', '', '', '', '', now(), now())",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ILLEGAL)
def test_the_database_alone_stops(book: dict[str, int], case: str) -> None:
    before = snapshot()
    with pytest.raises(DatabaseError), transaction.atomic():
        run(ILLEGAL[case], book)
    assert snapshot() == before
    assert [verdict for verdict in run_proofs(PROOFS) if verdict.count] == []


def test_holds_of_one_statement_that_are_right_are_made(book: dict[str, int]) -> None:
    for free in ({}, {"amount": "0", "movement_id": "NULL", "payer_id": "{reseller}"}):
        first, *others = holds(**free)
        run(("SET CONSTRAINTS ALL DEFERRED", first.replace("'raw'", f"'raw-{len(free)}'"), *others), book)
    assert Hold.objects.filter(movement__kind="hold").count() == 1 + 3
    assert Hold.objects.filter(movement=None).count() == 1


def test_a_hold_of_a_movement_that_was_made_before_is_stopped(committed_db: object, book: dict[str, int]) -> None:
    earlier = Hold.objects.get().movement_id
    with pytest.raises(IntegrityError, match="a hold is made with its movement"), transaction.atomic():
        run(holds(movement_id=str(earlier)), book)
    assert Hold.objects.count() == 1


def run(statements: tuple[str, ...], book: dict[str, int]) -> None:
    """The statements, then what a commit checks."""
    with connection.cursor() as cursor:
        for sql in statements:
            for name, value in book.items():
                sql = sql.replace(f"{{{name}}}", str(value))
            cursor.execute(sql)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_same_statements_pass_where_they_are_legal(book: dict[str, int]) -> None:
    """Else the cases above might fail for a mistake in their SQL."""
    made = HOLD.replace("{movement}", "currval(pg_get_serial_sequence('billing_ledgertransaction', 'id'))")
    held = (header("hold").replace("'raw'", "'held'"), entries(("wallet", "-5"), ("held", "5")), made)
    run((header(), entries(("wallet", "5"), ("manual", "-5")), opening(), *held), book)
    before = LedgerTransaction.objects.filter(kind="hold").earliest("pk").entries.get(ledger_account=book["wallet"])
    assert LedgerAccount.objects.get(pk=book["wallet"]).balance == before.balance_after + 5 - 5
    assert Hold.objects.count() == 2


def test_entries_that_go_forth_and_back_in_one_statement_are_applied_one_by_one(book: dict[str, int]) -> None:
    sides = (
        ("wallet", "-9.93"),
        ("manual", "9.93"),
        ("wallet", "4"),
        ("manual", "-4"),
        ("wallet", "-1"),
        ("held", "1"),
    )
    run((header(), entries(*sides)), book)
    rows = LedgerTransaction.objects.get(idempotency_key="raw").entries.order_by("pk")
    after = rows.filter(ledger_account=book["wallet"]).values_list("balance_after", flat=True)
    assert [*after] == [0, 4, 3]
    assert LedgerAccount.objects.get(pk=book["wallet"]).balance == 3
    assert rows.get(ledger_account=book["held"]).balance_after == Decimal("1.07")


def make_lot(member: Member) -> CreditLot:
    """Ten credits of one lot, bought for 0.50."""
    price = PriceList(member.account).price_of(AU)
    credited = ledger.open_account(member.account, "wallet", "SMS")
    issued = ledger.platform_account("issued", "SMS")
    moved = ledger.post(
        kind="credits", key="lot", currency="SMS", about=member.account,
        postings=[ledger.Posting(issued.pk, -ledger.Decimal(10)), ledger.Posting(credited.pk, ledger.Decimal(10))],
    )  # fmt: skip
    assert member.account.parent
    return CreditLot.objects.create(
        account=member.account, payer=member.account.parent, quantity=10, currency="AUD", unit_price=price.price,
        chain=[], transaction=moved,
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM billing_creditlot",
        "TRUNCATE billing_creditlot",
        "UPDATE billing_creditlot SET quantity = 100",
        "UPDATE billing_creditlot SET unit_price = 0",
        "UPDATE billing_creditlot SET taken_back = 11",
        "UPDATE billing_creditlot SET taken_back = -1",
        "UPDATE billing_creditlot SET taken_back = 3",
        "UPDATE accounts_account SET country = 'NZ' WHERE country = 'AU'",
    ],
)
def test_the_database_alone_keeps_credit_lots(client_member: Member, statement: str) -> None:
    lot = make_lot(client_member)
    CreditLot.objects.filter(pk=lot.pk).update(taken_back=4)
    with pytest.raises(DatabaseError), transaction.atomic():
        run((statement,), {})
    assert list(CreditLot.objects.values_list("quantity", "taken_back")) == [(10, 4)]


def owner_statements() -> list[str]:
    names = ["ledgerentry", "ledgertransaction", "quote", "hold", "ledgeraccount", "creditlot"]
    tables = ["accounts_account", *(f"billing_{name}" for name in names)]
    gone = [sql.format(table) for table in tables for sql in ("DELETE FROM {}", "TRUNCATE {} CASCADE")]
    return [*gone, "UPDATE billing_ledgeraccount SET id = -id", "UPDATE accounts_account SET id = -id"]


@pytest.mark.parametrize("statement", owner_statements())
def test_not_even_the_owner_of_the_tables_deletes_history(
    client_member: Member, book: dict[str, int], statement: str
) -> None:
    make_lot(client_member)
    before = snapshot()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL ROLE NONE")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
        cursor.execute("RESET ROLE")
    assert snapshot() == before


def test_raising_a_limit_while_in_debt_gives_no_more_than_the_limit(client_member: Member) -> None:
    """Five in debt, then three of credit: still two short, so nothing can be spent."""
    wallet = ledger.open_account(client_member.account, "wallet")
    card = ledger.platform_account("card", "AUD")
    ledger.post(
        kind="dispute", key="d", currency="AUD", about=client_member.account,
        postings=[ledger.Posting(wallet.pk, -ledger.Decimal(15)), ledger.Posting(card.pk, ledger.Decimal(15))],
    )  # fmt: skip
    LedgerAccount.objects.filter(pk=wallet.pk).update(credit_limit=3)
    names = {"wallet": wallet.pk, "manual": card.pk, "owner": client_member.account.pk}
    with pytest.raises(DatabaseError, match="wallet_floor"), transaction.atomic():
        run((header("hold"), entries(("wallet", "-0.000001"), ("manual", "0.000001"))), names)
    wallet.refresh_from_db()
    assert (wallet.balance, wallet.debt_allowance) == (-5, 2)
