"""Whose receipt it is when the carrier writes ids otherwise than in its answers (services/receipt_matching.py)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from messaging.models import Message, MessagePart, Receipt, Route, SmppConnector
from messaging.services.receipts import MAX_ATTEMPTS, apply_chunk, apply_waiting
from smpp.simulator import Simulator
from tests.cast import Member
from tests.messaging.carrier import OPEN, connect_route, connectors, in_thread, play, states, work_until
from tests.messaging.rows import fill_keys
from tests.messaging.test_acceptance import accept
from tests.messaging.test_receipts import LONG, due_again, receipt, submitted


def answered_with(member: Member, *carrier_ids: str, text: str = "Hi") -> list[Message]:
    """Messages that the carrier has under these ids."""
    messages = submitted(member, len(carrier_ids), text=text)
    for message, carrier_id in zip(messages, carrier_ids, strict=True):
        Message.objects.filter(pk=message.pk).update(carrier_id=carrier_id)
    fill_keys()
    return messages


def use_format(form: str, route: str = "test", host: str = "smsc.example") -> SmppConnector:
    return SmppConnector.objects.create(
        route=Route.objects.get(code=route), host=host, port=2775, system_id="relay", receipt_id_format=form
    )


def delivered() -> set[str]:
    return set(Message.objects.filter(state="delivered").values_list("carrier_id", flat=True))


@pytest.mark.parametrize(
    ("form", "answer", "others", "told"),
    [
        ("as_is", "00000123", ["123456"], "123"),
        ("as_is", "7FA0", ["32672"], "7fa0"),
        ("hex_to_decimal", "a", ["10", "A0"], "0000000010"),
        ("hex_to_decimal", "00007FA0", ["32672"], "32672"),
        ("decimal_to_hex", "16", ["10"], "10"),
    ],
)
def test_a_receipt_finds_its_message_and_no_other(client_member: Member, form, answer, others, told):
    use_format(form)
    answered_with(client_member, answer, *others)
    receipt(told)
    assert apply_chunk() == 1
    assert delivered() == {answer}


def test_the_id_as_it_stands_wins_over_the_same_with_other_zeros(client_member: Member):
    answered_with(client_member, "0123", "123", "00123")
    receipt("123")
    apply_chunk()
    assert delivered() == {"123"}


def test_parts_of_a_long_message_are_found_the_same_way(client_member: Member):
    use_format("hex_to_decimal")
    [message] = answered_with(client_member, "FE", text=LONG)
    for part, carrier_id in enumerate(("FE", "FF"), start=1):
        MessagePart.objects.create(message=message, part=part, route_id=message.route_id, carrier_id=carrier_id)
    receipt("255")
    receipt("0254")
    assert apply_chunk() == 2
    assert delivered() == {"FE"}


def test_a_receipt_may_come_by_another_route_to_the_same_account_but_by_no_other(client_member: Member):
    use_format("as_is")
    Route.objects.create(code="second", name="Second")
    Route.objects.create(code="strange", name="Strange")
    use_format("as_is", "second")
    use_format("as_is", "strange", host="other.example")
    answered_with(client_member, "c-1", "c-2")
    Receipt.objects.filter(pk=receipt("c-1").pk).update(route=Route.objects.get(code="second"))
    Receipt.objects.filter(pk=receipt("c-2").pk).update(route=Route.objects.get(code="strange"))
    apply_waiting(10)
    assert delivered() == {"c-1"}
    assert list(Receipt.objects.filter(applied_at=None).values_list("carrier_id", flat=True)) == ["c-2"]


def test_ten_thousand_receipts_at_once_twice_over_and_of_strangers_are_sorted_out(client_member: Member):
    """What is matched, what waits and what is given up, each applied once."""
    use_format("hex_to_decimal")
    messages = answered_with(client_member, *(f"{number:X}" for number in range(4096, 4096 + 20)))
    route, now = Route.objects.get(), timezone.now() - timedelta(minutes=1)
    told = [str(number) for number in range(4096, 4096 + 20)] * 2 + [f"1{number:09}" for number in range(9960)]
    Receipt.objects.bulk_create(
        Receipt(route=route, carrier_id=one, status="DELIVRD", attempts=MAX_ATTEMPTS - 1, next_try_at=now)
        for one in told
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE messaging_receipt")
    assert apply_waiting(20_000) == 10_000
    assert len(delivered()) == 20
    assert Receipt.objects.filter(message_id__in=[one.pk for one in messages]).count() == 40
    left = Receipt.objects.filter(message=None)
    assert left.count() == 9960
    assert not left.filter(applied_at=None).exists()


def test_a_carrier_that_answers_in_hex_and_reports_in_decimal_with_zeros_loses_nothing(
    committed_db, client_member: Member, tmp_path
):
    async def scenario(carrier: Simulator) -> None:
        connector = await in_thread(connect_route, carrier.port)
        connector.receipt_id_format = "hex_to_decimal"
        await in_thread(lambda: connector.save(update_fields=["receipt_id_format"]))
        await in_thread(accept, client_member, [f"+6141234{ending}" for ending in ("1111", "0002", "0007", "0008")])
        await in_thread(accept, client_member, ["+61412342222"], LONG)
        async with connectors():
            await work_until(lambda: not Message.objects.filter(state__in=OPEN).exists())
            await work_until(lambda: Receipt.objects.exclude(message=None).count() == 7)

    play(scenario, tmp_path, id_format="hex_to_decimal")

    assert states() == {
        "1111": "delivered", "0002": "undelivered", "0007": "delivered", "0008": "delivered", "2222": "delivered",
    }  # fmt: skip
    assert not Receipt.objects.filter(message=None).exists()
    told = dict(Receipt.objects.filter(recipient="+61412341111").values_list("carrier_id", "message__carrier_id"))
    [(receipt_id, answer_id)] = told.items()
    assert len(receipt_id) == 20
    assert int(receipt_id) == int(answer_id, 16)


def test_the_id_of_an_earlier_attempt_finds_no_message(client_member: Member) -> None:
    [message] = answered_with(client_member, "first")
    Message.objects.filter(pk=message.pk).update(state="unknown", sent_at=None, carrier_id="")  # as sent once more
    stored = receipt("first")
    assert apply_chunk() == 1
    stored.refresh_from_db()
    assert (stored.message_id, stored.applied_at) == (None, None)
    Message.objects.filter(pk=message.pk).update(carrier_id="first")  # a canary: only its own row says otherwise
    due_again()
    assert apply_chunk() == 1
    assert delivered() == {"first"}
