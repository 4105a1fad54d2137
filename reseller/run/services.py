"""The processes of the portal, by the names under which docker-compose.yml runs them too."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reseller import health
from reseller.engines import Engine
from reseller.processes import spawn
from reseller.run.config import BASE_DIR, Config

# Queues of each worker and its pool: how many tasks it runs at once. Dispatch is one at a time: it orders what is sent.
# Its tasks are many and short, so it runs them itself: handing them to a child takes half as long as they do. Calls to
# customers' servers, which may be slow, have a worker to themselves; one task makes many calls at once. So have large
# batches, of which one keeps a process busy for up to a minute.
WORKERS = {
    "worker-dispatch": ("dispatch", "-P", "solo"),
    "worker-settle": ("settle,inbound", "-c", "2"),
    "worker-webhooks": ("webhooks", "-c", "1"),
    "worker-accept": ("accept", "-c", "1"),
    "worker-default": ("default,billing", "-c", "2"),
}


@dataclass(frozen=True)
class Service:
    """One supervised process: how to start it, how to know that it works, how to ask it to end."""

    name: str
    launch: Callable[[], "subprocess.Popen[bytes]"]
    check: Callable[[], None]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM


def engine_service(name: str, engine: Engine) -> Service:
    """An embedded engine as a service."""
    return Service(name, engine.launch, engine.ping, engine.log, engine.stop_signal)


def portal_services(config: Config, environment: Mapping[str, str]) -> list[Service]:
    """Every process of the portal, without the engines."""
    commands = {"web": ["-m", "gunicorn", "reseller.wsgi"]}
    commands |= {name: worker_command(name, *worker) for name, worker in WORKERS.items()}
    commands["beat"] = ["-m", "celery", "--quiet", "-A", "reseller", "beat", "--loglevel", "WARNING", "--pidfile", ""]
    commands["connectors"] = ["manage.py", "run_connectors"]
    if config.is_development:
        state, control_port = str(config.local_dir / "simulator"), str(config.control_port)
        commands["simulator"] = ["manage.py", "run_simulator", "--state", state, "--control-port", control_port]
    if config.has_stripe_double:
        state = str(config.local_dir / "stripe-double.json")
        commands["stripe-double"] = [
            "-m",
            "reseller.stripe_double",
            "--port",
            str(config.double_port),
            "--state",
            state,
        ]
    return [_service(name, [sys.executable, *command], config, environment) for name, command in commands.items()]


def _service(name: str, command: list[str], config: Config, environment: Mapping[str, str]) -> Service:
    log = config.logs / f"{name}.log"
    # KILL, because beat and others wait for engines that are ending at the same moment when a supervisor is killed.
    launch = partial(spawn, command, log=log, env=environment, cwd=BASE_DIR, death_signal="KILL")
    return Service(name, launch, health.CHECKS[name], log)


def worker_command(name: str, queues: str, *pool: str) -> list[str]:
    """Arguments of Python that start the worker ``name``, as in WORKERS."""
    # Gossip and mingle let workers talk among themselves, which nothing here needs and which delays the start.
    options = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    command = [
        "-m",
        "celery",
        "--quiet",
        "-A",
        "reseller",
        "worker",
        "-Q",
        queues,
        *pool,
        "-n",
        f"{name}@%h",
    ]
    return command + options
