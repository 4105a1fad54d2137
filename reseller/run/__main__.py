"""`python -m reseller.run`: what `make run` starts."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import environ

from reseller import health
from reseller.engines import EmbeddedPostgres, EmbeddedValkey, Engine, EngineError
from reseller.processes import MissingToolError, end, wrap
from reseller.run.config import BASE_DIR, Config, StartError
from reseller.run.services import Service, engine_service, portal_services
from reseller.run.supervisor import POLL, LogTail, Supervisor

HEALTH_PATIENCE = 120.0  # seconds until every process must be healthy; a slow machine needs about twenty
STAND_INS = ("simulator", "stripe-double")
ENGINES = ("postgres", "valkey")
DEMO_PASSWORD = "Demo-pass-2026"  # noqa: S105 - shown to every newcomer
DEMO_LOGINS = (
    ("platform staff", "admin@demo.example", "/admin/"),
    ("reseller", "reseller@demo.example", "/"),
    ("client", "client@demo.example", "/"),
)


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal."""


def main() -> int:
    """Run until told to stop; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _request_stop)
    try:
        if os.environ.get("READ_ENV_FILES", "true").lower() != "false" and (BASE_DIR / ".env").exists():
            environ.Env.read_env(BASE_DIR / ".env")
        _run(Config.from_environment(os.environ))
    except StopRequested:
        return 0
    except (StartError, EngineError, MissingToolError) as error:
        return _refuse(str(error))
    except PermissionError as error:
        return _refuse(
            f"{error.filename} belongs to another user. Remove it, or set LOCAL_DIR to a directory of yours."
        )
    return 0


def _run(config: Config) -> None:
    started_at = time.monotonic()
    with _only_run(config):
        config.check_ports()
        supervisor = Supervisor(say, config.pids, os.getpid())
        try:
            services = _start(config, supervisor)
            _announce(config, time.monotonic() - started_at)
            tail = LogTail(services, say, everything=config.verbose)
            while True:
                supervisor.watch()
                tail.show()
                time.sleep(POLL)
        finally:
            _stop(config, supervisor)


def _start(config: Config, supervisor: Supervisor) -> list[Service]:
    """Start everything in order and wait until it is healthy; returns the portal's own services."""
    values = _start_engines(config, supervisor)
    os.environ.update(values)  # the health checks below look there
    environment = dict(os.environ) | {"READ_ENV_FILES": "false", "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling everything anew triples the time of a start
    config.write_run_env(values)
    _prepare(environment)
    health.forget_all()
    services = portal_services(config, environment)
    say(f"  Starting {', '.join(service.name for service in services)} …")
    supervisor.start(services)
    supervisor.wait_healthy(services, HEALTH_PATIENCE)
    return services


def _start_engines(config: Config, supervisor: Supervisor) -> dict[str, str]:
    """Start the engines that the environment does not name; returns the settings of this run."""
    urls = {"DATABASE_URL": os.environ.get("DATABASE_URL", ""), "REDIS_URL": os.environ.get("REDIS_URL", "")}
    engines: dict[str, Engine] = {}
    if not urls["DATABASE_URL"]:
        engines["postgres"] = EmbeddedPostgres(config.local_dir / "postgres", log=config.logs / "postgres.log")
        urls["DATABASE_URL"] = engines["postgres"].url
    if not urls["REDIS_URL"]:
        engines["valkey"] = EmbeddedValkey(config.local_dir / "valkey", log=config.logs / "valkey.log")
        urls["REDIS_URL"] = engines["valkey"].url
    if engines:
        say(f"  Starting {' and '.join(engine.name for engine in engines.values())} …")
        services = [engine_service(name, engine) for name, engine in engines.items()]
        supervisor.start(services)
        supervisor.wait_healthy(services, 60.0)
    return config.run_environment(database_url=urls["DATABASE_URL"], redis_url=urls["REDIS_URL"])


def _prepare(environment: dict[str, str]) -> None:
    """Migrate, load the demo and collect static files in one process of its own."""
    command = wrap([sys.executable, "-m", "reseller.run.prepare"], death_signal="KILL")
    process = subprocess.Popen(command, env=environment, cwd=BASE_DIR, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait()
    finally:
        end(process)
    if status:
        raise StartError("the database or the demo data could not be prepared; the reason is above.")


def _stop(config: Config, supervisor: Supervisor) -> None:
    """End the portal first, then what it needs to end well: the carrier that still answers, then the engines."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    say("Stopping …")
    names = [name for name in supervisor.children if name not in STAND_INS and name not in ENGINES]
    for stage in (names, STAND_INS, ENGINES):
        supervisor.stop(stage)
    for leftover in (config.run_env, config.pids):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def _only_run(config: Config) -> Iterator[None]:
    """Hold this directory's lock; raises StartError when another run holds it. The kernel frees it with the process."""
    config.local_dir.mkdir(parents=True, exist_ok=True)
    with (config.local_dir / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartError(
                f"the portal already runs from this directory ({lock.read().strip()}); stop it first."
            ) from error
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}, http://127.0.0.1:{config.port}")
        lock.flush()
        yield


def _announce(config: Config, seconds: float) -> None:
    url = os.environ["SITE_URL"]
    say(f"\nReady in {seconds:.0f} s: {url}\n")
    if config.is_development:
        for who, login, path in DEMO_LOGINS:
            say(f"  {who:<15} {login:<23} {DEMO_PASSWORD}   {url}{path}")
        say(f"  {'a phone':<15} {'any of these logins':<41}{url}/handset/")
        say(f"\nMails are files in {_shown(config.local_dir / 'mail')}, logs are in {_shown(config.logs)}.")
    say("Ctrl-C ends everything.\n")


def _shown(path: Path) -> str:
    return f"{path.relative_to(BASE_DIR) if path.is_relative_to(BASE_DIR) else path}/"


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested


def _refuse(reason: str) -> int:
    with contextlib.suppress(OSError):
        print(f"make run: {reason}", file=sys.stderr)  # noqa: T201
    return 1


def say(text: str) -> None:
    """Print a line; a closed terminal is no reason to die half-way through stopping."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)  # noqa: T201 - the console of make run


if __name__ == "__main__":
    sys.exit(main())
