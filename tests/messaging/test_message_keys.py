"""Whatever messages are asked for, their pages hold each once, newest first, and no request reads a whole history."""

import random
import re
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import message_keys
from messaging.keyset import Cursor
from messaging.message_keys import PASSING, RARE, Wanted, find_message_keys
from messaging.models import Batch, Message
from messaging.services.rollups import roll_up
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, AU_DEAR, accept, count_anew, words

PAGE, LOOK = 5, 30
STATES = (
    RARE, ("rejected",), ("delivered",), ("sent",), ("unknown", "sending"), PASSING, ("delivered", "rejected"),
)  # fmt: skip
# Copies of a message at moments of the last days, some of them of the same quarter of an hour.
COPIES = """
    INSERT INTO messaging_message (id, batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts,
        price, message_class, priority, state)
    SELECT uuidv7(one.back * interval '1 second'), batch_id, account_id, payer_id, route_id, quote_id, recipient,
        sender, parts, price, message_class, priority, one.state
    FROM messaging_message, unnest(%s::int[], %s::text[]) AS one(back, state) WHERE batch_id = %s
"""


@pytest.fixture
def scene(reseller: Member, client_member: Member, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Three batches of two accounts; everything is rolled up but the last."""
    monkeypatch.setattr(message_keys, "PAGE_SIZE", PAGE)
    monkeypatch.setattr(message_keys, "LOOK", LOOK)
    monkeypatch.setattr(message_keys, "FEW", 12)
    choice, batches = random.Random(7), []
    states = ["delivered"] * 12 + ["undelivered", "rejected", "cancelled", "sent", "unknown", "queued"]
    for member, recipient, count in ((client_member, AU, 90), (client_member, AU_DEAR, 8), (reseller, AU, 60)):
        batch = accept(member, [recipient])
        backs = [-choice.choice([1, 2, 3, 1000, 2000, 90_000]) * choice.randint(1, 5) for _ in range(count)]
        with connection.cursor() as db:
            db.execute(COPIES, [backs, [choice.choice(states) for _ in backs], batch.pk])
            db.execute("SELECT uuidv7(interval '-9 days')")  # a batch is older than its messages
            (key,) = db.fetchone()
            db.execute("UPDATE messaging_message SET batch_id = %s WHERE batch_id = %s", [key, batch.pk])
            db.execute(
                "UPDATE messaging_batch SET id = %s, message_count = %s, accepted_at = uuid_extract_timestamp(%s)"
                " WHERE id = %s",
                [key, count + 1, key, batch.pk],
            )
        batches.append(Batch.objects.get(pk=key))
        if len(batches) == 2:
            assert count_anew()
            roll_up()
    assert count_anew()
    return batches


def plain(wanted: Wanted) -> list[UUID]:
    found = Message.objects.filter(account__in=wanted.accounts, pk__gte=wanted.low, pk__lt=wanted.high)
    if wanted.states:
        found = found.filter(state__in=wanted.states)
    if wanted.recipient:
        found = found.filter(recipient=wanted.recipient)
    if wanted.batch:
        found = found.filter(batch_id=wanted.batch.pk)
    return list(found.order_by("-pk").values_list("pk", flat=True))


def walked(wanted: Wanted) -> list[UUID]:
    """All pages one after the other, and each of them again from behind."""
    found: list[UUID] = []
    cursor, oldest = Cursor(), None
    while True:
        page = find_message_keys(wanted, cursor)
        found += page.rows
        assert len(page.rows) <= PAGE
        oldest = page.newer if page.older is None else oldest
        if page.older is None:
            break
        assert cursor.before is None or page.older < cursor.before
        cursor = Cursor(before=page.older)
    back: list[UUID] = list(page.rows)
    while oldest is not None:
        page = find_message_keys(wanted, Cursor(after=oldest))
        back = [*page.rows, *back]
        assert page.newer is None or page.newer > oldest
        oldest = page.newer
    assert back == found
    return found


def test_pages_of_every_filter_hold_each_message_once(
    scene: list[Batch], reseller: Member, client_member: Member
) -> None:
    both = [reseller.account.pk, client_member.account.pk]
    everything = plain(Wanted(both))
    for accounts in (both, both[1:]):
        for low, high in ((UUID(int=0), message_keys.LAST), (everything[-20], everything[9])):
            base = Wanted(accounts, low, high)
            asked = [base, base._replace(recipient=AU), base._replace(recipient=AU, states=("sent",))]
            asked += [base._replace(states=states) for states in STATES]
            for wanted in asked:
                assert walked(wanted) == plain(wanted), wanted
    assert walked(Wanted([])) == []
    assert len(everything) == 161


def test_pages_of_a_batch_hold_each_message_once(
    scene: list[Batch], client_member: Member, reseller: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_keys, "WRITTEN_WITHIN", message_keys.WRITTEN_WITHIN * 10_000)
    for batch in scene:
        for states in ((), ("delivered",), ("rejected",), ("sent", "queued")):
            wanted = Wanted([batch.account_id], batch=batch, states=states)
            assert walked(wanted) == plain(wanted), (batch.message_count, states)


def test_no_request_reads_a_whole_history(scene: list[Batch], client_member: Member, reseller: Member) -> None:
    """Each reads keys up to its bound and a few rows, from the indexes meant for it, whatever the planner thinks."""
    accounts = [reseller.account.pk, client_member.account.pk]
    keys, few = r"messaging_messagekey_\d+_pkey", r"\w+_account_id_state_id_idx"
    to_one = r"messaging_messagekey_\d+_recipient_account_id_message_id_idx"
    for wanted, index in (
        (Wanted(accounts), keys),
        (Wanted(accounts, states=("delivered",)), keys),
        (Wanted(accounts, states=("sent",)), keys),
        (Wanted(accounts, states=("rejected",)), few),
        (Wanted(accounts, recipient=AU), to_one),
        (Wanted(accounts, recipient=AU, states=("rejected",)), to_one),
    ):
        with CaptureQueriesContext(connection) as queries:
            find_message_keys(wanted, Cursor())
        (sql,) = [one["sql"] for one in queries if "FROM messaging_message" in one["sql"]][:1]
        with connection.cursor() as db:
            for name in message_keys._SCANS if index == keys else ():
                db.execute(f"SET LOCAL enable_{name} = off")
            db.execute("EXPLAIN (ANALYZE, COSTS OFF) " + sql)
            plan = "\n".join(row[0] for row in db.fetchall())
            db.execute("RESET ALL")
        assert re.search(rf"Index Only Scan (?:Backward )?using {index}", plan), plan


def test_what_has_ended_since_the_last_roll_up_is_not_looked_at(scene: list[Batch], client_member: Member) -> None:
    """Rolled up or not: where nothing is open any more, no message is read to find that out."""
    roll_up()
    Message.objects.update(state="delivered")
    for rolls_up in (False, True):
        assert count_anew() or rolls_up
        if rolls_up:
            roll_up()
        with CaptureQueriesContext(connection) as queries:
            assert find_message_keys(Wanted([client_member.account.pk], states=("sent",)), Cursor()).rows == []
        assert not [one["sql"] for one in queries if "FROM messaging_message" in one["sql"]]


def test_a_new_batch_is_not_compared_with_all_keys(scene: list[Batch], client_member: Member) -> None:
    """Its messages in one state, all of which are older than those in another: each key is looked up once."""
    batch = accept(client_member, [f"+614123456{number:02}" for number in range(40)])
    older = batch.messages.order_by("pk").values_list("pk", flat=True)[:20]
    Message.objects.filter(pk__in=list(older)).update(state="delivered")
    wanted = Wanted([client_member.account.pk], batch=batch, states=("delivered",))
    with CaptureQueriesContext(connection) as queries:
        assert len(find_message_keys(wanted, Cursor()).rows) == PAGE
    (sql, *_) = [one["sql"] for one in queries if "looked" in one["sql"]]
    with message_keys._only_keys(), connection.cursor() as db:
        db.execute("EXPLAIN (ANALYZE, COSTS OFF) " + sql)
        plan = "\n".join(row[0] for row in db.fetchall())
    assert "Join Filter" not in plan, plan
    assert "batch_id_state_idx" not in plan, plan


def test_an_empty_page_says_that_older_messages_were_not_looked_at(
    scene: list[Batch], client_member: Member, log_in: LogIn
) -> None:
    mine = Message.objects.filter(account=client_member.account)
    mine.update(state="rejected")
    mine.filter(pk=mine.earliest("pk").pk).update(state="delivered")
    browser, address, looks = log_in(client_member.user), "/messages/?state=delivered", 1
    while not (page := browser.get(address)).context["rows"]:
        assert "None among the newest" in words(page.content.decode())
        address, looks = f"/messages/?state=delivered&before={page.context['page'].older}", looks + 1
    assert len(page.context["rows"]) == 1
    assert looks == -(-mine.count() // LOOK)
