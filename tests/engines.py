"""The engines of one test run: PostgreSQL without fsync and Valkey, on free ports, in a directory of their own.

The process that starts pytest owns them; xdist's workers find them through the environment. A migrated data directory
is kept in .local/test-templates under a hash of everything that shaped it, so only the first run after a changed
migration pays for migrating.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

from reseller.engines import DATABASE_NAME, EmbeddedPostgres, EmbeddedValkey, reserve_port
from reseller.run.config import write_private

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / ".local" / "test-templates"
KEPT_TEMPLATES = 4
MIGRATED = DATABASE_NAME  # the database that every other is a copy of
PASSWORD = "test-engines"  # thrown away with the run
PREFIX = "reseller-tests-"  # and the pid of the run's owner
ENOUGH_MEMORY = 4 * 1024**3  # bytes
VARIABLE = "TEST_ENGINES"  # carries directory and ports from the owner to workers


@dataclass
class Run:
    """The engines of this run as this process sees them."""

    directory: Path
    postgres_port: int
    valkey_port: int
    is_owner: bool
    started: bool = False
    clones: int = 0
    postgres: EmbeddedPostgres = field(init=False)
    valkey: EmbeddedValkey = field(init=False)

    def __post_init__(self) -> None:
        self.postgres = _postgres(self.directory, self.postgres_port)
        self.valkey = EmbeddedValkey(
            self.directory / "valkey",
            log=self.directory / "valkey.log",
            durable=False,
            port=self.valkey_port,
            password=PASSWORD,
        )

    @property
    def worker(self) -> str:
        """Name of this test process: gw0, gw1, … under xdist, else main."""
        return os.environ.get("PYTEST_XDIST_WORKER", "main")

    @property
    def database(self) -> str:
        """This process' own database."""
        return f"test_{self.worker}"

    @property
    def database_url(self) -> str:
        """URL of this process' own database."""
        return self.postgres.url_of(self.database)

    @property
    def redis_url(self) -> str:
        """URL of this process' own Valkey database."""
        return self.valkey.url_of(int(self.worker.removeprefix("gw")) + 1 if self.worker != "main" else 0)

    def start(self) -> None:
        """Start both engines (the owner's part; a worker's find them running)."""
        if self.started:
            return
        self.started = True
        if not self.is_owner:
            return
        _sweep(self.directory.parent)
        self.directory.mkdir(mode=0o700)
        copy_migrated(self.postgres.data_dir)
        self.postgres.launch()
        self.valkey.launch()
        self.postgres.wait_ready()
        self.valkey.wait_ready()
        # Or plans that a test looks at would depend on how long it takes.
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop what this process owns and remove the run's directory."""
        if not self.is_owner:
            return
        self.postgres.stop()
        self.valkey.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def clone(self, name: str, template: str = MIGRATED) -> None:
        """Make database ``name`` as a copy of the migrated one, or of another whose connections are all closed."""
        self._wait_until_alone(template)
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)

    def clone_new(self, template: str = MIGRATED) -> str:
        """Make a copy under a name that this process has not used yet; returns the name."""
        self.clones += 1
        name = f"{self.database}_{self.clones}"
        self.clone(name, template)
        return name

    def drop(self, name: str) -> None:
        """Drop database ``name`` whoever still uses it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _wait_until_alone(self, database: str, patience: float = 60.0) -> None:
        """A server process ends a moment after its connection, which is long on a busy machine."""
        query, deadline = "SELECT FROM pg_stat_activity WHERE datname = %s", time.monotonic() + patience
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            while connection.execute(query, [database]).fetchone() is not None and time.monotonic() < deadline:
                time.sleep(0.02)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@cache
def run() -> Run:
    """Return this process' view of the run; the first process of the run plans it, nothing starts yet."""
    planned = os.environ.get(VARIABLE)
    if planned:
        existing, postgres_port, valkey_port = planned.split("|")
        return Run(Path(existing), int(postgres_port), int(valkey_port), is_owner=False)
    directory = _scratch() / f"{PREFIX}{os.getpid()}"  # made when the engines start
    new = Run(directory, reserve_port(), reserve_port(), is_owner=True)
    os.environ[VARIABLE] = f"{directory}|{new.postgres_port}|{new.valkey_port}"
    return new


def _scratch() -> Path:
    """Memory when there is plenty, for a run copies and drops databases all the time; else the disk."""
    memory = Path("/dev/shm")  # noqa: S108
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_MEMORY:
        return memory
    return Path(tempfile.gettempdir())


def _sweep(scratch: Path) -> None:
    """Remove what runs left that were killed before they could."""
    for left in scratch.glob(f"{PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)


def copy_migrated(data_dir: Path) -> None:
    """Make a data directory that is migrated, with the password where its server looks for it."""
    subprocess.run(["cp", "-a", "--reflink=auto", migrated_template() / "pgdata", data_dir], check=True)
    write_private(data_dir.with_name(f"{data_dir.name}.password"), PASSWORD)


def migrated_template() -> Path:
    """Return a directory with a migrated, stopped data directory for this state of the code; build it when missing."""
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    wanted = TEMPLATES / _fingerprint()
    with (TEMPLATES / "lock").open("w") as lock:
        flock(lock, LOCK_EX)  # runs that start together build it once
        if not wanted.exists():
            _build_template(wanted)
        os.utime(wanted)
        kept = sorted((path for path in TEMPLATES.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for old in kept[:-KEPT_TEMPLATES]:
            shutil.rmtree(old, ignore_errors=True)
    return wanted


def _build_template(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=TEMPLATES) as scratch:
        server = _postgres(Path(scratch), reserve_port())
        environment = os.environ | {
            "READ_ENV_FILES": "false",
            "ENVIRONMENT": "test",
            "DJANGO_SETTINGS_MODULE": "reseller.settings",
            "DATABASE_URL": server.start(),
        }
        command = [sys.executable, "manage.py", "setup_database", "--verbosity", "0"]
        try:
            result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        finally:
            server.stop()
        if result.returncode:
            raise RuntimeError(f"setup_database failed:\n{result.stderr}")
        target.mkdir()
        os.rename(server.data_dir, target / "pgdata")


def _postgres(directory: Path, port: int) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        directory / "pgdata", log=directory / "postgres.log", durable=False, port=port, password=PASSWORD
    )


def _fingerprint() -> str:
    """Hash of the migrations, what they import of ours, and what runs them."""
    # The month, because migrations make the partitions around the day on which they run.
    digest = hashlib.sha256(datetime.now(UTC).strftime("%Y-%m").encode())
    for path in sorted({*_shaping_files()}):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _shaping_files() -> Iterator[Path]:
    yield from (ROOT / "requirements.lock", ROOT / "reseller/settings.py", ROOT / "reseller/engines.py")
    yield ROOT / "reseller/management/commands/setup_database.py"
    for migration in ROOT.glob("*/migrations/*.*"):
        if migration.suffix not in {".py", ".sql"}:
            continue
        yield migration
        if migration.suffix == ".py":
            yield from _own_imports(migration)


def _own_imports(source: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            module = ROOT / Path(*str(name).split("."))
            yield from (path for path in (module.with_suffix(".py"), module / "__init__.py") if path.exists())
