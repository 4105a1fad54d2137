"""How far batches have come: exact, by the index of batches and states alone, and without counting what most are."""

import re
from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import batch_counts
from messaging.batch_counts import counts_of
from messaging.models import Batch, Message
from messaging.selectors import newest_batches
from tests.cast import Member
from tests.messaging.rows import accept

FEW = 6
MIXTURES: tuple[dict[str, int], ...] = (
    {"queued": 20},
    {"delivered": 20},
    {"delivered": 12, "queued": 8, "sending": 1},
    {"delivered": 7, "queued": 7, "sent": 7, "scheduled": 7, "failed": 7},
    {"rejected": 9, "unknown": 3},
    {"sent": 6, "expired": 6},
    {"queued": 4, "cancelled": 1},
)


@pytest.fixture
def batches(client_member: Member, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    monkeypatch.setattr(batch_counts, "FEW", FEW)
    for mixture in MIXTURES:
        states = list(Counter(mixture).elements())
        batch = accept(client_member, [f"+614123456{number:02}" for number in range(len(states))])
        for recipient, state in zip(batch.messages.order_by("pk"), states, strict=True):
            Message.objects.filter(pk=recipient.pk).update(state=state)
    return list(Batch.objects.order_by("pk"))


def test_every_mixture_of_states_is_counted_exactly(batches: list[Batch]) -> None:
    assert [counts_of([batch])[batch.pk] for batch in batches] == list(MIXTURES)
    with CaptureQueriesContext(connection) as queries:
        assert counts_of(batches) == {batch.pk: mixture for batch, mixture in zip(batches, MIXTURES, strict=True)}
    assert len(queries) == 2
    assert counts_of([]) == {}


def test_the_largest_state_is_not_read_and_no_message_is(batches: list[Batch]) -> None:
    """Of 12 delivered, 8 queued and 1 sending: no more than FEW + 1 delivered ones, and only the index."""
    batch = batches[2]
    with connection.cursor() as cursor:
        for name in ("seqscan", "bitmapscan", "indexscan"):  # the tables of a test are too small for an index
            cursor.execute(f"SET LOCAL enable_{name} = off")
        cursor.execute(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + batch_counts._LARGE,
            {"batches": [batch.pk], "states": batch_counts._STATES, "few": FEW + 1},
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    scans = re.findall(
        r"Index Only Scan using messaging_message_\d+_batch_id_state_idx.*?rows=([\d.]+) loops=(\d+)", plan
    )
    assert len(re.findall(r"Scan (?:using|on) messaging_message", plan)) == len(re.findall(r"batch_id_state_idx", plan))
    assert round(sum(float(rows) * int(loops) for rows, loops in scans)) == (FEW + 1) * 2 + 1 + 8, plan


def test_the_newest_batches_are_those_of_the_accounts(
    batches: list[Batch], client_member: Member, reseller: Member, outsider: Member
) -> None:
    own = accept(reseller)
    assert newest_batches([reseller.account, client_member.account], 3) == [own, batches[-1], batches[-2]]
    assert newest_batches([outsider.account], 3) == []
