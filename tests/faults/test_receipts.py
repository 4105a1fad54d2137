"""Ten thousand receipts at once, and the worker that applies them dies by -9 in the middle."""

import subprocess
import sys
import time

import pytest
from django.core.management import call_command
from django.db import connection

from billing.selectors import balance_of
from messaging.models import Message, Receipt
from messaging.services.receipts import CHUNK, apply_waiting
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase
from tests.engines import ROOT
from tests.messaging.rows import fill_keys
from tests.messaging.test_acceptance import accept
from tests.messaging.test_connector_faults import ordinary

pytestmark = pytest.mark.faults

COUNT = 10_000
WORKER = """
import django; django.setup()
from messaging.services.receipts import apply_waiting
apply_waiting(100_000)
"""


def test_a_worker_killed_while_it_applies_ten_thousand_receipts(committed_db: CommittedDatabase, client_member: Member):
    fund(client_member, "1000")
    accept(client_member, ordinary(COUNT))
    bring_receipts()

    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=committed_db.env)
    deadline = time.monotonic() + 60
    while not (applied := Receipt.objects.exclude(applied_at=None).count()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    applied = Receipt.objects.exclude(applied_at=None).count()
    assert applied % CHUNK == 0  # whole chunks or nothing of them
    assert Message.objects.filter(state="delivered").count() == applied < COUNT

    assert apply_waiting(100_000) == COUNT - applied
    assert Message.objects.filter(state="delivered").count() == COUNT
    assert set(Receipt.objects.values_list("attempts", flat=True)) == {1}
    while settle_waiting(100_000):
        pass
    assert balance_of(client_member.account).held == 0
    call_command("verify_ledger")


def bring_receipts() -> None:
    """Every message is sent, and all receipts come in one go."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE messaging_message SET state = 'sent', sent_at = now(), sending_at = now(), carrier_id = id::text"
        )
        cursor.execute(
            "INSERT INTO messaging_receipt (route_id, carrier_id, status, error_code, recipient, raw)"
            " SELECT route_id, carrier_id, 'DELIVRD', '000', recipient, '' FROM messaging_message"
        )
    fill_keys()
