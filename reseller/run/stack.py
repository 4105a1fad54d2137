"""The running portal as tests use it: the very processes of `make run`, on free ports, in a directory of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from reseller.engines import reserve_port
from reseller.processes import end, is_running, wrap
from reseller.run.config import BASE_DIR

START_PATIENCE = 240.0  # seconds; several stacks may start at once on a small machine
# What the caller's own portal is configured with must not reach this one.
_NOT_INHERITED = frozenset(
    [
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "SITE_URL",
        "STATIC_ROOT",
        "EMAIL_URL",
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "SITE_NAME",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_API_BASE",
        "DJANGO_SETTINGS_MODULE",
    ]
)


class StackError(Exception):
    """The portal did not start or did not come back; the text carries what it printed."""


class Stack:
    """``Stack(directory).start()`` … ``stop()``; ``with Stack(directory) as stack`` does both."""

    def __init__(self, local_dir: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.local_dir = local_dir
        self.port = reserve_port()
        self.console = local_dir / "console.log"
        self._extra = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the web pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pids(self) -> dict[str, int]:
        """Name → pid of every process that runs now, engines and "supervisor" included."""
        found: dict[str, int] = json.loads((self.local_dir / "pids.json").read_text())
        return found

    @property
    def env(self) -> dict[str, str]:
        """Environment with which a subprocess (manage.py, psql) works in this portal."""
        lines = (self.local_dir / "run.env").read_text().splitlines()
        return self._base_environment() | dict(line.split("=", 1) for line in lines)

    def start(self, patience: float = START_PATIENCE) -> "Stack":
        """Start everything and return when every process is healthy; raises StackError with what was printed."""
        self.local_dir.mkdir(parents=True, exist_ok=True)
        environment = self._base_environment() | {
            "LOCAL_DIR": str(self.local_dir),
            "PORT": str(self.port),
            "STRIPE_DOUBLE_PORT": str(reserve_port()),
            "SIMULATOR_PORT": str(reserve_port()),
            "SIMULATOR_CONTROL_PORT": str(reserve_port()),
        }
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                wrap([sys.executable, "-m", "reseller.run"]),
                env=environment | self._extra,
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for(lambda: "Ready in" in self.printed(), "being ready", patience)
        return self

    def printed(self) -> str:
        """What the supervisor has printed so far."""
        return self.console.read_text(errors="replace")

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the process ``name``; returns the pid that got it."""
        pid = self.pids[name]
        os.kill(pid, number)
        return pid

    def wait_restarted(self, name: str, old_pid: int, patience: float = 60.0) -> int:
        """Return the new pid of ``name`` once it differs from ``old_pid`` and the process is healthy again."""
        self.wait_for(lambda: self.pids.get(name, old_pid) != old_pid, f"{name} starting again", patience)
        if name not in ("postgres", "valkey"):
            self.wait_for(lambda: self.is_healthy(name), f"{name} being healthy", patience)
        return self.pids[name]

    def is_healthy(self, name: str) -> bool:
        """Does the process prove that it works? Asked as containers do, without Django."""
        command = [sys.executable, "-m", "reseller.health", name]
        return subprocess.run(command, env=self.env, cwd=BASE_DIR, capture_output=True, check=False).returncode == 0

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run manage.py in this portal to its end."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, env=self.env, cwd=BASE_DIR, capture_output=True, text=True, check=False)

    def stop(self) -> int:
        """End the portal as Ctrl-C does; returns the supervisor's exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                end(process)
        self._process = None
        return process.returncode

    def survivors(self, pids: Mapping[str, int]) -> list[str]:
        """Names of those processes of an earlier ``pids`` that still run."""
        return [name for name, pid in pids.items() if is_running(pid, "")]

    def wait_for(self, condition: Callable[[], bool], what: str, patience: float) -> None:
        """Poll until ``condition`` holds; raises StackError when the portal ends first or ``patience`` is over."""
        deadline = time.monotonic() + patience
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise StackError(f"the portal ended instead of {what}:\n{self.printed()}")
            if time.monotonic() > deadline:
                raise StackError(f"waited {patience:.0f} s for {what}:\n{self.printed()}")
            time.sleep(0.1)

    def __enter__(self) -> "Stack":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _base_environment() -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        return kept | {"READ_ENV_FILES": "false", "ENVIRONMENT": "development", "LOG_LEVEL": "INFO"}
