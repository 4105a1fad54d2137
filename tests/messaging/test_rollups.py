"""Reports are made of kept counts, and equal the sum over every message, whatever happens in which order."""

import importlib
import pkgutil
import random
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

import messaging.connectors
import messaging.services
from accounts.models import Account
from billing.statements import Period
from messaging.margins import MESSAGES, margin_report
from messaging.models import Message, ReportChange, ReportDay, ReportQuarter, ReportZone
from messaging.reports import Figures, client_activity, summarise
from messaging.services import rollups
from messaging.services.rollups import CHANGED, NOTE, roll_up
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund
from tests.conftest import race
from tests.messaging import plain_sums
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, count_anew, move_to, settle_as

SYDNEY = ZoneInfo("Australia/Sydney")
STATES = (
    "queued", "released", "sending", "unknown", "sent", "delivered", "undelivered", "expired", "rejected", "blocked",
    "cancelled", "failed",
)  # fmt: skip
# Statements that change messages and nothing that a report counts: no message begins or stops to be sent or ended.
UNCOUNTED = {
    "settling._STAMP", "unknown._RESEND", "unknown._DOUBT", "failover._MOVE", "rescheduling._MOVE", "statements._SWEEP",
    "statements._GIVE_BACK",
}  # fmt: skip


def today() -> date:
    return timezone.now().astimezone(SYDNEY).date()


def period() -> Period:
    return Period(today() - timedelta(days=3), today())


def differences(viewer: Account, accounts: list[Account]) -> list[str]:
    """Which of the viewer's reports differ from the plain sums."""
    days, countries = plain_sums.summary(viewer, accounts, period())
    summary = summarise(viewer, accounts, period())
    found, _ = client_activity(viewer, accounts, period())
    activity = {one.client.pk: (one.messages, one.parts, one.cost, one.billed) for one in found if one.client}
    earned = {row[:3]: row[4] for row in margin_report(viewer, period()).rows if row[3] == MESSAGES}
    compared = {
        "days": {day: one for day, one in summary.days if one != Figures()} == days,
        "countries": dict(summary.countries) == countries,
        "activity": activity == plain_sums.activity(viewer, accounts, period()),
        "margins": earned == plain_sums.margins(viewer, period()),
    }
    return [name for name, is_equal in compared.items() if not is_equal]


class Doings:
    """What may happen, chosen by chance; ``note`` is what a statement that changes messages ends with."""

    def __init__(self, seed: int, members: list[Member], note: str = f"{CHANGED}) {NOTE}") -> None:
        self.choice = random.Random(seed)
        self.members = members
        self.change = f"""WITH changed AS (
            UPDATE messaging_message SET state = %s, sent_at = CASE WHEN %s THEN coalesce(sent_at, now()) END
            WHERE id = ANY(%s) {note}"""

    def accept(self) -> None:
        """A batch near a midnight that lies in one of the last days, or now."""
        recipients = self.choice.sample([AU, AU_DEAR, NZ], self.choice.randint(1, 3))
        batch = accept(self.choice.choice(self.members), recipients, text="a" * self.choice.choice([20, 170]))
        if self.choice.random() < 0.7:
            midnight = datetime.combine(today() - timedelta(days=self.choice.randint(0, 2)), time.min, tzinfo=SYDNEY)
            move_to(batch, midnight + timedelta(seconds=self.choice.choice([-901, -1, 0, 1, 5000])))

    def change_some(self) -> None:
        """Anything may become anything: only what is counted matters here."""
        keys = list(Message.objects.order_by("pk").values_list("pk", flat=True))
        some = self.choice.sample(keys, min(len(keys), self.choice.randint(1, 6)))
        with connection.cursor() as cursor:
            cursor.execute(self.change, [self.choice.choice(STATES), self.choice.random() < 0.6, some])

    def settle(self) -> None:
        """Messages in a state that has an end are captured or released."""
        settle_waiting(1000)

    def roll_up(self) -> None:
        roll_up()

    def be_killed_rolling_up(self) -> None:
        with suppress(InterruptedError), transaction.atomic():
            roll_up()
            raise InterruptedError


@pytest.fixture
def members(reseller: Member, client_member: Member, billed_member: Member) -> list[Member]:
    return [reseller, client_member, billed_member]


@pytest.mark.parametrize("seed", range(2))
def test_reports_equal_the_plain_sums_after_whatever_happens(members: list[Member], seed: int) -> None:
    doings = Doings(seed, members)
    accounts = [member.account for member in members]
    possible: list[Callable[[], None]] = [
        doings.accept, doings.change_some, doings.change_some, doings.settle, doings.roll_up,
        doings.be_killed_rolling_up,
    ]  # fmt: skip
    for _ in range(24):
        doings.choice.choice(possible)()
        assert differences(accounts[0], accounts) == []
        assert differences(accounts[1], accounts[1:2]) == []
    assert ReportDay.objects.exists()
    assert count_anew() == 0


def test_a_writer_that_counts_nothing_is_found_out(members: list[Member]) -> None:
    doings = Doings(1, members, note="RETURNING 1) SELECT 1")
    accounts = [member.account for member in members]
    settle_as(accept(members[1], [AU, NZ]), "sent")
    roll_up()
    assert differences(accounts[0], accounts) == []
    while not Message.objects.filter(state="delivered").exists():
        doings.change_some()
    assert differences(accounts[0], accounts) == ["days", "countries"]
    out = StringIO()
    day = timezone.now().date()
    call_command("recount_reports", str(day), str(day), stdout=out)
    assert out.getvalue() == f"{day} to {day}: 2 counts were wrong and are right now.\n"
    assert differences(accounts[0], accounts) == []


def statements() -> dict[str, str]:
    """Every statement of the send engine that writes to messages, by module and name."""
    found = {}
    for package in (messaging.services, messaging.connectors):
        for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(one.name)).items():
                if isinstance(value, str) and re.search(r"(UPDATE|INSERT INTO|DELETE FROM) messaging_message\b", value):
                    found[f"{one.name.rpartition('.')[2]}.{name}"] = value
    return found


def test_every_statement_that_changes_messages_counts_it() -> None:
    uncounted = {name for name, sql in statements().items() if "INSERT INTO messaging_reportchange" not in sql}
    assert uncounted == UNCOUNTED
    naming = {name for name, sql in statements().items() if re.search(r"carrier_id = (?!'')\w", sql)}
    assert naming == {"receipts._APPLY", "statements._RECORD"}
    assert all("INSERT INTO messaging_carrierkey" in statements()[name] for name in naming)
    for name in UNCOUNTED - {"settling._STAMP"}:
        assert not re.search(r"sent_at = |state = '(delivered|undelivered|expired|rejected|blocked|failed|cancelled)'",
                             re.split(r"\bWHERE\b", statements()[name])[0]), name  # fmt: skip
    copies = re.compile(r"COPY (messaging_message\b|\{Message)|\bMessage\.objects\.[^\n]*(update|create|delete)\(")
    root = Path(messaging.services.__path__[0]).parent.parent
    paths = [path for room in ("messaging", "api", "keywords", "reseller") for path in (root / room).rglob("*.py")]
    # The first two count what they have written; the third writes what is not counted: a route and its cost.
    assert {path.name for path in paths if copies.search(path.read_text())} == {
        "batch_rows.py", "history.py", "route_tests.py",
    }  # fmt: skip


def test_what_is_accepted_while_a_quarter_ends_is_counted_by_its_ids(
    client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the quarter had ended since the batch got its id: the quick way finds nothing to count.
    quick = rollups._ACCEPTED.replace("messaging_quarter(uuidv7())", "messaging_quarter(now() + interval '1 hour')")
    assert quick != rollups._ACCEPTED
    monkeypatch.setattr(rollups, "_ACCEPTED", quick)
    accept(client_member, [AU, AU_DEAR, NZ])
    assert sum(ReportChange.objects.values_list("messages", flat=True)) == 3
    assert count_anew() == 0


def test_days_are_kept_in_the_zones_of_all_who_read_them(reseller: Member, client_member: Member) -> None:
    Account.objects.filter(pk=reseller.account.pk).update(time_zone="Asia/Kathmandu")  # 5:45 before UTC
    reseller.account.time_zone = "Asia/Kathmandu"
    midnight = datetime.combine(today() - timedelta(days=1), time.min, tzinfo=ZoneInfo("Asia/Kathmandu"))
    for moment in (midnight - timedelta(milliseconds=1), midnight):
        batch = accept(client_member, [AU])
        settle_as(batch, "delivered")
        move_to(batch, moment)
    roll_up()
    zones = set(ReportZone.objects.filter(account=client_member.account).values_list("zone", flat=True))
    assert zones == {"Asia/Kathmandu", "Australia/Sydney"}
    days = dict(summarise(reseller.account, [client_member.account], period()).days)
    assert [days[midnight.date() - timedelta(days=back)].delivered for back in (0, 1)] == [1, 1]

    # Who moves to another zone reads its days at once, made of quarters until days are kept in it.
    reseller.account.time_zone = "America/St_Johns"
    reseller.account.save(update_fields=["time_zone"])
    assert not ReportDay.objects.filter(zone="America/St_Johns").exists()
    assert differences(reseller.account, [reseller.account, client_member.account]) == []
    accept(client_member, [NZ])
    roll_up()
    assert ReportDay.objects.filter(zone="America/St_Johns").exists()
    assert differences(reseller.account, [reseller.account, client_member.account]) == []


def test_who_reads_while_others_write_and_roll_up_sees_every_message_once(
    committed_db, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(client_member, "1000")
    monkeypatch.setattr(rollups, "CHUNK", 2)
    account = client_member.account

    def work(index: int) -> None:
        for _ in range(12):
            if index < 2:
                accept(client_member, [AU, NZ])
            elif index == 2:
                roll_up()
            else:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    count = Message.objects.filter(account=account).count()
                    assert summarise(account, [account], period()).total.messages == count

    assert race(5, work) == [None] * 5
    roll_up()
    assert not ReportChange.objects.exists()
    assert sum(ReportQuarter.objects.values_list("messages", flat=True)) == 48
