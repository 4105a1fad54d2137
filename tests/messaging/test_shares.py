"""A route's throughput divided among binds of several processes (messaging/connectors/shares.py)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from messaging.connectors.shares import COOLING, LEASE, Lease, divide
from messaging.models import BindShare, Message
from smpp.simulator import Simulator, read_journal
from tests.cast import Member, fund
from tests.messaging.carrier import connect_route, connectors, in_thread, play
from tests.messaging.test_acceptance import accept
from tests.messaging.test_connector_faults import ordinary, start
from tests.messaging.test_pace import busiest_second

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Table:
    """The leases of a route, and processes that ask for them by a clock of the test's own."""

    def __init__(self, throughput: int) -> None:
        self.throughput = throughput
        self.now = START
        self.rows: dict[int, Lease] = {}
        self.held: dict[str, dict[int, datetime]] = {}
        # Whoever may use what: (process, bind) -> [(from, until, share)]
        self.uses: dict[tuple[str, int], list[list]] = {}

    def ask(self, process: str, *binds: int) -> dict[int, int]:
        changed = divide(self.rows.values(), self.throughput, self.now, binds, self.held.get(process, {}))
        given_ = {one.bind: one for one in changed}
        self.rows |= given_
        for bind in set(self.held.get(process, {})) | set(binds):
            spans = self.uses.setdefault((process, bind), [])
            if spans:
                spans[-1][1] = min(spans[-1][1], self.now)
            if bind in binds and bind in given_:
                spans.append([self.now, self.now + LEASE, given_[bind].share])
        self.held[process] = {bind: given_[bind].leased_until for bind in binds if bind in given_}
        return {bind: given_[bind].share if bind in given_ else 0 for bind in binds}

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def most_in_a_second(self, end: datetime) -> int:
        """What all together may have submitted in the second before ``end``."""
        return sum(
            max((share for begin, until, share in spans if begin < end and until > end - SECOND), default=0)
            for spans in self.uses.values()
        )


def settled(table: Table, asked: dict[str, tuple[int, ...]], seconds: float = 5) -> dict[int, int]:
    found: dict[int, int] = {}
    for _ in range(int(seconds * 2)):
        table.wait(0.5)
        for process, binds in asked.items():
            found |= table.ask(process, *binds)
    return found


def test_shares_are_whole_and_add_up():
    assert settled(Table(100), {"a": (0, 1), "b": (2,)}) == {0: 34, 1: 33, 2: 33}
    assert settled(Table(2), {"a": (0,), "b": (1,), "c": (2,)}) == {0: 1, 1: 1, 2: 0}


def test_the_share_of_a_bind_that_is_gone_goes_to_the_others():
    table = Table(100)
    settled(table, {"a": (0, 1), "b": (2, 3)})
    assert settled(table, {"a": (0, 1)}) == {0: 50, 1: 50}  # the process was killed
    assert settled(table, {"a": (1,)}, 2) == {1: 100}  # the session ended, the process lives
    assert settled(table, {"a": (0, 1), "b": (2, 3)}) == {0: 25, 1: 25, 2: 25, 3: 25}


def test_a_process_that_takes_over_a_bind_waits_for_the_old_lease():
    table = Table(10)
    assert table.ask("a", 0) == {0: 10}
    table.wait(0.5)
    assert table.ask("b", 0) == {0: 0}
    table.wait((LEASE + COOLING).total_seconds())
    assert table.ask("b", 0) == {0: 10}


steps = st.tuples(
    st.sampled_from("abc"), st.sets(st.integers(0, 3), max_size=3), st.floats(0.01, 1.5), st.sampled_from([None, 7, 40])
)


@given(st.lists(steps, min_size=1, max_size=40))
def test_whoever_comes_and_goes_no_second_may_have_more_than_the_route_allows(plan):
    table, most = Table(20), 20
    lowered_at = START - 10 * SECOND
    for process, binds, seconds, throughput in plan:
        table.wait(seconds)
        if throughput is not None:
            # A lower limit counts from when each bind has asked again.
            lowered_at = table.now if throughput < table.throughput else lowered_at
            table.throughput = throughput
        most = table.throughput
        table.ask(process, *binds)
        if table.now > lowered_at + LEASE + COOLING:
            assert table.most_in_a_second(table.now + timedelta(microseconds=1)) <= most


def leased() -> dict[int, int]:
    """The shares in force, by bind."""
    return dict(BindShare.objects.filter(leased_until__gt=Now(), share__gt=0).values_list("bind", "share"))


def test_two_processes_keep_to_the_rate_together_and_one_takes_over_what_a_killed_one_had(
    committed_db, client_member: Member, tmp_path
):
    rate = 60

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not await in_thread(condition):
                await asyncio.sleep(0.05)

    async def scenario(carrier: Simulator) -> None:
        await in_thread(lambda: connect_route(carrier.port, window=50, throughput=rate, binds=2))
        other = start(committed_db, Path(tmp_path) / "other.log")
        try:
            await until(lambda: len(carrier.sessions) == 2)
            await in_thread(lambda: connect_route(carrier.port, window=50, throughput=rate, binds=4))
            async with connectors():
                await until(lambda: len(carrier.sessions) == 4)
                await in_thread(accept, client_member, ordinary(5 * rate))
                await in_thread(lambda: Message.objects.update(state="released"))
                await until(lambda: leased() == {0: 15, 1: 15, 2: 15, 3: 15})
                other.kill()
                await until(lambda: set(leased()) == {2, 3})
                await until(lambda: leased() == {0: 15, 1: 15, 2: 15, 3: 15})
                await until(lambda: not Message.objects.filter(state__in=("queued", "released")).exists())
        finally:
            other.kill()
            other.wait()

    fund(client_member, "100")
    play(scenario, tmp_path)

    moments = sorted(entry.at for entry in read_journal(tmp_path).accepted)
    assert len(moments) >= 5 * rate - 50
    assert busiest_second(moments) <= 1.1 * rate  # the journal's clock shifts with this machine's load
    assert leased() == {}  # let go of in the end
