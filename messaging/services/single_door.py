"""Single messages from programs: what waits at one moment is accepted together (docs/message-way.md).

A transaction costs much the same for one message and for a hundred, so callers that come at once share it. Nobody is
made to wait for company: a lone message is accepted at once, and those that come meanwhile make up the next group.
"""

import threading
from collections import deque
from concurrent.futures import Future

from django.db import close_old_connections, connection

from messaging.exceptions import SendingError
from messaging.models import Batch
from messaging.services.acceptance import Single, accept_singles

GROUP = 200  # messages in one transaction
THREADS = 2  # groups at once: while one waits for the disk, the other is planned
IDLE_SECONDS = 30.0  # after which a thread gives its database connection back and ends


class SingleDoor:
    """Where the threads of one process hand in single messages. Its own threads begin when needed and end when idle."""

    def __init__(self, threads: int = THREADS, group: int = GROUP, idle_seconds: float = IDLE_SECONDS) -> None:
        self._threads, self._group, self._idle_seconds = threads, group, idle_seconds
        self._waiting: deque[tuple[Single, Future[Batch]]] = deque()
        self._changed = threading.Condition()
        self._running = self._idle = 0

    def accept(self, single: Single, timeout: float | None = 30.0) -> Batch:
        """Accept one message; returns its batch once that is committed.

        Raises SendingError as accept_batch does, whatever the database raised, and TimeoutError after ``timeout``
        seconds; then the message may have been accepted, and the same idempotency key finds it.
        """
        return self.hand_in(single).result(timeout)

    def hand_in(self, single: Single) -> "Future[Batch]":
        """As ``accept`` without waiting; for callers that are not threads."""
        answer: Future[Batch] = Future()
        with self._changed:
            self._waiting.append((single, answer))
            if self._idle:
                self._changed.notify()
            elif self._running < self._threads:
                self._running += 1
                threading.Thread(target=self._work, name="single-door", daemon=True).start()
        return answer

    def _work(self) -> None:
        while group := self._next_group():
            self._accept(group)
        connection.close()

    def _next_group(self) -> list[tuple[Single, Future[Batch]]]:
        """What waits, up to a group; an empty one ends the thread."""
        with self._changed:
            while not self._waiting:
                self._idle += 1
                woken = self._changed.wait(self._idle_seconds)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._running -= 1
                    return []
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._group))]

    def _accept(self, group: list[tuple[Single, Future[Batch]]]) -> None:
        try:
            close_old_connections()
            answers = accept_singles([single for single, _ in group])
        except Exception as error:
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if isinstance(answer, SendingError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


door = SingleDoor()  # this process' own
