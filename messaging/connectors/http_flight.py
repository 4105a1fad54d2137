"""A message on its way to a carrier over HTTP: one request, whose answer decides."""

from collections import deque

from messaging.connectors.flight import LONGEST_DELAY, back_off
from messaging.connectors.statements import ClaimedMessage, Record
from messaging.models import Message
from messaging.services.http_sending import Answer, HttpLine, Meaning, Outgoing
from smpp.client import NotSent, PduError

State = Message.State
LOST = "The carrier's answer did not come in time, or could not be understood."


class HttpFlight:
    """One claimed message until its record; to whoever submits it, a message of one part."""

    __slots__ = ("_answer", "_line", "_lost", "message", "open", "pending")

    def __init__(self, message: ClaimedMessage, line: HttpLine) -> None:
        self.message = message
        self.pending = deque([1])
        self.open = 0  # requests without an answer
        self._line = line
        self._answer: Answer | None = None
        self._lost = False

    @property
    def is_doomed(self) -> bool:
        """Never before its only request is answered."""
        return False

    @property
    def holds_parts(self) -> bool:
        """The carrier has all of it or nothing."""
        return False

    def submit(self, number: int) -> Outgoing:
        """What the request is made of."""
        one = self.message
        return Outgoing(one.id, one.recipient, one.sender, one.text)

    def answered(self, number: int, answer: Answer) -> bool:
        """Take the carrier's answer; True when it is throttling."""
        self._answer = answer
        self._lost = answer.meaning == Meaning.UNCLEAR
        return answer.meaning == Meaning.BUSY

    def failed(self, number: int, error: BaseException) -> None:
        """Take a request that brought no answer."""
        if isinstance(error, PduError):
            self._answer = Answer(Meaning.REFUSED, reason=str(error)[:120])
        else:
            self._lost = not isinstance(error, NotSent)

    def conclude(self) -> Record:
        """What becomes of the message once nothing is open."""
        if self._lost:
            return self.lost()
        answer = self._answer
        if answer is None:
            self.pending.clear()
            return Record(self.message.id, str(State.RELEASED), untried=1)
        if answer.meaning == Meaning.TAKEN:
            return Record(self.message.id, str(State.SENT), carrier_id=answer.carrier_id)
        if answer.meaning == Meaning.REFUSED:
            return Record(self.message.id, str(State.REJECTED), error_code=answer.code, reason=answer.reason)
        delay = back_off(self.message.attempts, LONGEST_DELAY)
        return Record(self.message.id, str(State.SCHEDULED), error_code=answer.code, reason=answer.reason, delay=delay)

    def lost(self) -> Record:
        """The record of a message that may or may not have reached the carrier; where our id is its, receipts tell."""
        carrier_id = "" if self._line.id_path else self.message.id
        return Record(self.message.id, str(State.UNKNOWN), carrier_id=carrier_id, reason=LOST)
