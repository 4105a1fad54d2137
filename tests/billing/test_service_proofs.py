"""The proofs of numbers and keywords find what they are for: the owner tampers with triggers off."""

from decimal import Decimal

import pytest

from billing.models import LedgerCheck, LedgerMark
from billing.services import subscriptions
from billing.services.service_prices import keyword_sale
from messaging.services.ledger_checks import check_ledger
from tests.billing.services import at, lease_number, make_number, renew, set_margin
from tests.billing.test_verify_ledger import FULL, SINCE, failures, tampering
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase

ONE_CHARGE = "every movement of numbers and keywords is one charge of a subscription"
PAID = "what numbers and keywords cost is paid by their payers, and earned by parents and platform, to the last place"
MONTHS = "every subscription's months follow each other up to its next renewal"
LAST = "(SELECT max(id) FROM billing_servicecharge WHERE transaction_id IS NOT NULL)"

FORGED = {
    f"UPDATE billing_servicecharge SET amount = amount + 0.000001 WHERE id = {LAST}": {PAID},
    f"UPDATE billing_servicecharge SET earnings = '[]' WHERE id = {LAST}": {PAID},
    "UPDATE billing_servicecharge SET payer_id = payer_id + 1 WHERE part = 'setup'": {PAID},
    f"DELETE FROM billing_servicecharge WHERE id = {LAST}": {ONE_CHARGE, MONTHS},
    f"UPDATE billing_servicecharge SET transaction_id = NULL WHERE id = {LAST}": {ONE_CHARGE, PAID},
    f"UPDATE billing_servicecharge SET begins_on = begins_on + 1 WHERE id = {LAST}": {ONE_CHARGE},
    f"UPDATE billing_servicecharge SET ends_on = ends_on + 1 WHERE id = {LAST}": {MONTHS},
    "UPDATE billing_subscription SET next_renewal_on = next_renewal_on + 30 WHERE service = 'keyword'": {MONTHS},
    "UPDATE billing_subscription SET account_id = account_id + 1 WHERE service = 'keyword'": {ONE_CHARGE},
    "UPDATE billing_ledgertransaction SET kind = 'manual' WHERE kind = 'keyword'": {ONE_CHARGE},
    "UPDATE billing_ledgertransaction SET kind = 'keyword' WHERE kind = 'manual'": {ONE_CHARGE},
    "UPDATE billing_ledgertransaction SET reference = '' WHERE kind = 'number'": {ONE_CHARGE},
}  # fmt: skip


@pytest.fixture
def months(client_member: Member, billed_member: Member) -> None:
    """Two leased numbers, one of them with a set-up and paid by the parent, a keyword, and a renewal of the numbers."""
    set_margin(client_member, "5")
    fund(client_member, "100", key="rich")
    lease_number(client_member, now=at("2027-01-10"))
    lease_number(billed_member, make_number("+61480000002", setup="3"), now=at("2027-01-31"))
    lease_number(client_member, make_number("+61480000003", monthly="0"), now=at("2027-01-31"))
    renew(at("2027-02-28"))
    subscriptions.start(
        account=client_member.account, service="keyword", label="PIZZA", setup=None, actor=None,
        first=keyword_sale(client_member.account, Decimal("0.01")), now=at("2027-02-28"),
    )  # fmt: skip


@pytest.mark.parametrize("statement", FORGED)
@pytest.mark.forges_books
def test_a_proof_names_what_was_forged(committed_db: CommittedDatabase, months: None, statement: str) -> None:
    assert failures(FULL) == failures(SINCE) == []
    LedgerMark.objects.all().delete()  # so that what is forged counts as new
    with tampering(committed_db) as cursor:
        cursor.execute(statement.encode())
    assert set(failures(FULL)) == FORGED[statement]
    assert set(failures(SINCE)) == FORGED[statement] - {MONTHS}


@pytest.mark.forges_books
def test_the_incremental_run_reads_new_charges_only(committed_db: CommittedDatabase, months: None) -> None:
    assert failures(FULL) == []
    with tampering(committed_db) as cursor:
        cursor.execute("UPDATE billing_ledgertransaction SET created_at = now() - interval '1 day'")
        cursor.execute("UPDATE billing_servicecharge SET created_at = now() - interval '1 day', amount = amount + 1")
        cursor.execute("UPDATE billing_ledgercheck SET started_at = now()")
    assert failures(SINCE) == []
    assert failures(FULL) == [PAID]
    assert LedgerCheck.objects.latest("pk").differences[0]["count"] > 0


def test_every_proof_of_services_is_run(months: None) -> None:
    run = {mode: {verdict.name for verdict in check_ledger(mode)[1]} for mode in (FULL, SINCE)}
    assert {ONE_CHARGE, PAID, MONTHS} <= run[FULL]
    assert {ONE_CHARGE, PAID} <= run[SINCE]
