"""A message on its way to the carrier: its parts, their answers, and what becomes of it."""

import random
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from messaging.connectors.statements import LOST, ClaimedMessage, Record
from messaging.models import Message
from smpp.client import NotSent, PduError, Submit, SubmitAnswer
from smpp.pdu import Status
from smpp.text import EncodedPart, encode_parts

State = Message.State

# Refusals that say "later". How often a message is tried is its route's affair (messaging/services/failover.py).
RETRIED: Final = frozenset({Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL, Status.ESME_RSYSERR, Status.ESME_RINVBNDSTS})
THROTTLING: Final = (Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL)
FIRST_DELAY = 0.5  # seconds; doubled with each try
LONGEST_DELAY = 60.0
# A long message of which the carrier has taken a part cannot go back to the queue: its rest is tried again here.
REST_TRIES = 10
REST_LONGEST_DELAY = 5.0
RESUME_DELAY = 0.1

_REASONS: Final = {
    Status.ESME_RINVDSTADR: "The carrier does not accept this recipient.",
    Status.ESME_RINVSRCADR: "The carrier does not accept this sender.",
    Status.ESME_RINVMSGLEN: "The carrier says that the text is too long.",
    Status.ESME_RSUBMITFAIL: "The carrier refused the message.",
    Status.ESME_RTHROTTLED: "The carrier was too busy.",
    Status.ESME_RMSGQFUL: "The carrier's queue was full.",
    Status.ESME_RSYSERR: "The carrier had a fault of its own.",
    Status.ESME_RINVBNDSTS: "The carrier did not accept messages on this connection.",
    Status.ESME_RINVEXPIRY: "The carrier does not accept this validity period.",
}


@lru_cache(maxsize=2048)
def _encoded(text: str, reference: int) -> tuple[EncodedPart, ...]:
    return tuple(encode_parts(text, reference))


def back_off(tries: int, longest: float) -> float:
    """Seconds to wait after ``tries`` (from 1), with jitter so that a window's messages do not return as one."""
    return min(longest, FIRST_DELAY * 2 ** (tries - 1)) * random.uniform(0.75, 1.25)  # noqa: S311


class Flight:
    """One claimed message until its record. Parts are numbered from 1; ``pending`` ones wait to be submitted."""

    __slots__ = (
        "_accepted", "_later", "_lost", "_refused", "_rest_tries", "_unsent", "message", "open", "parts", "pending",
    )  # fmt: skip

    def __init__(self, message: ClaimedMessage) -> None:
        self.message = message
        # One reference ties all parts together; made of the message's id it is the same in every attempt.
        self.parts = _encoded(message.text, int(message.id[-2:], 16))
        self.pending = deque(range(1, len(self.parts) + 1))
        self.open = 0  # submits without an answer
        self._accepted: dict[int, str] = {}
        self._refused: tuple[int, str] | None = None  # status (0 = cannot be sent at all), reason
        self._later: Status | None = None
        self._unsent: list[int] = []
        self._lost = False
        self._rest_tries = 0

    @property
    def is_doomed(self) -> bool:
        """A part was refused for good: the others need not be sent."""
        return self._refused is not None

    @property
    def holds_parts(self) -> bool:
        """The carrier has some parts of it, so it cannot simply begin again."""
        return bool(self._accepted)

    def submit(self, number: int) -> Submit:
        """The submit of a part."""
        one = self.message
        return Submit(one.sender, one.recipient, self.parts[number - 1], validity_period=validity(one.valid_until))

    def answered(self, number: int, answer: SubmitAnswer) -> bool:
        """Take the carrier's answer to a part; True when it is throttling."""
        if answer.status == Status.ESME_ROK:
            self._accepted[number] = answer.carrier_id[:65].replace("\0", "")
        elif answer.status in RETRIED:
            self._later = Status(answer.status)
            self._unsent.append(number)
        elif self._refused is None:
            self._refused = (answer.status, _REASONS.get(answer.status, "The carrier refused the message."))  # type: ignore[call-overload]
        return answer.status in THROTTLING

    def failed(self, number: int, error: BaseException) -> None:
        """Take a submit that brought no answer."""
        if isinstance(error, NotSent):
            self._unsent.append(number)
        elif isinstance(error, PduError):
            self._refused = self._refused or (0, str(error)[:120])
        else:
            self._lost = True

    def unsent(self) -> None:
        """What is still pending was not submitted."""
        self._unsent += self.pending
        self.pending.clear()

    def conclude(self) -> Record | float:
        """What becomes of the message once nothing is open: its record, or seconds until its rest is tried again."""
        self.unsent()
        accepted = self._accepted if len(self.parts) > 1 else {}
        if self._refused is not None:
            status, reason = self._refused
            return self._record(State.REJECTED, error_code=error_code(status), reason=reason, parts=accepted)
        if self._lost:
            return self.lost()
        if not self._unsent:
            return self._record(State.SENT, carrier_id=self._accepted[1], parts=accepted)
        return self._retry_rest() if self._accepted else self._retry_whole()

    def lost(self) -> Record:
        """The record of a message that may or may not have reached the carrier."""
        accepted = self._accepted if len(self.parts) > 1 else {}
        return self._record(State.UNKNOWN, carrier_id=self._accepted.get(1, ""), reason=LOST, parts=accepted)

    def _retry_whole(self) -> Record:
        if self._later is None:
            return self._record(State.RELEASED, untried=1)
        code, reason = error_code(self._later), _REASONS[self._later]
        delay = back_off(self.message.attempts, LONGEST_DELAY)
        return self._record(State.SCHEDULED, error_code=code, reason=reason, delay=delay)

    def _retry_rest(self) -> Record | float:
        if self._later is not None:
            self._rest_tries += 1
        if self._rest_tries > REST_TRIES and self._later is not None:
            reason = "The carrier took only some of its parts."
            return self._record(State.REJECTED, error_code=error_code(self._later), reason=reason, parts=self._accepted)
        delay = back_off(self._rest_tries, REST_LONGEST_DELAY) if self._later is not None else RESUME_DELAY
        self.pending.extend(sorted(self._unsent))
        self._unsent, self._later = [], None
        return delay

    def _record(self, state: str, **more: object) -> Record:
        return Record(self.message.id, str(state), **more)  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def validity(until: datetime | None) -> str:
    """A moment as SMPP's absolute time (3.4, 7.1.1), in UTC; empty for None: the carrier's own validity."""
    return f"{until.astimezone(UTC):%y%m%d%H%M%S}000+" if until else ""


def error_code(status: int) -> str:
    """A command_status as it is shown: the standard's name, or the carrier's own number."""
    if not status:
        return ""
    return Status(status).name[:20] if status in Status._value2member_map_ else f"0x{status:08X}"
