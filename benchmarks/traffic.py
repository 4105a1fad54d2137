"""Messages through the whole portal, to a sink and back, measured (benchmarks/sending.py)."""

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median, quantiles
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psycopg

from benchmarks.bare import measure_bare
from benchmarks.portal import Processes, SinkProcess, Usage, cpu_seconds, memory, say
from benchmarks.sending_scene import TENANTS, Scene, make_scene
from reseller.engines import EmbeddedPostgres

if TYPE_CHECKING:
    from benchmarks.sending import Sizes

PROCESSES = ("worker-dispatch", "worker-settle", "worker-accept", "worker-default", "beat", "connectors")
UNLIMITED = 10_000  # messages a second: more than this machine could send
PASSCODE_ROUTE = 500  # messages a second
IN_FLIGHT = 8  # single messages that each of the clients waits for at once
PATIENCE = 900.0  # seconds

_OPEN = """
    SELECT EXISTS (
        SELECT FROM messaging_message WHERE id >= %(first)s
            AND (state NOT IN ('delivered', 'cancelled') OR settled_at IS NULL))
"""
_UNSENT = """
    SELECT EXISTS (SELECT FROM messaging_message WHERE id >= %(first)s AND (state <> 'sent' OR settled_at IS NULL))
"""
_RECEIPTS = """
    INSERT INTO messaging_receipt (route_id, carrier_id, status, error_code, recipient, raw)
    SELECT route_id, carrier_id, 'DELIVRD', '000', recipient, 'id:' || carrier_id || ' stat:DELIVRD err:000'
    FROM messaging_message WHERE id >= %s
"""
_STATEMENTS = """
    SELECT calls, total_exec_time, total_plan_time, wal_bytes, left(regexp_replace(query, '\\s+', ' ', 'g'), 90)
    FROM pg_stat_statements ORDER BY total_exec_time + total_plan_time DESC LIMIT 20
"""


class Traffic:
    """The running portal, its sink and what was sent through it."""

    def __init__(self, postgres: EmbeddedPostgres, sizes: "Sizes", *, statements: bool) -> None:
        self.postgres, self.sizes = postgres, sizes
        self._statements = statements
        self._next_number = 0
        options = "-c plan_cache_mode=force_generic_plan"
        self._session = psycopg.connect(postgres.url, autocommit=True, options=options)

    def __enter__(self) -> Self:
        from accounts.garbage import spare_collections

        self.sink = SinkProcess()
        self.scene: Scene = make_scene(self.sink.port, UNLIMITED)
        self.processes = Processes(PROCESSES)
        self._wait(lambda: bool(self.ask("SELECT count(*) FROM messaging_connectorstatus WHERE state = 'bound'")), 0.2)
        self.send([(0, 2_000)])  # warms everything up
        spare_collections()  # this process stands for a web process, which does so too (gunicorn.conf.py)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.processes.stop()
        self.sink.stop()
        self._session.close()

    # --- The parts -------------------------------------------------------------------------------------------------

    def bare(self) -> dict[str, float]:
        """What the engine alone can do."""
        return measure_bare(self.postgres.url, self.scene, self.sizes.batch)

    def batch(self) -> dict[str, float]:
        """One batch, from its acceptance to everything delivered and settled."""
        return {"batch_per_s": self._median(lambda: self.send([(0, self.sizes.batch)]))}

    def tenants(self) -> dict[str, float]:
        """As many messages, of eight tenants at once."""
        each = self.sizes.batch // TENANTS
        return {"tenants8_per_s": self._median(lambda: self.send([(tenant, each) for tenant in range(TENANTS)]))}

    def accept(self) -> dict[str, float]:
        """Pasted text to an accepted batch that waits in the queue, seconds; a worker accepts it, as for SEND SMS."""
        from messaging.models import Batch

        self._pause(True)
        times = []
        for _ in range(self.sizes.runs):
            begun = time.monotonic()
            batch = self._hand_in(0, self.numbers(self.sizes.batch))
            say(f"handed in after {time.monotonic() - begun:.3f} s")
            self._wait(Batch.objects.exclude(state=Batch.State.PREPARING).filter(pk=batch.pk).exists, 0.02)
            times.append(time.monotonic() - begun)
            batch.refresh_from_db()
            if batch.message_count != self.sizes.batch:
                sys.exit(f"accepted {batch.message_count} of {self.sizes.batch}: {batch.refusal}")
        self._pause(False)
        self._wait_for_end(None)
        return {"accept_100k_s": median(times)}

    def singles(self) -> dict[str, float]:
        """Single messages of eight clients at once through the door for programs."""
        rates, times = [], list[float]()
        for _ in range(self.sizes.runs):
            self._forget_statements()
            usage, begun = self.usage(), time.monotonic()
            times += self._accept_singles(self.sizes.singles)
            rates.append(self.sizes.singles / (time.monotonic() - begun))
            self._say_spent(f"{rates[-1]:,.0f} single messages/s", usage, self.sizes.singles)
        self._wait_for_end(None)
        return {"single_accept_per_s": median(rates), "single_accept_p95_ms": 1000 * _p95(times)}

    def passcode(self) -> dict[str, float]:
        """From handing in a one-time passcode to its submit at the carrier, while bulk drains on the same route."""
        from messaging.models import MessageClass

        with self.drain():
            handed_in: dict[str, float] = {}
            for number in range(self.sizes.passcodes):
                recipient = f"6149{self._next_number:07d}"
                self._next_number += 1
                handed_in[recipient] = time.time()
                self._accept_one(1 + number % (TENANTS - 1), f"+{recipient}", MessageClass.PASSCODE)
                time.sleep(0.25)
            time.sleep(2)
            arrived = self.sink.ask("arrivals 6149")
        lost = [recipient for recipient in handed_in if recipient not in arrived]
        if lost:
            sys.exit(f"{len(lost)} passcodes have not arrived")
        return {"passcode_p95_ms": 1000 * _p95([arrived[one] - at for one, at in handed_in.items()])}

    @contextmanager
    def drain(self) -> Iterator[Any]:
        """A large batch that is sent slowly meanwhile; what is left of it afterwards is cancelled."""
        from messaging.exceptions import NotCancellable
        from messaging.services.cancelling import cancel_batch

        self._set_throughput(PASSCODE_ROUTE)
        first, submits = self._first_id(), self.sink.ask("stats")["submits"]
        batch = self._accept(0, self.numbers(self.sizes.batch))
        self._wait(lambda: self.sink.ask("stats")["submits"] > submits, 0.2)
        yield batch
        with suppress(NotCancellable):  # a small one is gone by then
            cancel_batch(batch=batch, actor=None)
        self._set_throughput(UNLIMITED)
        self._wait_for_end(first)

    def receipts(self) -> dict[str, float]:
        """Stored receipts applied to their messages."""
        rates = []
        for _ in range(self.sizes.runs):
            self.sink.ask("receipts off")
            first = self._first_id()
            self._accept(0, self.numbers(self.sizes.receipts))
            self._wait_for(_UNSENT, first)
            with psycopg.connect(self.postgres.url) as session:
                session.execute(_RECEIPTS, [first])
            begun = time.monotonic()
            self._wait_for_end(first)
            rates.append(self.sizes.receipts / (time.monotonic() - begun))
            self.sink.ask("receipts on")
        return {"receipts_per_s": median(rates)}

    def memory(self) -> dict[str, float]:
        """How much the process that grows most has grown, per cent, after the first tenth."""
        step = self.sizes.memory // 10
        self.send([(0, step)])
        before = self._memory()
        for _ in range(9):
            self.send([(0, step)])
        growth = {name: 100 * (now / before[name] - 1) for name, now in self._memory().items()}
        say("memory: " + ", ".join(f"{name} {value:+.1f} %" for name, value in growth.items()))
        return {"rss_growth_pct": max(growth.values())}

    def prove(self) -> None:
        """The run counts only when the books are right."""
        from billing.proof import run_proofs
        from messaging.proof import PROOFS

        wrong = [verdict for verdict in run_proofs(PROOFS) if verdict.count]
        if wrong:
            sys.exit(f"the books are wrong: {wrong}")

    # --- Sending ---------------------------------------------------------------------------------------------------

    def send(self, shares: list[tuple[int, int]]) -> float:
        """Messages a second of batches of (tenant, messages), until all are delivered and settled."""
        pasted = [(tenant, self.numbers(count)) for tenant, count in shares]
        total = sum(count for _, count in shares)
        first = self._first_id()
        self.sink.ask("reset")
        self._forget_statements()
        usage, begun = self.usage(), time.monotonic()
        for tenant, numbers in pasted:
            self._accept(tenant, numbers)
        accepted = time.monotonic() - begun
        self._wait_for_end(first)
        seconds = time.monotonic() - begun
        stats = self.sink.ask("stats")
        if stats["duplicates"] or stats["submits"] != total:
            sys.exit(f"of {total} messages the sink saw {stats}")
        what = f"{total:,} in {seconds:.1f} s (accepted in {accepted:.1f} s) = {total / seconds:,.0f}/s"
        self._say_spent(what, usage, total)
        return total / seconds

    def numbers(self, count: int) -> str:
        """As many numbers that were not sent to before, as somebody would paste them."""
        first, self._next_number = self._next_number, self._next_number + count
        if self._next_number >= 10_000_000:
            sys.exit("out of numbers")
        return "\n".join(f"+6141{number:07d}" for number in range(first, first + count))

    def usage(self) -> Usage:
        """Processor time of everything so far; ``accept`` is this process."""
        postgres = self.postgres.process
        assert postgres is not None  # noqa: S101
        pids = self.processes.pids | {"postgres": postgres.pid, "sink": self.sink.pid}
        return Usage({name: cpu_seconds(pid) for name, pid in pids.items()} | {"accept": time.process_time()})

    def ask(self, query: str, values: Any = ()) -> int:
        """The number that a query returns; whoever waits asks often, so it is prepared on a session of its own."""
        row = self._session.execute(query, values, prepare=True).fetchone()
        return int(row[0]) if row else 0

    def _accept(self, tenant: int, numbers: str) -> Any:
        from accounts.phones import split_recipients
        from messaging.services.acceptance import accept_batch

        member = self.scene.tenants[tenant]
        return accept_batch(
            account=member.account, actor=member.user, door="web", sender="Bench", text="Hello from the bench",
            recipients=split_recipients(numbers, "AU"), limit=1_000_000,
        )  # fmt: skip

    def _hand_in(self, tenant: int, numbers: str) -> Any:
        from messaging.services.preparing import Confirmed, Typed, send_unchecked

        member, text = self.scene.tenants[tenant], "Hello from the bench"
        return send_unchecked(
            account=member.account, actor=member.user, typed=Typed(numbers, [], {"sender": "Bench", "text": text}),
            key=uuid.uuid4().hex, confirmed=Confirmed("Bench", text, None, None, None),
        )  # fmt: skip

    def _accept_one(self, tenant: int, recipient: str, message_class: int) -> None:
        from messaging.services.acceptance import Single
        from messaging.services.single_door import door

        member = self.scene.tenants[tenant]
        door.accept(Single(member.account, None, "rest", "Bench", "Your code is 123456", recipient, message_class))

    def _accept_singles(self, count: int) -> list[float]:
        """Seconds from handing in to durable acceptance of each; every client waits for IN_FLIGHT at once."""
        from messaging.models import MessageClass

        numbers = iter(self.numbers(count).split())
        lock, times, errors = threading.Lock(), list[float](), list[BaseException]()

        def client(tenant: int) -> None:
            try:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    begun = time.monotonic()
                    self._accept_one(tenant, number, MessageClass.TRANSACTIONAL)
                    times.append(time.monotonic() - begun)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=client, args=(n % TENANTS,)) for n in range(TENANTS * IN_FLIGHT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors or len(times) != count:
            sys.exit(f"{count - len(times)} single messages were not accepted: {errors[:1]}")
        return times

    # --- Waiting and looking ---------------------------------------------------------------------------------------

    def _first_id(self) -> str:
        with psycopg.connect(self.postgres.url) as session:
            row = session.execute("SELECT uuidv7()").fetchone()
        assert row is not None  # noqa: S101
        return str(row[0])

    def _wait_for_end(self, first: str | None) -> None:
        """Until all messages since ``first`` are delivered and settled."""
        self._wait_for(_OPEN, first or "00000000-0000-0000-0000-000000000000")

    def _wait_for(self, query: str, first: str) -> None:
        self._wait(lambda: not self.ask(query, {"first": first}), 0.5)

    def _wait(self, condition: Callable[[], bool], pause: float) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                sys.exit("the portal has not come to an end")
            time.sleep(pause)

    def _median(self, measure: Callable[[], float]) -> float:
        return median(measure() for _ in range(self.sizes.runs))

    def _memory(self) -> dict[str, int]:
        return {name: memory(pid) for name, pid in self.processes.pids.items()}

    def _pause(self, is_paused: bool) -> None:
        from messaging.models import Route

        Route.objects.filter(pk=self.scene.route.pk).update(is_paused=is_paused)

    def _set_throughput(self, throughput: int) -> None:
        from messaging.models import Route

        Route.objects.filter(pk=self.scene.route.pk).update(throughput=throughput)
        time.sleep(4)  # connectors look every few seconds

    def _forget_statements(self) -> None:
        if self._statements:
            with psycopg.connect(self.postgres.url, autocommit=True) as session:
                with suppress(psycopg.errors.DuplicateObject):
                    session.execute("CREATE EXTENSION pg_stat_statements")
                session.execute("SELECT pg_stat_statements_reset()")

    def _say_spent(self, what: str, before: Usage, messages: int) -> None:
        spent = self.usage().since(before)
        say(f"{what}; ms a message: "
            + ", ".join(f"{name} {1000 * value / messages:.3f}" for name, value in spent.items())
            + f"; all {1000 * sum(spent.values()) / messages:.3f}")  # fmt: skip
        self._say_statements(messages)

    def _say_statements(self, messages: int) -> None:
        if not self._statements:
            return
        with psycopg.connect(self.postgres.url) as session:
            for calls, took, planned, written, query in session.execute(_STATEMENTS):
                run, plan, wal = (float(one) / messages for one in (1000 * took, 1000 * planned, written))
                say(f"{calls:6} calls {run:8.1f} µs {plan:6.1f} µs to plan {wal:6.0f} B  {query}")


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
