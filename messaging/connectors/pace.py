"""How fast a bind may submit."""

import time
from collections import deque
from collections.abc import Callable

# The carrier's second is not ours: the network and busy processes shift submits by some milliseconds. This costs 4 %
# of the rate and keeps within it as long as they are shifted by less than 40 ms.
SECOND = 1.04
CATCH_UP = 0.2  # seconds of submits that may be made up for after a pause of the event loop
SLOWEST = 0.05  # of the rate, however much the carrier throttles
RECOVERY = 0.1  # of the rate, regained in each second without throttling
NO_SHARE_SECONDS = 0.05  # how soon a bind without a share asks again
STEP_SECONDS = 0.5  # answers to one window of submits count as one word


class Pacer:
    """Never allows more than ``rate`` submits in any second, spreads them evenly, and slows down when throttled.

    The rate is leased (messaging/connectors/shares.py): when the lease has run out nothing may be submitted.
    """

    def __init__(self, rate: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._factor = 1.0
        self._slowed_at = float("-inf")
        self._next_at = float("-inf")
        self._log: deque[float] = deque(maxlen=max(rate, 1))
        self._rate = rate
        self._until = float("inf")

    @property
    def rate(self) -> int:
        """Submits a second that are allowed at most."""
        return self._rate

    def lease(self, rate: int, until: float = float("inf")) -> None:
        """Go on with another limit, until a moment of the clock; what was submitted in the last second counts on."""
        self._rate, self._until = rate, until
        self._log = deque(self._log, maxlen=max(rate, 1))

    def take(self) -> float:
        """Take the right to submit one part now (0.0), or learn how many seconds to wait before asking again."""
        now = self._clock()
        if self._rate <= 0 or now >= self._until:
            return NO_SHARE_SECONDS
        if len(self._log) == self._log.maxlen and (wait := self._log[0] + SECOND - now) > 0:
            return wait
        if (wait := self._next_at - now) > 0:
            return wait
        self._next_at = max(self._next_at, now - CATCH_UP) + 1 / (self._rate * self._current_factor(now))
        self._log.append(now)
        return 0.0

    def slow_down(self) -> None:
        """The carrier throttles: half the pace, from which it recovers by itself."""
        now = self._clock()
        if now - self._slowed_at >= STEP_SECONDS:
            self._factor = max(SLOWEST, self._current_factor(now) / 2)
            self._slowed_at = now

    @property
    def is_slow(self) -> bool:
        """Whether throttling keeps it under half of its rate."""
        return self._current_factor(self._clock()) < 0.5

    def _current_factor(self, now: float) -> float:
        return min(1.0, self._factor + max(0.0, now - self._slowed_at) * RECOVERY)
