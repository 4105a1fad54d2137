"""Single messages from programs: what waits at one moment is accepted together (docs/message-way.md).

A transaction costs much the same for one message and for a hundred, so callers that come at once share it. A lone
message is accepted at once, and those that come meanwhile make up the next group. Only after a group of many is there a
moment's wait, until as many are there again: those who have just been answered come back together, and would else be
two groups by turns.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future

from django.db import close_old_connections, connection

from messaging.exceptions import SendingError
from messaging.models import Batch
from messaging.services.acceptance import Single, accept_singles

GROUP = 200  # messages in one transaction
THREADS = 2  # groups at once; the second only while the first is held up, as two share one interpreter
HELD_UP_SECONDS = 0.1  # for which the first who waits has waited then
MANY = 8  # messages of a group, after which its callers are given time to come back
RETURN_SECONDS = 0.01  # at most; on a busy machine many callers need that long
IDLE_SECONDS = 30.0  # after which a thread gives its database connection back and ends


class SingleDoor:
    """Where the threads of one process hand in single messages. Its own threads begin when needed and end when idle."""

    def __init__(self, threads: int = THREADS, group: int = GROUP, idle_seconds: float = IDLE_SECONDS) -> None:
        self._threads, self._group, self._idle_seconds = threads, group, idle_seconds
        self._waiting: deque[_Caller] = deque()
        self._changed = threading.Condition()
        self._are_back, self._expected = threading.Event(), 0
        self._running = self._idle = 0

    def accept(self, single: Single, timeout: float | None = 30.0) -> Batch:
        """Accept one message; returns its batch once that is committed.

        Raises SendingError as accept_batch does, whatever the database raised, and TimeoutError after ``timeout``
        seconds; then the message may have been accepted, and the same idempotency key finds it.
        """
        return self.hand_in(single).result(timeout)

    def hand_in(self, single: Single) -> "Future[Batch]":
        """As ``accept`` without waiting; for callers that are not threads."""
        caller = _Caller(single)
        with self._changed:
            self._waiting.append(caller)
            if len(self._waiting) == self._expected:
                self._are_back.set()
            if len(self._waiting) > 1:
                pass  # the first one has told a thread
            elif self._idle:
                self._changed.notify()
            elif self._running < self._threads:
                self._running += 1
                threading.Thread(target=self._work, name="single-door", daemon=True).start()
        return caller.answer

    def _work(self) -> None:
        while group := self._next_group():
            self._accept(group)
            if len(group) >= MANY:
                self._wait_for(len(group))
        connection.close()

    def _wait_for(self, callers: int) -> None:
        """Until so many wait, or it has been long enough."""
        with self._changed:
            if len(self._waiting) >= callers:
                return
            self._expected = callers
            self._are_back.clear()
        self._are_back.wait(RETURN_SECONDS)

    def _next_group(self) -> "list[_Caller]":
        """What waits, up to a group; an empty one ends the thread."""
        ends = time.monotonic() + self._idle_seconds
        with self._changed:
            while not self._is_turn():
                left = ends - time.monotonic()
                if left <= 0 and not self._waiting:
                    self._running -= 1
                    return []
                self._idle += 1
                self._changed.wait(HELD_UP_SECONDS if self._waiting else left)
                self._idle -= 1
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._group))]

    def _is_turn(self) -> bool:
        """Whether the thread that asks is to take what waits: it is alone, or the other one has been held up."""
        if not self._waiting:
            return False
        is_alone = self._running - self._idle == 1
        return is_alone or time.monotonic() - self._waiting[0].since >= HELD_UP_SECONDS

    def _accept(self, group: "list[_Caller]") -> None:
        try:
            close_old_connections()
            answers = accept_singles([caller.single for caller in group])
        except Exception as error:
            for caller in group:
                caller.answer.set_exception(error)
            return
        for caller, answer in zip(group, answers, strict=True):
            if isinstance(answer, SendingError):
                caller.answer.set_exception(answer)
            else:
                caller.answer.set_result(answer)


class _Caller:
    """Who waits, with what, since when."""

    __slots__ = ("answer", "since", "single")

    def __init__(self, single: Single) -> None:
        self.single, self.since = single, time.monotonic()
        self.answer: Future[Batch] = Future()


door = SingleDoor()  # this process' own
