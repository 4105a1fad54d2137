from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.utils import timezone

from billing import statements
from billing.services import ledger
from billing.services.settlement import Settlement, settle
from billing.statements import Period, Statement
from tests.cast import LogIn, Member, check_now, fund, make_client
from tests.conftest import CommittedDatabase

D = Decimal


def today() -> Period:
    """Yesterday to tomorrow: a test may run at midnight."""
    now = timezone.now().date()
    return Period(now - timedelta(days=1), now + timedelta(days=1))


def send(client: Member, reseller: Member, *, price: str, captured: str, margin: str) -> None:
    """A batch of three: held, partly sent, the rest given back."""
    batch = uuid4()
    ledger.hold(ledger.HoldOrder(
        batch_id=batch, account=client.account, payer=client.account, amount=D(price), reference="BATCH1",
        quantity=3, actor=client.user,
    ))  # fmt: skip
    settlement = Settlement(
        batch_id=batch, payer_id=client.account.pk, reference="BATCH1", captured=D(captured), captured_count=2,
        released=D(price) - D(captured), released_count=1,
    )  # fmt: skip
    settlement.earnings[reseller.account.pk] = D(margin)
    settle(key="1", settlements=[settlement])
    check_now()


def test_each_line_has_its_amount_and_the_balance_after_it(reseller: Member, client_member: Member) -> None:
    send(client_member, reseller, price="0.21", captured="0.14", margin="0.04")
    lines = Statement(client_member.account, today()).page().lines
    assert [(line.title, line.entry.amount, line.entry.balance_after) for line in lines] == [
        ("Given back for messages not sent", D("0.07"), D("9.86")),
        ("Set aside for messages", D("-0.21"), D("9.79")),
        ("Payment received", D("10"), D("10")),
    ]
    assert [line.note for line in lines] == ["1 message", "3 messages", "test money"]
    assert [line.batch_code for line in lines] == ["BATCH1", "BATCH1", ""]


def test_a_parent_sees_its_margin_and_nothing_of_the_clients_wallet(reseller: Member, client_member: Member) -> None:
    send(client_member, reseller, price="0.21", captured="0.14", margin="0.04")
    lines = Statement(reseller.account, today()).page().lines
    assert [(line.title, line.entry.amount, line.note) for line in lines] == [
        ("Margin on a client's messages", D("0.04"), "Client · 2 messages"),
        ("Payment received", D("100"), "test money"),
    ]


def test_sums_tell_payments_messages_and_margins_apart(reseller: Member, client_member: Member) -> None:
    send(client_member, reseller, price="0.21", captured="0.14", margin="0.04")
    assert Statement(client_member.account, today()).sums() == statements.Sums(D(10), D("0.14"), D(0))
    assert Statement(reseller.account, today()).sums() == statements.Sums(D(100), D(0), D("0.04"))
    long_ago = Period(date(2020, 1, 1), date(2020, 1, 31))
    assert Statement(client_member.account, long_ago).sums() == statements.Sums(D(0), D(0), D(0))


def test_the_kind_filters_and_keeps_the_balance_of_the_moment(reseller: Member, client_member: Member) -> None:
    send(client_member, reseller, price="0.21", captured="0.14", margin="0.04")
    (line,) = Statement(client_member.account, today()).page("hold").lines
    assert (line.entry.amount, line.entry.balance_after) == (D("-0.21"), D("9.79"))


def test_days_are_the_accounts_days(client_member: Member) -> None:
    begin, end = Period(date(2026, 11, 21), date(2026, 11, 21)).bounds(client_member.account)
    assert (begin.isoformat(), end.isoformat()) == ("2026-11-21T00:00:00+11:00", "2026-11-22T00:00:00+11:00")


def test_paging_forth_and_back_shows_every_line_once(client_member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PAGE_SIZE", 3)
    for number in range(7):
        fund(client_member, "1", key=f"extra-{number}")
    first = Statement(client_member.account, today()).page()
    second = Statement(client_member.account, today()).page(before=first.older)
    third = Statement(client_member.account, today()).page(before=second.older)
    balances = [line.entry.balance_after for page in (first, second, third) for line in page.lines]
    assert balances == [D(17 - number) for number in range(8)]
    assert (first.newer, third.older) == ("", "")
    assert Statement(client_member.account, today()).page(after=third.newer).lines == second.lines
    assert Statement(client_member.account, today()).page(after=second.newer).lines == first.lines
    assert Statement(client_member.account, today()).page(after=second.newer).newer == ""


def test_a_forged_cursor_shows_the_first_page(client_member: Member) -> None:
    assert len(Statement(client_member.account, today()).page(before="1").lines) == 1
    assert len(Statement(client_member.account, today()).page(after="zzz").lines) == 1


def test_other_accounts_movements_are_never_listed(reseller: Member, client_member: Member, outsider: Member) -> None:
    sibling = make_client(reseller, "Sibling")
    assert not Statement(outsider.account, today()).page().lines
    assert not Statement(sibling.account, today()).page().lines


@pytest.mark.forges_books
def test_a_period_long_ago_shows_its_movements_and_no_others(
    committed_db: CommittedDatabase, client_member: Member
) -> None:
    wallet = ledger.open_account(client_member.account, "wallet").pk
    days = ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"]
    with psycopg.connect(committed_db.url, autocommit=True) as owner:
        # The ledger bears the time at which a movement is made; only a test makes it look older.
        owner.execute("SET session_replication_role = replica")
        for number, day in enumerate(days, 1):
            owner.execute(
                "INSERT INTO billing_ledgertransaction"
                " (id, kind, idempotency_key, currency, reference, description, created_at, about_id)"
                " VALUES (%s, 'manual', %s, 'AUD', '', %s, %s::timestamp AT TIME ZONE 'Australia/Sydney', %s)",
                [number - 100, day, day, f"{day} 12:00", client_member.account.pk],
            )
            owner.execute(
                "INSERT INTO billing_ledgerentry (id, transaction_id, ledger_account_id, amount, balance_after)"
                " VALUES (%s, %s, %s, 1, 1)",
                [number - 100, number - 100, wallet],
            )
    page = Statement(client_member.account, Period(date(2026, 3, 1), date(2026, 3, 31))).page()
    assert [line.note for line in page.lines] == ["2026-03-31", "2026-03-01"]


@pytest.mark.forges_books
def test_a_page_walks_its_own_wallet_and_not_what_others_did_since(
    committed_db: CommittedDatabase, client_member: Member, outsider: Member
) -> None:
    wallets = [ledger.open_account(member.account, "wallet").pk for member in (client_member, outsider)]
    with psycopg.connect(committed_db.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "INSERT INTO billing_ledgertransaction"
            " (id, kind, idempotency_key, currency, reference, description, about_id)"
            " SELECT n, 'hold', 'old-' || n, 'AUD', '', '', %s FROM generate_series(1001, 5000) n",
            [client_member.account.pk],
        )
        owner.execute(  # half of all entries are this wallet's: a planner that may choose walks the others' newer ones
            "INSERT INTO billing_ledgerentry (id, transaction_id, ledger_account_id, amount, balance_after)"
            " SELECT n, n, CASE WHEN n <= 3000 THEN %s::bigint ELSE %s END, 1, 1 FROM generate_series(1001, 5000) n",
            wallets,
        )
        owner.execute("ANALYZE billing_ledgerentry, billing_ledgertransaction")
    statement = Statement(client_member.account, today())
    for order in (statements.NEWEST_FIRST, statements.OLDEST_FIRST):
        plan = statement.entries().order_by(*order)[:51].explain()
        assert "entry_of_an_account" in plan
        assert "billing_ledgerentry_pkey" not in plan
        assert "Sort" not in plan


def test_a_page_of_the_statement_asks_the_database_few_times(
    reseller: Member, client_member: Member, log_in: LogIn, django_assert_max_num_queries: Any
) -> None:
    browser = log_in(client_member.user)
    for count in (1, 5):
        for n in range(count):
            fund(client_member, f"{count}.0{n}")
        # Session, user, account with what is above it, terms, entries, their totals, and the balance; what several
        # rooms are asked for at once (reseller/frame.py) and prepared statements are not counted here.
        with django_assert_max_num_queries(8):
            assert browser.get("/billing/").status_code == 200
