"""Each proof finds what it is for: the owner tampers with triggers off, in a database of the test's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import OutgoingMail, User
from billing.models import LedgerCheck, LedgerMark, TopUp
from messaging.models import Message
from messaging.proof import PROOFS
from messaging.services.ledger_checks import check_ledger
from messaging.services.settling import settle_waiting
from messaging.tasks import verify_ledger
from tests.cast import PASSWORD, LogIn, Member
from tests.conftest import CommittedDatabase
from tests.messaging.rows import NZ, accept, settle_as

D = Decimal
FULL, SINCE = LedgerCheck.Mode.FULL, LedgerCheck.Mode.SINCE


@contextmanager
def tampering(database: CommittedDatabase) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor of the owner for whom neither triggers nor constraints hold."""
    with psycopg.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("ALTER TABLE billing_ledgeraccount DROP CONSTRAINT wallet_floor")
        cursor.execute("ALTER TABLE billing_hold DROP CONSTRAINT hold_not_overspent")
        cursor.execute("ALTER TABLE billing_topup DROP CONSTRAINT paid_topup_is_in_ledger")
        yield cursor


def send(member: Member, count: int = 3) -> None:
    """A batch of which all but the last message are sent."""
    batch = accept(member, [f"+6141234567{number}" for number in range(count - 1)] + [NZ])
    settle_as(batch, "delivered")
    Message.objects.filter(batch=batch, recipient=NZ).update(state="rejected", sent_at=None)
    settle_waiting(10)


def failures(mode: str) -> list[str]:
    return [verdict.name for verdict in check_ledger(mode)[1] if verdict.count]


WALLET = "(SELECT id FROM billing_ledgeraccount WHERE kind = 'wallet' ORDER BY id DESC LIMIT 1)"
HELD = "(SELECT id FROM billing_ledgeraccount WHERE kind = 'held' ORDER BY id DESC LIMIT 1)"
LAST = "(SELECT max(id) FROM billing_ledgerentry)"
FORGED = {
    f"UPDATE billing_ledgeraccount SET balance = balance + 1 WHERE id = {WALLET}": {
        "every balance equals the sum of its entries", "every balance is its proven one and the entries since",
    },
    f"UPDATE billing_ledgerentry SET amount = amount + 0.000001 WHERE id = {LAST}": {
        "every balance equals the sum of its entries", "every balance is its proven one and the entries since",
        "every transaction has two sides or more and sums to zero",
        "every running balance follows from the one before", "every running balance since follows from the proven one",
    },
    "INSERT INTO billing_ledgertransaction (kind, idempotency_key, currency, reference, description, about_id)"
    " SELECT 'manual', 'empty', 'AUD', '', '', max(id) FROM accounts_account": {
        "every transaction has two sides or more and sums to zero",
    },
    "UPDATE billing_ledgertransaction SET currency = 'EUR' WHERE kind = 'release'": {
        "a transaction moves accounts of its own currency only",
    },
    f"UPDATE billing_ledgerentry SET balance_after = balance_after + 1 WHERE id = {LAST}": {
        "every running balance follows from the one before", "every running balance since follows from the proven one",
    },
    f"UPDATE billing_ledgeraccount SET balance = -1 WHERE id = {WALLET}": {"no wallet is below its floor"},
    "UPDATE billing_hold SET released = released - 0.01": {
        "what is held equals the open rest of the holds",
        "every batch's hold, captures and releases equal the sums over its messages",
    },
    "UPDATE billing_hold SET captured = captured + 0.01, released = released - 0.01": {
        "holds equal their movements, wallet by wallet",
        "every batch's hold, captures and releases equal the sums over its messages",
    },
    "UPDATE billing_hold SET movement_id = (SELECT min(id) FROM billing_ledgertransaction)": {
        "every hold is in the movement that it names, and no movement sets aside more",
    },
    "UPDATE billing_hold SET amount = amount + 0.01": {
        "every hold is in the movement that it names, and no movement sets aside more",
        "holds equal their movements, wallet by wallet", "what is held equals the open rest of the holds",
        "every batch's hold, captures and releases equal the sums over its messages",
    },
    "UPDATE billing_topup SET state = 'paid', paid_at = now()": {
        "every paid top-up is in the payer's wallet, once and with its amount",
    },
    "UPDATE billing_billingterms SET trial_credit = 3 WHERE method = 'card_variable'": {
        "every trial credit that was given is in the account's wallet, in all",
    },
    f"UPDATE billing_ledgeraccount SET credit_limit = 5 WHERE id = {WALLET}": {
        "every wallet goes below zero as far as its invoice terms allow, and no others do",
    },
    f"UPDATE billing_ledgeraccount SET overdraft_limit = 0.000001 WHERE id = {WALLET}": {
        "every wallet goes below zero as far as its invoice terms allow, and no others do",
    },
    "DELETE FROM messaging_message WHERE state = 'rejected'": {
        "every batch's hold, captures and releases equal the sums over its messages",
        "every settlement's amount and count equal its messages",
    },
    "UPDATE messaging_message SET price = price + 0.01 WHERE state = 'delivered'": {
        "every message costs its parts at its quote's price",
        "every batch's hold, captures and releases equal the sums over its messages",
    },
    "UPDATE messaging_message SET sent_at = now() WHERE state = 'rejected'": {
        "a message is settled only when it went or ended, in the right direction",
    },
    "UPDATE billing_quote SET chain = jsonb_set(chain, '{0,1}', '\"0.04\"') WHERE country = 'AU'": {
        "what every account above the payer earned equals its margins in the quotes",
    },
    "UPDATE billing_quote SET chain = jsonb_set(chain, '{0,1}', '\"0.99\"') WHERE country = 'AU'": {
        "what every account above the payer earned equals its margins in the quotes",
        "every subsidy's hold, captures and releases equal the margins below zero of its batch's messages",
    },
    "UPDATE billing_ledgertransaction SET quantity = 9 WHERE kind = 'capture'": {
        "every settlement's amount and count equal its messages",
    },
}  # fmt: skip


@pytest.mark.parametrize("statement", FORGED)
@pytest.mark.forges_books
def test_a_proof_names_what_was_forged(committed_db: CommittedDatabase, client_member: Member, statement: str) -> None:
    send(client_member)
    TopUp.objects.create(account=client_member.account, amount=5, currency="AUD", expires_at=timezone.now())
    assert failures(FULL) == []
    LedgerMark.objects.all().delete()  # so that what is forged counts as new
    with tampering(committed_db) as cursor:
        cursor.execute(statement.encode())
    for mode in (FULL, SINCE):
        expected = {proof.name for proof in PROOFS if proof.name in FORGED[statement] and mode in proof.modes}
        assert expected <= set(failures(mode))


def test_each_proof_that_is_forged_against_exists() -> None:
    assert set().union(*FORGED.values()) <= {proof.name for proof in PROOFS}


def test_the_incremental_run_covers_what_is_new_and_goes_on_from_the_proven_balances(
    client_member: Member, reseller: Member
) -> None:
    send(client_member)
    full, _ = check_ledger(FULL)
    assert (full.ok, full.transactions) == (True, 5)  # two payments, hold, capture, release
    marks = dict(LedgerMark.objects.values_list("ledger_account__owner__name", "balance").filter(
        ledger_account__kind="wallet"))  # fmt: skip
    assert marks == {"Reseller": D("100.04"), "Client": D("9.86")}
    send(client_member)
    since, verdicts = check_ledger(SINCE)
    assert since.ok
    assert since.transactions >= 3
    assert "holds equal their movements, wallet by wallet" not in {verdict.name for verdict in verdicts}
    wallet = LedgerMark.objects.get(ledger_account__kind="wallet", ledger_account__owner=client_member.account)
    assert wallet.balance == wallet.ledger_account.balance


@pytest.mark.forges_books
def test_the_incremental_run_misses_old_forgeries_and_the_full_one_finds_them(
    committed_db: CommittedDatabase, client_member: Member
) -> None:
    send(client_member)
    assert failures(FULL) == []
    with tampering(committed_db) as cursor:
        cursor.execute("UPDATE billing_ledgertransaction SET created_at = now() - interval '1 day'")
        cursor.execute("UPDATE billing_ledgercheck SET started_at = now()")
        first = "(SELECT min(id) FROM billing_ledgerentry)"
        cursor.execute(f"UPDATE billing_ledgerentry SET balance_after = 5 WHERE id = {first}".encode())
    assert failures(SINCE) == []
    assert failures(FULL) == ["every running balance follows from the one before"]


def test_a_failing_run_lists_its_differences_and_tells_staff_once(
    committed_db: CommittedDatabase, client_member: Member, log_in: LogIn
) -> None:
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")
    verify_ledger()
    with tampering(committed_db) as cursor:
        cursor.execute(f"UPDATE billing_ledgeraccount SET balance = balance + 1 WHERE id = {WALLET}".encode())
    verify_ledger()
    verify_ledger("since")
    mails = OutgoingMail.objects.filter(key__startswith="ledger-check:")
    assert [(mail.to, mail.subject) for mail in mails] == [
        ("staff@test.example", "Relay: the books are wrong (1 proof failed)")
    ]
    check = LedgerCheck.objects.order_by("pk")[1]
    (proof,) = check.differences
    assert (check.ok, check.mode, proof["name"], proof["count"]) == (
        False, "full", "every balance equals the sum of its entries", 1,
    )  # fmt: skip
    assert (proof["differences"][0]["balance"], proof["differences"][0]["entries"]) == ("11.000000", "10.000000")
    browser = log_in(staff)
    assert "1 wrong" in browser.get("/admin/").content.decode()
    assert "balance=11.000000" in browser.get(f"/admin/billing/ledgercheck/{check.pk}/change/").content.decode()
    with tampering_undone(committed_db) as cursor:
        cursor.execute(f"UPDATE billing_ledgeraccount SET balance = balance - 1 WHERE id = {WALLET}".encode())
    verify_ledger()
    assert ">Right<" in browser.get("/admin/").content.decode().replace("\n", "").replace(" ", "")


@contextmanager
def tampering_undone(database: CommittedDatabase) -> Iterator[psycopg.Cursor[Any]]:
    with psycopg.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield cursor


@pytest.mark.forges_books
def test_the_command_speaks_json_and_its_exit_tells(committed_db: CommittedDatabase, client_member: Member) -> None:
    out = StringIO()
    call_command("verify_ledger", "--json", "--since-last", stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["ok"], answer["mode"], answer["transactions"]) == (True, "since", 2)
    assert {proof["count"] for proof in answer["proofs"]} == {0}
    with tampering(committed_db) as cursor:
        cursor.execute(f"UPDATE billing_ledgeraccount SET balance = -1 WHERE id = {WALLET}".encode())
    out = StringIO()
    with pytest.raises(CommandError, match="2 of"):
        call_command("verify_ledger", "--json", stdout=out)
    answer = json.loads(out.getvalue())
    wrong = {proof["name"]: proof["differences"] for proof in answer["proofs"] if proof["count"]}
    assert set(wrong) == {"every balance equals the sum of its entries", "no wallet is below its floor"}
