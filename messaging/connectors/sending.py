"""What a bind has in hand: claimed messages, their submits, and answers that wait to be recorded."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from messaging.connectors import statements
from messaging.connectors.backlog import Backlog
from messaging.connectors.configuration import BindConfig
from messaging.connectors.database import Database, DatabaseAway
from messaging.connectors.lines import AnyFlight, Session, new_flight
from messaging.connectors.pace import Pacer
from messaging.connectors.statements import ClaimedMessage, Record
from messaging.models import Message
from smpp.client import NotSent

log = structlog.get_logger(__name__)

HORIZON = 0.25  # seconds of the bind's rate that are claimed ahead: the rest of the stock can still be cancelled
RECORDS_AT_ONCE = 1000
RETRY_SECONDS = 0.5  # how soon a database that is away is tried again


class Hand:
    """Everything between claiming a message and recording what became of it; outlives sessions, dies with the process.

    Never holds more than a window of messages: that many can become ``unknown`` when the process dies.
    """

    def __init__(
        self, config: BindConfig, token: str, *, on_ended: Callable[[], None], on_refused: Callable[[], None]
    ) -> None:
        self.config = config
        self.pacer = Pacer()
        self.wake = asyncio.Event()  # there may be something to claim
        self._token = token
        self._on_ended = on_ended
        self._on_refused = on_refused  # for now: perhaps for the last time on this route
        self._flights: dict[str, AnyFlight] = {}
        self._backlog = Backlog()
        self._waiting = asyncio.Event()  # something is in the backlog
        self._lacks_room = True  # so that whoever claims waits for messages to be recorded, and not for others
        self._records: list[Record] = []
        self.tally: Counter[str] = Counter()  # states that were recorded since it was last looked at
        self._answered = asyncio.Event()  # something is to be recorded
        self._database = Database(f"connector {config.name} records", hash_joins=True)

    # --- taking on -------------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        return not self._flights

    @property
    def claimed(self) -> list[str]:
        """Ids of everything claimed and not yet recorded."""
        return list(self._flights)

    def room(self) -> int:
        """How many messages may be claimed now; 0 until a good part of what was claimed is done."""
        window = self.config.line.window
        ahead = max(1, int(self.pacer.rate * HORIZON)) if self.pacer.rate else 0
        room = min(window - len(self._flights), ahead - len(self._backlog))
        room = room if room > 0 and (room * 4 >= min(window, ahead) or not self._flights) else 0
        self._lacks_room = not room
        return room

    def take_on(self, messages: list[ClaimedMessage]) -> None:
        """Have claimed messages submitted, the most urgent first."""
        for message in messages:
            flight = new_flight(self.config.line, message)
            self._flights[message.id] = flight
            self._backlog.add(flight)
        self._waiting.set()

    # --- submitting ------------------------------------------------------------------------------------------------

    async def submit_all(self, session: Session) -> None:
        """Submit what is claimed, as fast as pace and window allow, until cancelled."""
        while True:
            while not self._backlog:
                self._waiting.clear()
                await self._waiting.wait()
            flight = self._backlog.pop()
            flight.open += 1  # keeps it from concluding before all its parts are submitted
            try:
                await self._submit(flight, session)
            finally:
                flight.open -= 1
                self._conclude(flight)

    async def _submit(self, flight: AnyFlight, session: Session) -> None:
        while flight.pending and not flight.is_doomed:
            while wait := self.pacer.take():
                await asyncio.sleep(wait)
            try:
                await session.wait_for_slot()
            except NotSent:
                return
            number = flight.pending.popleft()
            flight.open += 1
            answer = session.submit(flight.submit(number))  # type: ignore[arg-type]  # a line's session takes its flights
            answer.add_done_callback(partial(self._on_answer, flight, number))

    def _on_answer(self, flight: AnyFlight, number: int, future: "asyncio.Future[Any]") -> None:
        error = future.exception()
        if error is not None:
            flight.failed(number, error)
        elif flight.answered(number, future.result()):
            self.pacer.slow_down()
        flight.open -= 1
        self._conclude(flight)

    def _conclude(self, flight: AnyFlight) -> None:
        if flight.open:
            return
        outcome = flight.conclude()
        if isinstance(outcome, Record):
            self._finish(outcome)
        else:
            asyncio.get_running_loop().call_later(outcome, self._resume, flight)

    def _resume(self, flight: AnyFlight) -> None:
        """Submit the rest of a message of which the carrier has taken a part; before all others."""
        if flight.message.id in self._flights:
            self._backlog.add(flight)
            self._waiting.set()

    def _finish(self, record: Record) -> None:
        self._records.append(record)
        self._answered.set()

    # --- leaving ---------------------------------------------------------------------------------------------------

    def put_back(self) -> None:
        """Give back what is claimed and not begun; the rest of begun messages waits for the next session."""
        waiting = list(self._backlog)
        self._backlog.clear()
        for flight in waiting:
            if flight.holds_parts:
                self._backlog.add(flight)
            else:
                self._conclude(flight)

    def abandon(self) -> None:
        """The process ends: of begun messages nobody will submit the rest, so what became of them is not known."""
        finished = {record.id for record in self._records}
        self._backlog.clear()
        for key, flight in list(self._flights.items()):
            if key not in finished:
                self._finish(flight.lost())

    # --- recording -------------------------------------------------------------------------------------------------

    async def record_all(self) -> None:
        """Record answers until cancelled; while the database is away they are kept."""
        while True:
            await self._answered.wait()
            self._answered.clear()
            while self._records:
                await self._record(self._records[:RECORDS_AT_ONCE])

    async def _record(self, records: list[Record]) -> None:
        try:
            await statements.record(self._database, self.config.route_id, self._token, records)
        except DatabaseAway as error:
            log.warning("connector.record_later", bind=self.config.name, records=len(self._records), detail=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return
        del self._records[: len(records)]
        self.tally.update(one.state for one in records)
        for one in records:
            self._flights.pop(one.id, None)
        # After a look at an empty stock another one is for nothing, unless these go back to it.
        if self._lacks_room or any(one.state == Message.State.RELEASED for one in records):
            self.wake.set()
        if any(one.state in Message.FINAL for one in records):  # what was sent is settled by its receipt
            self._on_ended()
        if any(one.delay is not None for one in records):
            self._on_refused()

    async def close(self) -> None:
        """Close the connection; call when nothing is left to record or no time is left."""
        await self._database.close()
