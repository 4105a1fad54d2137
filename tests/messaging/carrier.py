"""A running connector against the simulated carrier, in one event loop; workers' tasks are called in threads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.db import connections

from messaging.connectors.process import ConnectorProcess
from messaging.models import Message, Route, SmppConnector
from messaging.services.dispatching import dispatch_all
from messaging.services.receipts import apply_waiting
from messaging.services.scheduling import queue_due
from messaging.services.settling import settle_waiting
from smpp.simulator import Simulator
from tests.loops import run_scenario

T = TypeVar("T")

OPEN = ("scheduled", "queued", "released", "sending", "unknown", "sent")


def connect_route(port: int, *, window: int = 50, binds: int = 1, throughput: int = 500) -> SmppConnector:
    """Let the test route go to the carrier on ``port``."""
    route = Route.objects.get(code="test")
    Route.objects.filter(pk=route.pk).update(throughput=throughput)
    connector, _ = SmppConnector.objects.update_or_create(
        route=route,
        defaults={
            "host": "127.0.0.1", "port": port, "system_id": "relay", "password": "simulator", "window": window,
            "binds": binds,
        },
    )  # fmt: skip
    return connector


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Run ORM work off the event loop and leave no connection behind."""

    def run() -> T:
        try:
            return work(*args)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


@asynccontextmanager
async def connectors() -> AsyncIterator[ConnectorProcess]:
    """A connector process in this event loop, drained at the end."""
    process = ConnectorProcess()
    running = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        process.end()
        await running


def do_work() -> None:
    """One round of what beat has workers do."""
    queue_due()
    dispatch_all()
    apply_waiting(100_000)
    settle_waiting(100_000)


def states() -> dict[str, str]:
    """State by the last four digits of the recipient."""
    return {number[-4:]: state for number, state in Message.objects.values_list("recipient", "state")}


async def work_until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Do workers' work until ``done`` (called in a thread) says so; fails loudly after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await in_thread(do_work)
                if await in_thread(done):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        counts = Counter((await in_thread(states)).values())
        raise AssertionError(f"not done after {seconds} s: {counts}") from None


def play(
    scenario: Callable[[Any], Awaitable[None]],
    state: Path | None = None,
    carrier: type[Simulator] = Simulator,
    **options: Any,
) -> None:
    """Run a scenario with a carrier."""

    async def run() -> None:
        async with carrier(state=state, **options) as simulator:
            await scenario(simulator)

    run_scenario(run())
