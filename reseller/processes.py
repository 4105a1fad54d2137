"""Start child processes that cannot outlive their parent, and end them with everything they started."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# PostgreSQL refuses to run as root. Its processes then run as "nobody", keeping root's right to pass closed
# directories (a checkout under /root), so no system user is made and no directory is opened for it. access(2) ignores
# that right unless the set-uid fix-up is off.
UNPRIVILEGED_ID = 65534
_DROP_ROOT = (
    f"--reuid={UNPRIVILEGED_ID}",
    f"--regid={UNPRIVILEGED_ID}",
    "--clear-groups",
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
)


_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class MissingToolError(Exception):
    """A program of the operating system is not installed; the text says which and how to get it."""


def wrap(command: Sequence[str], *, death_signal: str | None = "TERM", drop_root: bool = False) -> list[str]:
    """Prefix ``command`` with setpriv so that the kernel sends ``death_signal`` when the starter dies, even by -9.

    ``drop_root`` runs it as an unprivileged user when the starter is root. Raises MissingToolError without setpriv.
    """
    options = [f"--pdeathsig={death_signal}"] if death_signal else []
    if drop_root and os.geteuid() == 0:
        options += _DROP_ROOT
    if not options:
        return list(command)
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if setpriv is None:
        raise MissingToolError("setpriv is missing. Install it with: apt-get install -y util-linux")
    return [setpriv, *options, "--", *command]


def die_with_parent(number: int) -> None:
    """Ask the kernel to send this process ``number`` when its parent dies (for children that a library forks)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: str | None = "TERM",
    drop_root: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own with its output appended to ``log``.

    Call it from a thread that lives as long as the child should: the kernel counts the thread as the parent.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            wrap(command, death_signal=death_signal, drop_root=drop_root),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that ``pid`` leads (each child of ``spawn`` leads one)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end(child: subprocess.Popen[bytes], *, number: int = signal.SIGTERM, patience: float = 10.0) -> None:
    """Ask ``child`` to end, wait ``patience`` seconds, then kill whatever is left of its group."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    signal_group(child.pid, signal.SIGKILL)
    child.wait()


def is_running(pid: int, program: str) -> bool:
    """Is ``pid`` alive and does its command line name ``program``? Guards against pids used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z" and program in command


def end_stranger(pid: int, program: str, *, number: int = signal.SIGTERM, patience: float = 10.0) -> None:
    """End a process left over from an earlier run, given that ``pid`` still is that ``program``."""
    deadline = time.monotonic() + patience
    while is_running(pid, program):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.1)
