"""Doing in one turn what would else be many small ones."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Rests:
    """After each turn of some work this process rests from it, ``times`` as long as it took, up to ``most`` seconds.

    So it takes a known part of a processor at most, and what comes in meanwhile is done together: the busier a machine
    is, the more. Who comes after a while of quiet is seen to at once.
    """

    def __init__(
        self, times: float, most: float, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._times, self._most, self._clock, self._sleep = times, most, clock, sleep
        self._until: dict[int, float] = {}

    @contextmanager
    def turn(self, key: int) -> Iterator[None]:
        """Around one turn of the work on ``key``; first waits for the end of the rest from it."""
        if (left := self._until.get(key, 0.0) - self._clock()) > 0:
            self._sleep(left)
        begun = self._clock()
        try:
            yield
        finally:
            ended = self._clock()
            self._until[key] = ended + min(self._most, self._times * (ended - begun))
