"""query_sm: what a carrier says of a message when asked, from the codec to the simulator."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp import pdu as wire
from smpp.client import AnswerLost, NotSent, PduError
from smpp.pdu import Address, Status, address
from smpp.query import Query, QueryAnswer, decode_query, decode_query_answer, encode_query, encode_query_answer
from smpp.receipts import ReceiptStatus
from smpp.simulator import Simulator
from tests.loops import run_scenario
from tests.smpp.test_client import HELLO, Inbox, RawCarrier, connect, server, until
from tests.smpp.test_simulator import bound, message, receipts

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


@given(IDS, st.sampled_from(["", "Shop", "+61400000000", "12345"]))
def test_a_query_arrives_as_it_was_asked(carrier_id, source):
    assert decode_query(encode_query(carrier_id, address(source), 7)) == Query(carrier_id, source)


@given(IDS, st.sampled_from(ReceiptStatus), st.integers(0, 255), st.sampled_from([None, NOON]))
def test_an_answer_arrives_as_it_was_given(carrier_id, state, error, done_at):
    answer = QueryAnswer(0, carrier_id, state, error, done_at)
    assert decode_query_answer(0, encode_query_answer(answer, 7)) == answer


@given(st.integers(0, 255), st.binary(max_size=100))
def test_no_answer_and_no_query_that_can_be_sent_raises_anything_else(status, body):
    decode_query_answer(status, wire.encode(0x80000003, 1, status, body))
    with suppress(PduError):
        decode_query(wire.encode(wire.QUERY_SM, 1, body=body))


@pytest.mark.parametrize(
    ("date", "done_at"),
    [
        (b"261121120030000+", NOON),
        (b"261121140030008+", NOON),
        (b"261121060030024-", NOON),
        (b"261121120030000R", None),
        (b"269921120030000+", None),
        (b"", None),
    ],
)
def test_the_time_of_an_answer_is_read_with_its_zone(date, done_at):
    pdu = wire.encode(0x80000003, 1, body=b"id\0" + date + b"\0\x02\0")
    assert decode_query_answer(0, pdu).done_at == done_at


def test_what_does_not_fit_a_query_is_said():
    with pytest.raises(PduError, match="message id"):
        encode_query("x" * 65, Address(0, 0, ""), 1)
    with pytest.raises(PduError, match="sender"):
        encode_query("x", Address(5, 0, "Žofie"), 1)


def test_a_carrier_that_answers_no_queries_says_so_and_the_session_goes_on():
    async def scenario():
        async with server() as carrier:
            session = await connect(carrier.port)
            assert (await session.query("id-1", "Shop")).status == Status.ESME_RINVCMDID
            assert (await session.submit(HELLO)).status == 0
            await session.close()
            with pytest.raises(NotSent):
                await session.query("id-1", "Shop")

    run_scenario(scenario())


def test_a_query_is_answered_by_such_an_answer_only_and_takes_a_slot_of_the_window():
    async def scenario():
        async with RawCarrier() as carrier:
            session = await connect(carrier.port, window=2, response_timeout_seconds=0.4)
            asked = asyncio.ensure_future(session.query("id-1", "Shop"))
            nacked = asyncio.ensure_future(session.query("id-2", "Shop"))
            await until(lambda: session.unanswered == 2)
            waiting = asyncio.ensure_future(session.query("id-3", "Shop"))
            carrier.writer.write(wire.encode_message_id(wire.SUBMIT_SM, 2, 0, "no-answer-to-a-query"))
            carrier.writer.write(encode_query_answer(QueryAnswer(0, "of-nobody", ReceiptStatus.EXPIRED), 77))
            carrier.writer.write(encode_query_answer(QueryAnswer(0, "id-1", ReceiptStatus.DELIVERED), 2))
            carrier.writer.write(wire.encode(wire.GENERIC_NACK, 3, Status.ESME_RINVCMDID))
            assert await asked == QueryAnswer(0, "id-1", ReceiptStatus.DELIVERED)
            assert await nacked == QueryAnswer(Status.ESME_RINVCMDID)
            with pytest.raises(AnswerLost):
                await waiting
            await session.close(0)

    run_scenario(scenario())


def test_the_simulator_tells_what_becomes_of_a_message_to_who_sent_it(tmp_path):
    async def scenario():
        async with Simulator(state=tmp_path, receipt_delay=0.3) as carrier:
            session = await bound(carrier.port, Inbox())
            digits = ("9999", "0002", "0003", "0005")
            ids = [(await session.submit(message(one))).carrier_id for one in digits]
            assert {(await session.query(one, "Shop")).state for one in ids} == {"ENROUTE"}
            deadline = time.monotonic() + 5
            while (await session.query(ids[-1], "Shop")).state == "ENROUTE":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            answers = [await session.query(one, "Shop") for one in ids]
            assert [(one.state, one.error_code) for one in answers] == [
                ("DELIVRD", 0), ("UNDELIV", 1), ("EXPIRED", 2), ("DELIVRD", 0),
            ]  # fmt: skip
            assert all(one.done_at and abs((datetime.now(UTC) - one.done_at).total_seconds()) < 10 for one in answers)
            assert (await session.query(ids[0], "Other")).status == Status.ESME_RINVMSGID
            assert (await session.query("nobodys", "Shop")).status == Status.ESME_RINVMSGID
            await session.close()
        async with Simulator(state=tmp_path) as carrier:  # a new one, which has it from the journal only
            session = await bound(carrier.port, Inbox())
            assert (await session.query(ids[1], "Shop")).state == "UNDELIV"
            await session.close()

    run_scenario(scenario())


@pytest.mark.parametrize(("form", "base", "receipt_base"), [("hex_to_decimal", 16, 10), ("decimal_to_hex", 10, 16)])
def test_the_simulator_writes_ids_in_receipts_in_the_other_number_system(tmp_path, form, base, receipt_base):
    async def scenario():
        async with Simulator(state=tmp_path, receipt_delay=0.01, id_format=form) as carrier:
            inbox = Inbox()
            session = await bound(carrier.port, inbox)
            answer = await session.submit(message("9999"))
            await until(lambda: inbox.batches)
            (receipt,) = receipts(inbox)
            assert receipt.carrier_id != answer.carrier_id
            assert int(receipt.carrier_id, receipt_base) == int(answer.carrier_id, base)
            await session.close()

    run_scenario(scenario())
