"""Start processes, start them again when they die, wait until they are healthy, end them all."""

import json
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from reseller.health import UnhealthyError
from reseller.processes import signal_group
from reseller.run.config import StartError, write_private
from reseller.run.services import Service

POLL = 0.1  # seconds
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds before a dead child is started again
STEADY_AFTER = 30.0  # seconds after which an earlier death no longer counts
DEATHS_AT_START = 3  # so many before it was ever healthy, and the start is given up
END_PATIENCE = 8.0  # seconds between asking to end and killing


@dataclass
class Child:
    """A service and the process that runs it now."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    due_at: float = 0.0
    healthy: bool = False


@dataclass
class Supervisor:
    """Keeps services running. Use it from the main thread: the children end when that thread does.

    ``say`` prints one line; ``pids`` is the file in which other programs find the pids.
    """

    say: Callable[[str], None]
    pids: Path
    supervisor_pid: int
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, services: Iterable[Service]) -> None:
        """Start ``services`` without waiting for them."""
        for service in services:
            if service.log.exists():
                service.log.replace(service.log.with_suffix(".log.1"))
            child = self.children[service.name] = Child(service)
            self._launch(child)
        self._write_pids()

    def wait_healthy(self, services: Iterable[Service], patience: float) -> None:
        """Return when each of ``services`` passes its check; raises StartError naming the one that does not."""
        deadline = time.monotonic() + patience
        waiting = [self.children[service.name] for service in services]
        while waiting:
            self.watch()
            for child in list(waiting):
                reason = self._reason_unhealthy(child)
                if reason is None:
                    child.healthy = True
                    waiting.remove(child)
                elif child.deaths >= DEATHS_AT_START or time.monotonic() > deadline:
                    raise StartError(f"{child.service.name} did not start: {self._last_words(child) or reason}")
            time.sleep(POLL)

    def watch(self) -> None:
        """Notice children that died and start those again whose delay is over."""
        now = time.monotonic()
        changed = False
        for child in self.children.values():
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, now)
                changed = True
            if child.process is None and now >= child.due_at:
                self._launch(child)
                changed = True
        if changed:
            self._write_pids()

    def stop(self, names: Iterable[str]) -> None:
        """End the services of these names together; what does not end in time is killed."""
        ending = [self.children.pop(name) for name in names if name in self.children]
        running = [(child.service, child.process) for child in ending if child.process is not None]
        for service, process in running:
            if process.poll() is None:
                process.send_signal(service.stop_signal)
        deadline = time.monotonic() + END_PATIENCE
        while any(process.poll() is None for _, process in running) and time.monotonic() < deadline:
            time.sleep(POLL / 2)
        for _, process in running:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
        self._write_pids()

    def _launch(self, child: Child) -> None:
        child.process = child.service.launch()
        child.started_at = time.monotonic()

    def _bury(self, child: Child, now: float) -> None:
        """Clear away what a dead child left, say so, and set the moment of its next start."""
        process = child.process
        assert process is not None  # noqa: S101 - watch() calls with a dead process only
        signal_group(process.pid, signal.SIGKILL)  # its own children must not work on beside the new ones
        child.process = None
        child.deaths = 1 if now - child.started_at > STEADY_AFTER else child.deaths + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (child.deaths - 1))
        child.due_at = now + delay
        code = process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        self.say(f"{child.service.name} {how}; starting it again in {delay:g} s (log: {child.service.log})")

    def _reason_unhealthy(self, child: Child) -> str | None:
        if child.process is None:
            return "it ended"
        try:
            child.service.check()
        except (UnhealthyError, psycopg.Error, redis.RedisError, OSError) as error:
            return str(error)
        return None

    def _last_words(self, child: Child) -> str:
        """The end of the log of a child that died at start."""
        log = child.service.log
        if not child.deaths or not log.exists():
            return ""
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{' | '.join(lines[-2:]) or 'it said nothing'} (log: {log})"

    def _write_pids(self) -> None:
        running = {name: child.process.pid for name, child in self.children.items() if child.process is not None}
        write_private(self.pids, json.dumps({"supervisor": self.supervisor_pid} | running, indent=1))


class LogTail:
    """Shows new lines of the services' logs, each prefixed with the name; only warnings and worse unless ``all``."""

    WORTH_SHOWING = re.compile(r"\b(warning|error|critical|traceback)\b", re.IGNORECASE)

    def __init__(self, services: Iterable[Service], say: Callable[[str], None], *, everything: bool) -> None:
        self._logs = {service.name: service.log for service in services}
        self._positions = dict.fromkeys(self._logs, 0)
        self._say = say
        self._everything = everything

    def show(self) -> None:
        """Print what was written since the last call."""
        for name, log in self._logs.items():
            for line in self._new_lines(name, log):
                if line.strip() and (self._everything or self.WORTH_SHOWING.search(line)):
                    self._say(f"{name} | {line}")

    def _new_lines(self, name: str, log: Path) -> Iterable[str]:
        try:
            with log.open("rb") as file:
                file.seek(self._positions[name])
                text = file.read(1_000_000)
        except FileNotFoundError:
            return ()
        complete = text[: text.rfind(b"\n") + 1]
        self._positions[name] += len(complete)
        return deque(complete.decode(errors="replace").splitlines(), maxlen=200)
