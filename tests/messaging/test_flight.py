"""What becomes of a message by the answers to its parts (messaging/connectors/flight.py)."""

from uuid import UUID

import pytest

from messaging.connectors.flight import REST_TRIES, Flight, back_off, error_code
from messaging.connectors.statements import ClaimedMessage, Record
from smpp.client import AnswerLost, NotSent, PduError, SubmitAnswer
from smpp.pdu import Status

OK, THROTTLED = Status.ESME_ROK, Status.ESME_RTHROTTLED


def flight(parts: int = 1, attempts: int = 1) -> Flight:
    text = "a" * 153 * parts if parts > 1 else "Hi"
    message = ClaimedMessage(2, 0, str(UUID(int=7)), "+61412345678", "Shop", text, attempts)
    return Flight(message)


def answer(one: Flight, *outcomes) -> None:
    """Give the pending parts, in order, an answer each: a status or an exception."""
    for outcome in outcomes:
        number = one.pending.popleft()
        if isinstance(outcome, Exception):
            one.failed(number, outcome)
        else:
            one.answered(number, SubmitAnswer(outcome, f"id-{number}" if outcome == OK else ""))


def record(one: Flight) -> Record:
    outcome = one.conclude()
    assert isinstance(outcome, Record)
    return outcome


def test_an_accepted_message_is_sent_with_the_carriers_id():
    one = flight()
    answer(one, OK)
    assert (record(one).state, record(one).carrier_id, record(one).parts) == ("sent", "id-1", {})


def test_a_long_message_is_sent_when_all_its_parts_are():
    one = flight(3)
    references = {one.submit(number).part.payload[3] for number in (1, 2, 3)}
    answer(one, OK, OK, OK)
    assert (record(one).state, record(one).parts) == ("sent", {1: "id-1", 2: "id-2", 3: "id-3"})
    assert len(references) == 1


def test_a_refused_part_refuses_the_message_whatever_became_of_the_others():
    one = flight(3)
    answer(one, OK, Status.ESME_RINVDSTADR)
    assert one.is_doomed
    outcome = record(one)
    assert (outcome.state, outcome.error_code, outcome.reason, outcome.parts) == (
        "rejected", "ESME_RINVDSTADR", "The carrier does not accept this recipient.", {1: "id-1"},
    )  # fmt: skip


def test_a_message_that_cannot_be_encoded_is_rejected_with_the_reason():
    one = flight()
    answer(one, PduError("The sender is too long.", Status.ESME_RINVSRCADR))
    assert (record(one).state, record(one).error_code, record(one).reason) == (
        "rejected",
        "",
        "The sender is too long.",
    )


def test_a_lost_answer_makes_the_message_unknown_and_keeps_the_parts_that_are_known():
    one = flight(2)
    answer(one, OK, AnswerLost("closed"))
    assert (record(one).state, record(one).carrier_id, record(one).parts) == ("unknown", "id-1", {1: "id-1"})


def test_what_was_not_sent_goes_back_as_if_it_had_not_been_tried():
    one = flight(2)
    answer(one, NotSent("closed"))
    assert (record(one).state, record(one).untried, record(one).delay) == ("released", 1, None)


def test_throttled_messages_wait_longer_each_time():
    one = flight(attempts=3)
    answer(one, THROTTLED)
    outcome = record(one)
    assert (outcome.state, outcome.error_code, outcome.untried) == ("scheduled", "ESME_RTHROTTLED", 0)
    assert outcome.delay == pytest.approx(2.0, rel=0.26)
    late = flight(attempts=30)
    answer(late, THROTTLED)
    assert record(late).delay == pytest.approx(60.0, rel=0.26)


def test_the_rest_of_a_message_that_the_carrier_has_in_part_is_tried_again_without_doubling():
    one = flight(3)
    answer(one, OK, THROTTLED, NotSent("closed"))
    assert one.conclude() == pytest.approx(0.5, rel=0.26)
    assert list(one.pending) == [2, 3]
    answer(one, OK, OK)
    assert (record(one).state, record(one).parts) == ("sent", {1: "id-1", 2: "id-2", 3: "id-3"})


def test_the_rest_is_not_tried_forever():
    one = flight(2)
    answer(one, OK, THROTTLED)
    for _ in range(REST_TRIES):
        assert isinstance(one.conclude(), float)
        answer(one, THROTTLED)
    assert (record(one).state, record(one).parts) == ("rejected", {1: "id-1"})


def test_codes_are_named_or_shown_as_the_carriers_own():
    assert error_code(0x58) == "ESME_RTHROTTLED"
    assert error_code(0x0400) == "0x00000400"
    assert all(back_off(tries, 60) <= 75 for tries in range(1, 40))
