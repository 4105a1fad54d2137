"""Texts from the simulator's phones on their way to the client: deliver_sm, sent again until acknowledged."""

import asyncio
import itertools
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Final

from smpp.journal import Journal, TextPart
from smpp.link import logger
from smpp.pdu import Deliver, PduError, Status
from smpp.phones import Phones
from smpp.server import ServerSession
from smpp.text import encode_parts

MAX_WAITING: Final = 10_000  # parts that no client took yet

FindReceiver = Callable[[], ServerSession | None]


class TooManyTexts(Exception):
    """So many texts wait for a client that the simulator takes no more."""


class Texting:
    """The way of texts. `find_receiver` gives a session with room in its window, None while there is none."""

    def __init__(
        self, phones: Phones, find_receiver: FindReceiver, *, retry_seconds: float, commit_soon: Callable[[], None]
    ) -> None:
        self._phones = phones
        self._find_receiver = find_receiver
        self._retry_seconds = retry_seconds
        self._commit_soon = commit_soon
        self._prefix = secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._ready: deque[TextPart] = deque()
        self._open: Counter[str] = Counter()  # parts of each text that nobody took yet
        self.journal: Journal | None = None

    def send(self, phone: str, number: str, text: str) -> str:
        """Let the phone text the virtual number, in as many parts as it needs; returns the text's id.

        Numbers are E.164 with "+", or short codes. What is sent survives a kill once this returned.

        Raises TextTooLong above 255 parts, TooManyTexts, OSError when the journal cannot be written.
        """
        if self._open.total() >= MAX_WAITING:
            raise TooManyTexts(f"{self._open.total():,} parts wait for a client to take them; bind one first.")
        count = next(self._numbers)
        text_id, now = f"{self._prefix}-{count}", time.time()
        parts = [
            TextPart(text_id, number_of_part, now, phone, number, *part)
            for number_of_part, part in enumerate(encode_parts(text, count), start=1)
        ]
        if self.journal is not None:
            for part in parts:
                self.journal.texted(part)
            self.journal.flush()
        self.take_up(parts)
        for part in parts:
            self._phones.send(part)
        self.send_ready()
        return text_id

    def take_up(self, parts: list[TextPart]) -> None:
        """Owe these parts to the client; they leave with the next `send_ready`."""
        self._ready.extend(parts)
        self._open.update(part.id for part in parts)

    def send_ready(self) -> None:
        """Send what waits, as far as there are receivers with room."""
        while self._ready:
            session = self._find_receiver()
            if session is None:
                return
            part = self._ready.popleft()
            deliver = Deliver(part.source, part.destination, part.payload, part.data_coding, part.esm_class)
            session.deliver(deliver).add_done_callback(partial(self._sent, part))

    def _sent(self, part: TextPart, done: "asyncio.Future[int]") -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, PduError):
            logger.error("the text %s can never be sent: %s", part.id, error)
        elif done.cancelled() or error is not None or done.result() != Status.ESME_ROK:
            asyncio.get_running_loop().call_later(self._retry_seconds, self._send_again, part)
            return
        if self.journal is not None:
            self.journal.taken(part, time.time())
            self._commit_soon()
        self._open[part.id] -= 1
        if not self._open[part.id]:
            del self._open[part.id]
            self._phones.mark_taken(part.source, part.id)
        self.send_ready()

    def _send_again(self, part: TextPart) -> None:
        self._ready.append(part)
        self.send_ready()
