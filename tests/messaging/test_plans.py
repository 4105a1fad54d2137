"""The statements behind every message walk the right index on tables that nobody has analysed."""

import re

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from messaging.connectors import statements
from messaging.models import Message, Receipt, Route
from messaging.services import dispatching, receipt_matching, receipts, scheduling, settling, stopping
from messaging.services.plans import join_by_hash, pin_plans
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase
from tests.messaging.rows import fill_keys
from tests.messaging.test_acceptance import accept, numbers

COUNT = 3000
FEW = 60  # more than a statement looks at that finds nobody late among those it takes


@pytest.fixture
def full_queue(committed_db, client_member: Member) -> Route:
    """Messages and receipts by the thousand, and no statistics."""
    fund(client_member, "1000")
    accept(client_member, numbers(COUNT, first=10_000))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE messaging_message SET carrier_id = 'id-' || recipient, claim = '1:0:me'")
        cursor.execute(
            "INSERT INTO messaging_receipt (route_id, carrier_id, status, error_code, recipient, raw)"
            " SELECT route_id, carrier_id, 'DELIVRD', '', recipient, '' FROM messaging_message"
        )
    fill_keys()
    return Route.objects.get()


def explain(query: str, values, *, hash_joins: bool = False) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        if hash_joins:
            join_by_hash(cursor)
        cursor.execute("EXPLAIN ANALYZE " + query, values)
        return "\n".join(row[0] for row in cursor.fetchall())


def set_state(state: str) -> None:
    Message.objects.update(state=state)


def rows_removed(plan: str) -> int:
    """Rows that were read and did not fit: thousands with a wrong index, a few in small tables."""
    return sum(int(found) for found in re.findall(r"Rows Removed by (?:Join )?Filter: (\d+)", plan))


def prepared(query: str) -> str:
    """The plan that a connection makes once, while there is nothing in any queue."""
    names: dict[str, int] = {}
    numbered = re.sub(
        r"%(?:\((\w+)\))?s", lambda found: f"${names.setdefault(found[1] or str(len(names)), len(names) + 1)}", query
    )
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute("EXPLAIN (GENERIC_PLAN) " + numbered)
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (dispatching._WAITING_ACCOUNTS, "route_id_message_class_account_id__idx"),
        (dispatching._RELEASE, "route_id_message_class_account_id__idx"),
        (statements._CLAIM, "route_id_message_class_priority_re_idx"),
        (scheduling._QUEUE, "not_before_idx"),
        (settling._PICKS[0], r"message_\d+_id_idx"),
        (settling._PICKS[1], "sent_at_idx"),
        (receipts._PICK, "next_try_at_idx"),
    ],
)
def test_a_plan_that_was_made_for_an_empty_queue_serves_a_full_one(db, query: str, index: str):
    plan = prepared(query)
    assert re.search(index, plan), plan
    # Of messages and receipts nothing else is read but what is known by its id.
    others = re.findall(r"using (messaging_(?:message|receipt)_\d+_(?!pkey)\w+)", plan)
    assert all(re.search(index, other) for other in others), plan


def test_dispatching(full_queue: Route, client_member: Member):
    values = {
        "route": full_queue.pk, "class": 2, "classes": [0, 1, 2], "accounts": [client_member.account.pk], "each": [50],
        "retries": [False], "late": "",
    }  # fmt: skip
    for query in (dispatching._WAITING_ACCOUNTS, dispatching._RELEASE):
        plan = explain(query, values)
        assert "route_id_message_class_account_id__idx" in plan, plan
        assert rows_removed(plan) < FEW, plan


def test_claiming_and_recording(full_queue: Route):
    set_state("released")
    plan = explain(statements._CLAIM, {"route": full_queue.pk, "limit": 50, "token": "1:0:me", "late": "late"})
    assert "route_id_message_class_priority_re_idx" in plan, plan
    assert rows_removed(plan) < FEW, plan

    set_state("sending")
    ids = list(Message.objects.values_list("pk", flat=True)[:500])
    values = {
        "ids": ids, "states": ["sent"] * 500, "carrier_ids": ["x"] * 500, "codes": [""] * 500, "reasons": [""] * 500,
        "delays": [None] * 500, "untried": [0] * 500, "token": "1:0:me", "route": full_queue.pk, "part_of": [],
        "parts": [], "part_ids": [],
    }  # fmt: skip
    plan = explain(statements._RECORD, values, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan


@pytest.mark.forges_books
def test_settling(full_queue: Route):
    Message.objects.update(sent_at=timezone.now())
    for state, query, index in zip(("delivered", "sent"), settling._PICKS, ("id_idx", "sent_at_idx"), strict=True):
        set_state(state)
        plan = explain(query, {"batch": None, "without": [], "patience": 0, "chunk": 100})
        assert re.search(rf"messaging_message_\d+_{index}", plan), plan
        assert rows_removed(plan) < FEW, plan
    ids = list(Message.objects.values_list("pk", flat=True)[:500])
    batches = list(Message.objects.values_list("batch_id", flat=True).distinct())
    values = {"ids": ids, "batches": batches, "directions": [True], "settlements": [1]}
    plan = explain(settling._STAMP, values, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan


def test_receipts_are_matched_whenever_statistics_were_taken(committed_db: CommittedDatabase, client_member: Member):
    """While a large batch is accepted, say: then no message has an id yet, and all look the same."""
    fund(client_member, "1000")
    accept(client_member, numbers(COUNT, first=10_000))
    with psycopg.connect(committed_db.url) as owner:
        owner.execute("ANALYZE messaging_message")
    with connection.cursor() as cursor:
        plan = prepared(receipt_matching._by_id(cursor))
    assert re.search(r"Index Cond: \(\(\(?carrier_id\)?(::text)? = r.carrier_id\)", plan), plan
    assert "Join Filter" not in plan, plan


def test_blocking_who_opted_out(full_queue: Route, client_member: Member):
    gone = numbers(FEW, first=10_000)
    moment = timezone.now()
    values = [[client_member.account.pk] * FEW, gone, [moment] * FEW, "blocked", moment, "", ["queued"]]
    plan = explain(stopping._BLOCK, values)
    assert re.search(r"messagekey_\d+_recipient_account_id_message_id_idx", plan), plan
    assert re.search(r"messaging_message_\d+_pkey", plan), plan
    assert rows_removed(plan) < FEW, plan
    assert "rows=60" in plan, plan


@pytest.mark.forges_books
def test_receipts(full_queue: Route):
    set_state("sent")
    plan = explain(receipts._PICK, [100])
    assert "next_try_at_idx" in plan, plan

    carrier_ids = list(Receipt.objects.values_list("carrier_id", flat=True)[:500])
    values = {"carrier_ids": carrier_ids, "routes": [full_queue.pk] * 500}
    with connection.cursor() as cursor:
        plan = explain(receipt_matching._by_id(cursor), values)
    assert re.search(r"messaging_carrierkey_\d+_pkey", plan), plan
    assert rows_removed(plan) < FEW, plan

    ids = sorted(Message.objects.values_list("pk", flat=True)[:500])
    assert rows_removed(explain(receipts._LOCK, [ids])) < FEW
    values = {
        "ids": ids, "states": ["delivered"] * 500, "codes": [""] * 500, "reasons": [""] * 500,
        "carrier_ids": ["x"] * 500, "settles": [True] * 500, "settlements": [1] * 500,
    }  # fmt: skip
    plan = explain(receipts._APPLY, values, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan

    keys = list(Receipt.objects.values_list("pk", flat=True)[:500])
    plan = explain(receipts._DONE, {"ids": keys, "messages": ids}, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan
