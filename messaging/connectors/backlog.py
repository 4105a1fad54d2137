"""Claimed messages that wait for their submit."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from messaging.connectors.lines import AnyFlight

BEGUN = -1  # goes before every class: the carrier has a part of it already


class Backlog:
    """The rest of begun messages first, then by class (MessageClass), and as they were claimed within one.

    A one-time passcode that is claimed after a quarter of a second's bulk is submitted before all of it.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, AnyFlight]] = []
        self._numbers = count()

    def add(self, flight: AnyFlight) -> None:
        """Have it wait its turn."""
        rank = BEGUN if flight.holds_parts else flight.message.message_class
        heappush(self._heap, (rank, next(self._numbers), flight))

    def pop(self) -> AnyFlight:
        """Take the next one out; raises IndexError when there is none."""
        return heappop(self._heap)[2]

    def clear(self) -> None:
        """Take all out."""
        self._heap.clear()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[AnyFlight]:
        return (flight for _, _, flight in self._heap)
