"""Our carrier's side in a thread of its own, so that clients of any kind can be driven from a test."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from smpp.journal import Accepted
from smpp.pdu import BindRequest, Status, Submit, SubmitAnswer
from smpp.server import ServerSession, SmppServer
from smpp.simulator import Simulator, read_journal

T = TypeVar("T")
PASSWORD = "secret12"  # 8 characters are what the standard has
LONG = "Long texts — with § and € and ж — go in parts. " * 9  # UCS-2
LONG_GSM = "A long text in the default alphabet [with {brackets}] and more. " * 6
SHORT, EMOJI = "Hello @ £5 _€", "Привет 🦊"


class Carrier:
    """``with Carrier(state) as carrier``: a simulator that clients bind to on ``port`` as relay with PASSWORD."""

    def __init__(self, state: Path, **options: Any) -> None:
        self.state = state
        self._options = {"receipt_delay": 0.05, "retry_seconds": 0.1, "password": PASSWORD} | options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def _make(self) -> Any:
        return Simulator(state=self.state, **self._options)

    def __enter__(self) -> "Carrier":
        self._thread.start()
        self.server = self.run(self._built())
        return self

    async def _built(self) -> Any:
        server = self._make()
        await server.start()
        return server

    def __exit__(self, *_: object) -> None:
        self.run(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def port(self) -> int:
        return int(self.server.port)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the carrier's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def text(self, phone: str, number: str, text: str) -> None:
        async def send() -> None:
            self.server.text(phone, number, text)

        self.run(send())

    @property
    def accepted(self) -> list[Accepted]:
        return read_journal(self.state).accepted

    @property
    def outstanding(self) -> int:
        """Receipts that nobody has acknowledged."""
        return len(read_journal(self.state).outstanding)

    def text_to(self, ending: str) -> str:
        """What a phone whose number ends so shows: the texts of its parts."""
        return "".join(entry.text for entry in self.accepted if entry.destination.endswith(ending))


class BareServer(Carrier):
    """Only the session layer: keeps each submit as it was understood, with its optional parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Path(), **options)
        self.submits: list[Submit] = []
        self._options = options

    def _make(self) -> SmppServer:
        return SmppServer("127.0.0.1", 0, authenticate=self._check, on_submit=self._take, **self._options)

    async def _check(self, request: BindRequest) -> int:
        return Status.ESME_ROK if request.password == PASSWORD else Status.ESME_RINVPASWD

    async def _take(self, session: ServerSession, submit: Submit) -> SubmitAnswer:
        self.submits.append(submit)
        return SubmitAnswer(0, f"id-{len(self.submits)}")


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
