"""What one run is made of: directories, ports, secrets, and the environment that its processes get."""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"


class StartError(Exception):
    """The portal cannot start; the text is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Config:
    """Settings of a run; every field can be set through the environment variable named in ``from_environment``."""

    local_dir: Path
    port: int
    double_port: int
    simulator_port: int
    control_port: int
    verbose: bool
    environ: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Config":
        """Read LOCAL_DIR, PORT, STRIPE_DOUBLE_PORT, SIMULATOR_PORT, SIMULATOR_CONTROL_PORT and VERBOSE.

        Raises StartError on nonsense.
        """
        port = _port(environ, "PORT", 8000)
        simulator_port = _port(environ, "SIMULATOR_PORT", 2775)
        return cls(
            local_dir=Path(environ.get("LOCAL_DIR") or BASE_DIR / ".local").resolve(),
            port=port,
            double_port=_port(environ, "STRIPE_DOUBLE_PORT", port + 1),
            simulator_port=simulator_port,
            control_port=_port(environ, "SIMULATOR_CONTROL_PORT", simulator_port + 1),
            verbose=environ.get("VERBOSE", "") not in {"", "0"},
            environ=dict(environ),  # as it was: the run adds its own settings to the process' environment
        )

    @property
    def is_development(self) -> bool:
        """Do the simulator, the demo data and the Stripe double belong to this run?"""
        return self.environ.get("ENVIRONMENT", "development") == "development"

    @property
    def has_stripe_double(self) -> bool:
        """Keys of a real Stripe account in the environment switch the double off."""
        return self.is_development and not self.environ.get("STRIPE_SECRET_KEY")

    @property
    def logs(self) -> Path:
        """Where every process writes its own log."""
        return self.local_dir / "logs"

    @property
    def run_env(self) -> Path:
        """The file from which manage.py by hand learns where this run's engines listen."""
        return self.local_dir / "run.env"

    @property
    def pids(self) -> Path:
        """JSON object: name of the process → its pid."""
        return self.local_dir / "pids.json"

    def check_ports(self) -> None:
        """Raises StartError when one of the ports is taken."""
        wanted = [("PORT", self.port, "the web pages")]
        if self.has_stripe_double:
            wanted.append(("STRIPE_DOUBLE_PORT", self.double_port, "the Stripe double"))
        if self.is_development:
            wanted.append(("SIMULATOR_PORT", self.simulator_port, "the SMSC simulator"))
            wanted.append(("SIMULATOR_CONTROL_PORT", self.control_port, "the simulator's phones"))
        for variable, port, purpose in wanted:
            if _is_taken(port):
                raise StartError(
                    f"Port {port} for {purpose} is taken. Stop what listens there or choose another: "
                    f"{variable}={port + 10} make run"
                )

    def run_environment(self, *, database_url: str, redis_url: str) -> dict[str, str]:
        """The settings of this run; what the caller's environment sets wins."""
        own = {
            "ENVIRONMENT": "development",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "SITE_URL": f"http://{HOST}:{self.port}",
            "STATIC_ROOT": str(self.local_dir / "static"),
            "SIMULATOR_HOST": HOST,
            "SIMULATOR_PORT": str(self.simulator_port),
        }
        if self.is_development:
            # A mail is a file that a newcomer can read; the path is absolute, hence the fourth slash.
            own |= self._secrets() | {"EMAIL_URL": f"filemail:///{self.local_dir / 'mail'}"}
            own["SIMULATOR_CONTROL_PORT"] = str(self.control_port)
        if self.has_stripe_double:
            own |= {"STRIPE_SECRET_KEY": "sk_test_local_double", "STRIPE_API_BASE": f"http://{HOST}:{self.double_port}"}
        return {name: self.environ.get(name) or value for name, value in own.items()}

    def write_run_env(self, values: Mapping[str, str]) -> None:
        """Keep the settings for manage.py by hand; they hold secrets, so only the owner may read them."""
        write_private(self.run_env, "".join(f"{name}={value}\n" for name, value in values.items()))

    def _secrets(self) -> dict[str, str]:
        """Random secrets of this directory, kept so that log-ins survive a restart."""
        kept = self.local_dir / "secrets.json"
        if not kept.exists():
            names = {"SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": "whsec_"}
            made = {name: prefix + secrets.token_urlsafe(48) for name, prefix in names.items()}
            write_private(kept, json.dumps(made))
        found: dict[str, str] = json.loads(kept.read_text())
        return found


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise StartError(f"{variable} is {text!r}; it must be a port number from 1 to 65535.")
    return int(text)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was closed a moment ago is free
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise StartError(f"Port {port} may be used by root only; choose one above 1023.") from error
        except OSError:
            return True
    return False
