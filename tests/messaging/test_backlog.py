"""In which order a bind submits what it has claimed (messaging/connectors/backlog.py)."""

from uuid import UUID

from messaging.connectors.backlog import Backlog
from messaging.connectors.flight import Flight
from messaging.connectors.statements import ClaimedMessage
from messaging.models import MessageClass
from smpp.client import SubmitAnswer
from smpp.pdu import Status


def flight(number: int, message_class: int, text: str = "Hi") -> Flight:
    return Flight(ClaimedMessage(message_class, 0, str(UUID(int=number)), "+61412345678", "Shop", text, 1))


def order_of(backlog: Backlog) -> list[int]:
    return [UUID(backlog.pop().message.id).int for _ in range(len(backlog))]


def test_a_passcode_goes_before_bulk_that_was_claimed_earlier():
    backlog = Backlog()
    for number in (1, 2, 3):
        backlog.add(flight(number, MessageClass.BULK))
    backlog.add(flight(4, MessageClass.TRANSACTIONAL))
    backlog.add(flight(5, MessageClass.PASSCODE))
    backlog.add(flight(6, MessageClass.PASSCODE))
    assert order_of(backlog) == [5, 6, 4, 1, 2, 3]


def test_the_rest_of_a_begun_message_goes_before_all():
    backlog, begun = Backlog(), flight(1, MessageClass.BULK, "a" * 200)
    backlog.add(flight(2, MessageClass.PASSCODE))
    begun.answered(begun.pending.popleft(), SubmitAnswer(Status.ESME_ROK, "id-1"))
    backlog.add(begun)
    assert len(backlog) == 2
    assert order_of(backlog) == [1, 2]
    assert not backlog
