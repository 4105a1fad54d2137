"""The portal as a benchmark runs it: engines with fsync, the workers and connectors of `make run`, and a sink.

Everything is started here, on loopback, and ended here; what each process used of the processors is read from /proc.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

from reseller.engines import EmbeddedPostgres, EmbeddedValkey
from reseller.processes import wrap
from tests.engines import PASSWORD, migrated_template

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def engines(name: str, *, statements: bool = False) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL and Valkey of this run, migrated, with Django set up to use them; removed afterwards.

    With ``statements`` PostgreSQL counts what each statement costs (pg_stat_statements).
    """
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)  # the server runs as another user when this is root
        # Migrated once for this state of the code, as for the tests; only fsync differs.
        subprocess.run(["cp", "-a", migrated_template() / "pgdata", directory / "pgdata"], check=True)
        if statements:
            with (directory / "pgdata" / "postgresql.auto.conf").open("a") as settings:
                settings.write("shared_preload_libraries = 'pg_stat_statements'\n")
                settings.write("pg_stat_statements.track_planning = on\n")
        postgres = EmbeddedPostgres(directory / "pgdata", log=directory / "postgres.log", password=PASSWORD)
        valkey = EmbeddedValkey(directory / "valkey", log=directory / "valkey.log")
        try:
            os.environ |= {
                "DATABASE_URL": postgres.start(), "REDIS_URL": valkey.start(), "ENVIRONMENT": "test",
                "READ_ENV_FILES": "false", "DJANGO_SETTINGS_MODULE": "reseller.settings", "LOG_LEVEL": "WARNING",
            }  # fmt: skip
            django.setup()
            yield postgres
        finally:
            postgres.stop()
            valkey.stop()


class SinkProcess:
    """The sink in a process of its own (benchmarks/sink.py)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            wrap([sys.executable, "-m", "benchmarks.sink"]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.port = int(self._line())

    def ask(self, command: str) -> Any:
        """Its answer to a command, read as JSON where it is."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._line()
        return json.loads(answer) if answer[:1] in "{[" else answer

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        self._process.wait(10)

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout.readline().strip()


class Processes:
    """The portal's own processes, as `make run` starts them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        from reseller.run.services import WORKERS, worker_command

        commands = {name: worker_command(name, *WORKERS[name]) for name in names if name in WORKERS}
        if "beat" in names:
            commands["beat"] = [
                "-m",
                "celery",
                "--quiet",
                "-A",
                "reseller",
                "beat",
                "--loglevel",
                "WARNING",
                "--pidfile",
                "",
            ]
        if "connectors" in names:
            commands["connectors"] = ["manage.py", "run_connectors"]
        self._running = {
            name: subprocess.Popen(wrap([sys.executable, *command], death_signal="KILL"), cwd=ROOT)
            for name, command in commands.items()
        }

    @property
    def pids(self) -> dict[str, int]:
        """Main process of each."""
        return {name: process.pid for name, process in self._running.items()}

    def kill(self) -> None:
        """End all at once, as a crash does."""
        for process in self._running.values():
            process.kill()

    def stop(self) -> None:
        """End all, connectors first so that they can record."""
        for name in sorted(self._running, key=lambda name: name != "connectors"):
            self._running[name].terminate()
        for process in self._running.values():
            process.wait(40)


class Usage(dict[str, float]):
    """Seconds of processors by process."""

    def since(self, earlier: "Usage") -> "Usage":
        """What was used after ``earlier``."""
        return Usage({name: value - earlier[name] for name, value in self.items()})


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, its living descendants, and those that it waited for."""
    total, children = 0.0, _children()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15]) / _TICKS
    return total


def memory(pid: int) -> int:
    """Resident octets of a process and its living descendants, without what they share with others."""
    total, children = 0, _children()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            resident, shared = Path(f"/proc/{one}/statm").read_text().split()[1:3]
        except OSError:
            continue
        total += (int(resident) - int(shared)) * _PAGE
    return total


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text()
        except OSError:
            continue
        parent = int(fields.rpartition(")")[2].split()[1])
        found.setdefault(parent, []).append(int(path.parent.name))
    return found


_BEGAN = time.monotonic()


def say(what: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"[{time.monotonic() - _BEGAN:4.0f} s] {what}\n")
