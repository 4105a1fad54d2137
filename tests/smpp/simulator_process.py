"""A simulator in a process of its own, for tests that kill it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class SimulatorProcess:
    """`with SimulatorProcess(state) as carrier: carrier.port`; `kill()` is kill -9, `start()` starts it again."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.options = options
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "smpp.simulator", "--port", str(self.port), "--state", str(self.state)]
        self.process = subprocess.Popen(
            [*command, *self.options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+) for ", line).group(1))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def terminate(self) -> int:
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(10)

    def __enter__(self) -> "SimulatorProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
