"""The statements behind every inbound message walk the right index on tables that nobody has analysed."""

import pytest
from django.db import connection

from messaging.models import Conversation, InboundAction, InboundMessage, InboundPart, Route
from messaging.services import inbound, inbound_actions, inbound_calls, inbound_repeats, inbound_texts, inbound_writing
from messaging.services.inbound_parts import make_part, store_parts
from tests.cast import Member
from tests.keywords.scene import NUMBER, hold_number, put_keyword
from tests.messaging.test_plans import explain, rows_removed

COUNT, FEW = 3000, 20

pytestmark = pytest.mark.forges_books  # numbers and keywords are rows here, without their charges


@pytest.fixture
def full_tables(committed_db, client_member: Member) -> Route:
    """Parts, messages and actions by the thousand, and no statistics."""
    number, route = hold_number(client_member), Route.objects.get(code="test")
    keyword = put_keyword(client_member, number, "join")
    parts = [
        make_part(
            route.pk, f"+614{10_000_000 + index}", NUMBER, "join", session="1", reference="7", total=2, sequence=1
        )
        for index in range(COUNT)
    ]
    store_parts(route.pk, parts)
    conversation = Conversation.objects.create(account=client_member.account, number=number, phone="+61412345678")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO messaging_inboundmessage (route_id, account_id, number_id, conversation_id, keyword_id,"
            " sender, recipient, text) SELECT route_id, %s, %s, %s, %s, sender, recipient, text"
            " FROM messaging_inboundpart",
            [client_member.account.pk, number.pk, conversation.pk, keyword.pk],
        )
        cursor.execute(
            "INSERT INTO messaging_inboundaction (message_id, account_id, kind, target, payload, state, attempts,"
            " next_try_at, error, created_at) SELECT id, account_id, kind, '', '{}', 'waiting', 0, now(), '', now()"
            " FROM messaging_inboundmessage, unnest(ARRAY['reply', 'forward_url']) AS kind",
        )
    return route


def test_picking_and_filing_parts(full_tables: Route):
    plan = explain(inbound._PICK, [full_tables.pk, 100])
    assert "route_id_due_at_idx" in plan, plan
    assert rows_removed(plan) < FEW, plan
    some = list(InboundPart.objects.values_list("sender", flat=True)[:50])
    plan = explain(inbound._WAITING_WITH, [some, [NUMBER] * len(some), full_tables.pk])
    assert "route_id_sender_recipient_idx" in plan, plan
    assert rows_removed(plan) < FEW, plan
    ids = list(InboundPart.objects.values_list("pk", flat=True)[:500])
    plan = explain(inbound._HANDLED, {"ids": ids, "messages": ids}, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan
    moments = ["2026-11-22T12:00:00Z"] * len(ids)
    plan = explain(inbound._WAIT, {"ids": ids, "moments": moments}, hash_joins=True)
    assert rows_removed(plan) < COUNT, plan


def test_finding_repetitions(full_tables: Route):
    rows = list(InboundPart.objects.values_list("pk", "fingerprint")[:500])
    plan = explain(inbound_repeats._EQUAL, [[row[0] for row in rows], [row[1] for row in rows], [120.0] * len(rows)])
    assert "fingerprint_idx" in plan, plan
    assert rows_removed(plan) < FEW, plan


def test_looking_at_a_conversation(full_tables: Route):
    [(conversation, keyword)] = InboundMessage.objects.values_list("conversation", "keyword").distinct()
    plan = explain(inbound_writing._USED_KEYWORDS, [[conversation], [keyword]])
    assert rows_removed(plan) < FEW, plan
    plan = explain(inbound_texts._REPLIES, [[conversation]])
    assert "conversation_id" in plan, plan
    # Each of its newest messages is looked at, and each of its actions by the message.
    assert rows_removed(plan) <= 2 * COUNT, plan


def test_taking_actions(full_tables: Route, client_member: Member):
    plan = explain(inbound_actions._PICK, [client_member.account.pk, 100])
    assert "inbound_action_due" in plan, plan
    assert rows_removed(plan) < FEW, plan
    for query, values in ((inbound_actions._DUE_ACCOUNTS, None), (inbound_calls._TAKE, [8, 32, 60])):
        plan = explain(query, values)
        assert rows_removed(plan) < FEW, plan
    ids = list(InboundAction.objects.values_list("pk", flat=True)[:500])
    values = {
        "ids": ids, "states": ["done"] * 500, "errors": [""] * 500, "batches": [None] * 500, "delays": [0.0] * 500,
    }  # fmt: skip
    plan = explain(inbound_actions.RECORD, values, hash_joins=True)
    assert rows_removed(plan) < 2 * COUNT, plan
