"""The connector process: runs the binds of all connectors, wakes them, shows their state, and ends cleanly."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

from messaging.connectors import statements
from messaging.connectors.bind import Bind
from messaging.connectors.configuration import BindConfig, load_binds
from messaging.connectors.database import Database, DatabaseAway, connect
from messaging.connectors.shares import RENEW_SECONDS, RouteShares
from messaging.services.dispatching import AT_ONCE, MORE, RELEASED_CHANNEL
from messaging.wakeups import DISPATCH, FAILOVER, INBOUND, RECEIPTS, SETTLE, wake

log = structlog.get_logger(__name__)

HEALTH_KEY = "health:connectors"  # read by reseller/health.py
HEALTH_LIFETIME = 15  # seconds
STATUS_SECONDS = 1.0
CONFIGURATION_SECONDS = 3.0
ORPHANS_SECONDS = 30.0
HINT_SECONDS = 0.1  # between two hints of a kind
# Nobody waits for a receipt as for a message, and a set of a thousand costs little more than one of a hundred.
RECEIPT_HINT_SECONDS = 0.5
END_SECONDS = 28.0  # after SIGTERM; the orchestrator kills after 30


class Hints:
    """Wakes workers through the broker without ever holding up the event loop, a pause after each of a kind."""

    def __init__(self) -> None:
        self._running: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._again: set[tuple[Any, ...]] = set()

    def give(self, task: str, *args: int) -> None:
        """Have ``task`` run soon. A broker that hangs costs one thread a kind and nothing else."""
        key = (task, *args)
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = asyncio.get_running_loop().create_task(self._give(key))

    async def _give(self, key: tuple[Any, ...]) -> None:
        try:
            while True:
                self._again.discard(key)
                await _in_thread(wake, *key)
                await asyncio.sleep(RECEIPT_HINT_SECONDS if key[0] == RECEIPTS else HINT_SECONDS)
                if key not in self._again:
                    return
        finally:
            del self._running[key]


class ConnectorProcess:
    """One such process or several may run; each bind is held by one of them."""

    def __init__(self) -> None:
        self._binds: dict[tuple[int, int], Bind] = {}
        self._runs: dict[Bind, asyncio.Task[None]] = {}
        self._shares: dict[int, RouteShares] = {}
        self._hints = Hints()
        self._emptied: set[int] = set()  # routes of which all that waited was released at the last visit
        self._database = Database("connectors")
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Work until ``end`` is called, then drain."""
        chores = [
            asyncio.create_task(self._every(CONFIGURATION_SECONDS, self._follow_configuration)),
            asyncio.create_task(self._every(RENEW_SECONDS, self._lease_shares)),
            asyncio.create_task(self._every(STATUS_SECONDS, self._show_state)),
            asyncio.create_task(self._every(ORPHANS_SECONDS, self._adopt_orphans)),
            asyncio.create_task(self._listen()),
        ]
        await self._ending.wait()
        log.info("connectors.ending")
        for chore in chores:
            chore.cancel()
        for bind in self._binds.values():
            bind.stop()
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=END_SECONDS)
        with contextlib.suppress(DatabaseAway):
            await self._lease_shares()
            await self._database.close()

    def end(self) -> None:
        """Have ``run`` drain and return."""
        self._ending.set()

    async def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await chore()
            except DatabaseAway as error:
                log.warning("connectors.database_away", detail=str(error))
            await asyncio.sleep(seconds)

    # --- binds -----------------------------------------------------------------------------------------------------

    async def _follow_configuration(self) -> None:
        """Start and stop binds as the tables say."""
        wanted = {config.key: config for config in await load_binds(self._database)}
        for key, bind in list(self._binds.items()):
            config = wanted.get(key)
            if config is None or not _same_session(config, bind.config):
                bind.stop()
            if self._runs[bind].done():
                del self._binds[key]
                self._report(self._runs.pop(bind))
        for key, config in wanted.items():
            if key not in self._binds:
                self._start(config)

    async def _lease_shares(self) -> None:
        """Have binds that are bound take their part of their routes' throughput, and others let go of it."""
        routes = {bind.config.route_id for bind in self._binds.values()} | set(self._shares)
        for route_id in sorted(routes):
            bound = {bind.config.number: bind for bind in self._binds.values() if bind.config.route_id == route_id}
            shares = self._shares.setdefault(route_id, RouteShares(self._database, route_id))
            given, until = await shares.lease(number for number, bind in bound.items() if bind.is_bound)
            for number, share in given.items():
                pacer = bound[number].hand.pacer
                if share != pacer.rate:
                    bound[number].hand.wake.set()
                pacer.lease(share, until)

    def _start(self, config: BindConfig) -> None:
        bind = Bind(
            config,
            on_claimed=self._ask_for_visit,
            on_ended=lambda: self._hints.give(SETTLE),
            on_refused=lambda: self._hints.give(FAILOVER),
            on_receipts=lambda: self._hints.give(RECEIPTS),
            on_inbound=lambda: self._hints.give(INBOUND),
        )
        self._binds[config.key] = bind
        self._runs[bind] = asyncio.create_task(bind.run())

    @staticmethod
    def _report(run: "asyncio.Task[None]") -> None:
        error = None if run.cancelled() else run.exception()
        if error is not None:
            log.error("connector.broke", exc_info=error)

    # --- wake-ups and state ----------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Pass notifications of released messages on to the route's binds."""
        while True:
            self._emptied.clear()  # what is told meanwhile is not heard
            try:
                connection = await connect("connectors listen")
            except DatabaseAway:
                await asyncio.sleep(1)
                continue
            async with connection:
                with contextlib.suppress(Exception):  # whatever ends it, it begins again; binds poll meanwhile
                    await connection.execute(f"LISTEN {RELEASED_CHANNEL}")
                    async for notice in connection.notifies():
                        self._wake(notice.payload)
            await asyncio.sleep(0.2)

    def _ask_for_visit(self, route_id: int) -> None:
        """The stock has room again. Where nothing waited for that, whoever accepts messages asks by itself."""
        if route_id not in self._emptied:
            self._hints.give(DISPATCH, route_id)

    def _wake(self, notice: str) -> None:
        route_id = notice.rstrip(MORE + AT_ONCE)
        if route_id == notice:
            self._emptied.add(int(route_id))
        elif not notice.endswith(AT_ONCE):
            self._emptied.discard(int(route_id))
        for bind in self._binds.values():
            if str(bind.config.route_id) == route_id:
                bind.hand.wake.set()

    async def _show_state(self) -> None:
        try:
            await _in_thread(cache.set, HEALTH_KEY, 1, HEALTH_LIFETIME)
        except RedisError as error:
            log.warning("connectors.valkey_away", detail=str(error))
        rows = [status for bind in self._binds.values() if (status := bind.status) is not None]
        await statements.write_statuses(self._database, rows)
        await self._count_minutes()

    async def _count_minutes(self) -> None:
        """Add what was recorded since the last look to the routes' minutes; kept while the database is away."""
        tallies = [(bind.hand, bind.hand.tally.copy()) for bind in self._binds.values() if bind.hand.tally]
        if tallies:
            await statements.add_to_minutes(self._database, [(one.config.route_id, tally) for one, tally in tallies])
            for hand, tally in tallies:
                hand.tally -= tally

    async def _adopt_orphans(self) -> None:
        """Claims of binds that nobody runs any more (fewer binds, a connector switched off) become ``unknown``."""
        database = Database("connectors orphans")
        try:
            for route_id, token in await statements.open_claims(database):
                number = token.removeprefix(f"{route_id}:").partition(":")[0]
                if not number.isdigit():
                    continue
                key = route_id, int(number)
                if key not in self._binds and await statements.lock_bind(database, *key):
                    await statements.mark_dead_claims(database, route_id, statements.claim_prefix(*key), "")
                    await statements.unlock_bind(database, *key)
        finally:
            await database.close()


async def _in_thread(work: Callable[..., Any], *args: Any) -> None:
    """Do what may block. The cache keeps its connection with the thread's context, so that has to be the thread's own:
    asyncio.to_thread brings a new one each time, and a new connection was a third of what a hint cost."""
    await asyncio.get_running_loop().run_in_executor(None, work, *args)


def _same_session(one: BindConfig, other: BindConfig) -> bool:
    """Whether nothing has changed for which a session has to end."""
    return (one.line, one.route_id) == (other.line, other.route_id)
