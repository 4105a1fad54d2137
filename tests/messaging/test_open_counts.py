"""Staff's counts of what is on its way, bounded and by the indexes that hold nothing else; and of today."""

import re
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from messaging import open_counts
from messaging.models import Message
from messaging.open_counts import count_open
from messaging.report_counts import accepted_since
from messaging.services.plans import pin_plans
from messaging.services.rollups import roll_up
from tests.cast import Member
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, move_to


def test_open_messages_are_counted_by_state_to_a_bound(client_member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(client_member, [AU, AU_DEAR, NZ])
    Message.objects.filter(recipient=NZ).update(state="unknown")
    assert count_open() == {"queued": 2, "released": 0, "sending": 0, "unknown": 1}
    monkeypatch.setattr(open_counts, "MOST_COUNTED", 0)
    assert count_open() == {"queued": 1, "released": 0, "sending": 0, "unknown": 1}


def test_nothing_but_open_messages_is_read(db: None) -> None:
    """On tables without statistics, whatever else is in them."""
    with transaction.atomic(), connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute("EXPLAIN " + open_counts._COUNT, {"most": 10})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    used = set(re.findall(r"messaging_message_\d+_(\w+?)\s", plan))
    assert used == {
        "route_id_message_class_account_id__idx", "route_id_message_class_priority_re_idx", "route_id_claim_idx",
    }, plan  # fmt: skip
    assert "Seq Scan" not in plan


def test_todays_messages_are_those_of_everybody_rolled_up_or_not(client_member: Member, reseller: Member) -> None:
    midnight = datetime.combine(timezone.now().date(), time.min, tzinfo=UTC)
    accept(client_member, [AU, AU_DEAR])
    move_to(accept(reseller, [NZ]), midnight - timedelta(seconds=1))
    roll_up()
    assert accepted_since(midnight) == 2
    accept(reseller, [AU])
    assert accepted_since(midnight) == 3 == Message.objects.count() - 1
