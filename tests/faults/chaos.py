"""What goes wrong in a seeded run: processes die or stand still, Valkey is emptied, the carrier's network breaks."""

import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from reseller.run.stack import Stack
from tests.faults.wire import Wire

# More often who has a message in hand; each of them once in a while.
VICTIMS = (
    "connectors", "connectors", "simulator", "postgres", "postgres", "valkey", "worker-dispatch", "worker-settle",
    "worker-settle", "web", "beat", "worker-default",
)  # fmt: skip
KINDS = ("kill", "kill", "kill", "child", "pause", "pause", "flush", "cut", "cut", "stall")
HAS_CHILDREN = ("web", "worker-settle", "worker-default", "postgres")
LONGEST_PAUSE = 4.0  # seconds
FEW_OCTETS = 40_000  # a cut comes within them: some hundred PDUs, and hardly ever between two


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong ``at`` seconds from the start; ``amount`` is in seconds, for a cut in octets."""

    at: float
    kind: str
    target: str = ""
    amount: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:5.2f} s: {self.kind} {self.target} {self.amount:g}".rstrip()


def plan_faults(choice: random.Random, count: int, seconds: float) -> list[Fault]:
    """``count`` faults within ``seconds``, as the seed wants it."""
    return [_fault(choice, at) for at in sorted(choice.uniform(0.2, seconds) for _ in range(count))]


def _fault(choice: random.Random, at: float) -> Fault:
    kind = choice.choice(KINDS)
    if kind == "kill":
        return Fault(at, kind, choice.choice(VICTIMS))
    if kind == "child":
        return Fault(at, kind, choice.choice(HAS_CHILDREN))
    if kind == "pause":
        return Fault(at, kind, choice.choice(VICTIMS), choice.uniform(0.3, LONGEST_PAUSE))
    if kind == "cut":
        return Fault(at, kind, amount=choice.randrange(1, FEW_OCTETS))
    return Fault(at, kind, amount=choice.uniform(0.3, LONGEST_PAUSE) if kind == "stall" else 0.0)


class Chaos:
    """Lets the planned faults happen to a running portal."""

    def __init__(self, stack: Stack, wire: Wire) -> None:
        self._stack = stack
        self._wire = wire
        self._later: list[threading.Timer] = []
        self._deaths = 0  # of connectors and of the carrier: each ends all sessions

    def windows_lost(self, binds: int) -> int:
        """How often a window of submits may have been left without answers: by each session that ended so."""
        return self._deaths * binds + self._wire.sessions_cut

    def happen(self, faults: list[Fault]) -> None:
        """Do all of it at its time; returns when nothing stands still any more."""
        began = time.monotonic()
        try:
            for fault in faults:
                time.sleep(max(0.0, began + fault.at - time.monotonic()))
                getattr(self, f"_{fault.kind}")(fault)
        finally:
            for timer in self._later:
                timer.join()

    def _kill(self, fault: Fault) -> None:
        pid = self._stack.pids.get(fault.target)
        if pid is not None and _signal(pid, signal.SIGKILL):
            self._deaths += fault.target in ("connectors", "simulator")

    def _child(self, fault: Fault) -> None:
        """Kill one of the processes that the process has started."""
        parent = self._stack.pids.get(fault.target)
        children = [pid for pid in descendants(parent) if pid != parent] if parent else []
        if children:
            _signal(children[int(fault.at * 1000) % len(children)], signal.SIGKILL)

    def _pause(self, fault: Fault) -> None:
        pid = self._stack.pids.get(fault.target)
        if pid is not None:
            pids = descendants(pid)
            for one in pids:
                _signal(one, signal.SIGSTOP)
            self._in(fault.amount, lambda: [_signal(one, signal.SIGCONT) for one in pids])

    def _flush(self, fault: Fault) -> None:
        with redis.Redis.from_url(self._stack.env["REDIS_URL"], socket_timeout=2) as client:
            try:
                client.flushall()
            except redis.RedisError:
                return  # it is dead or paused just now

    def _cut(self, fault: Fault) -> None:
        self._wire.cut_after(int(fault.amount))

    def _stall(self, fault: Fault) -> None:
        self._wire.stall()
        self._in(fault.amount, self._wire.go_on)

    def _in(self, seconds: float, work: object) -> None:
        timer = threading.Timer(seconds, work)  # type: ignore[arg-type]
        timer.start()
        self._later.append(timer)


def descendants(pid: int) -> list[int]:
    """The process and all that it and its children have started, it first."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        parents.setdefault(parent, []).append(int(status.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
