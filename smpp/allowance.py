"""How many submits a second the simulator takes."""

import time


class Allowance:
    """A bucket that fills at `rate` a second and holds one second's worth; None never runs dry."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._left = rate or 0.0
        self._at = time.monotonic()

    def take(self) -> bool:
        """Take one; False when there is none left now."""
        if self._rate is None:
            return True
        now = time.monotonic()
        self._left = min(max(self._rate, 1.0), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
