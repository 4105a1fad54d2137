"""The simulator: each row of its table of digits, and that killing it loses and doubles nothing."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.core.management import call_command

from smpp import pdu as wire
from smpp.client import (
    AnswerLost,
    BindRefused,
    ClientConfig,
    ClientSession,
    ConnectionFailed,
    NotSent,
    Submit,
    SubmitAnswer,
)
from smpp.pdu import Status
from smpp.receipts import parse_receipt
from smpp.simulator import BEHAVIOURS, JournalBusy, Simulator, read_journal
from smpp.text import encode_parts
from tests.loops import run_scenario
from tests.smpp.simulator_process import ROOT, SimulatorProcess
from tests.smpp.test_client import Inbox, until
from tests.smpp.test_server import RawClient, encoded_submit


def message(digits: str, text: str = "Hello", **options) -> Submit:
    return Submit("Shop", f"+6140000{digits}", encode_parts(text, 1)[0], **options)


async def bound(port: int, inbox: Inbox, **options) -> ClientSession:
    config = ClientConfig("127.0.0.1", port, "relay", "simulator", **options)
    return await ClientSession.connect(config, inbox.take, inbox.closed.append)


def receipts(inbox: Inbox) -> list:
    return [parse_receipt(deliver) for batch in inbox.batches for deliver in batch]


@asynccontextmanager
async def carrier_and_client(state: Path, **options):
    async with Simulator(state=state, **({"receipt_delay": 0.02} | options)) as carrier:
        inbox = Inbox()
        session = await bound(carrier.port, inbox)
        yield carrier, session, inbox
        await session.close()


@pytest.mark.parametrize(
    ("digits", "status", "error"),
    [("9999", "DELIVRD", "000"), ("0002", "UNDELIV", "001"), ("0003", "EXPIRED", "002")],
)
def test_the_receipt_follows_the_last_four_digits(tmp_path, digits, status, error):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            answer = await session.submit(message(digits))
            await until(lambda: inbox.batches)
            (receipt,) = receipts(inbox)
            assert (receipt.carrier_id, receipt.status, receipt.error_code) == (answer.carrier_id, status, error)
            deliver = inbox.batches[0][0]
            assert (deliver.source, deliver.destination) == (f"+6140000{digits}", "Shop")

    run_scenario(scenario())


def test_0001_is_refused_and_not_accepted(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, _inbox):
            assert await session.submit(message("0001")) == SubmitAnswer(Status.ESME_RSUBMITFAIL)
        assert read_journal(tmp_path).accepted == []

    run_scenario(scenario())


def test_0004_owes_its_receipt_for_twenty_seconds_and_0005_none(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            before = time.time()
            await session.submit(message("0004"))
            await session.submit(message("0005"))
            (owed,) = read_journal(tmp_path).outstanding
            assert before + 20 <= owed.due <= time.time() + 20
            await asyncio.sleep(0.1)
            assert inbox.batches == []
        assert len(read_journal(tmp_path).accepted) == 2

    run_scenario(scenario())


def test_0006_is_throttled_twice_then_accepted_for_each_message(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            statuses = [(await session.submit(message("0006"))).status for _ in range(3)]
            assert statuses == [Status.ESME_RTHROTTLED, Status.ESME_RTHROTTLED, 0]
            assert (await session.submit(message("0006", "another"))).status == Status.ESME_RTHROTTLED
            await until(lambda: inbox.batches)
        assert [entry.text for entry in read_journal(tmp_path).accepted] == ["Hello"]

    run_scenario(scenario())


def test_0007_sends_its_receipt_before_the_answer(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            future = session.submit(message("0007"))
            seen = []
            future.add_done_callback(lambda done: seen.append(len(inbox.batches)))
            answer = await future
            assert seen == [1]
            assert receipts(inbox)[0].carrier_id == answer.carrier_id

    run_scenario(scenario())


def test_no_usual_receipt_overtakes_its_answer_where_it_is_due_before_the_journal_is_written(tmp_path, monkeypatch):
    commit = Simulator._commit

    def commit_and_send(carrier: Simulator) -> None:
        """The receipts' turn comes right after, which happens when it was waiting for its tick to end."""
        commit(carrier)
        carrier._send_due()

    monkeypatch.setattr(Simulator, "_commit", commit_and_send)
    bind = wire.encode_bind(wire.BIND_TRANSCEIVER, 1, "relay", "simulator", "")
    came = []

    async def scenario():
        async with Simulator(state=tmp_path, receipt_delay=0) as carrier, RawClient(carrier.port) as client:
            assert (await client.ask(bind))[1] == Status.ESME_ROK
            client.writer.write(encoded_submit(2) + encoded_submit(3))
            while len(came) < 4:
                came.append((await client.ask(b""))[0])

    run_scenario(scenario())
    assert came == [wire.SUBMIT_SM | wire.RESPONSE] * 2 + [wire.DELIVER_SM] * 2


def test_0008_sends_its_receipt_twice(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            answer = await session.submit(message("0008"))
            await until(lambda: len(receipts(inbox)) == 2)
            assert [receipt.carrier_id for receipt in receipts(inbox)] == [answer.carrier_id] * 2

    run_scenario(scenario())


def test_each_part_of_a_long_message_has_its_own_receipt(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            parts = encode_parts("x" * 400, 5)
            answers = await asyncio.gather(*(session.submit(Submit("Shop", "+61400009999", part)) for part in parts))
            await until(lambda: len(receipts(inbox)) == 3)
            assert {receipt.carrier_id for receipt in receipts(inbox)} == {answer.carrier_id for answer in answers}
        assert "".join(entry.text for entry in read_journal(tmp_path).accepted) == "x" * 400

    run_scenario(scenario())


def test_a_receipt_is_sent_only_when_it_was_asked_for(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, inbox):
            await session.submit(message("9999", registered_delivery=0))
            await session.submit(message("9999", registered_delivery=2))
            await session.submit(message("0002", registered_delivery=2))
            await until(lambda: inbox.batches)
            assert [receipt.status for receipt in receipts(inbox)] == ["UNDELIV"]

    run_scenario(scenario())


def test_a_receipt_is_repeated_until_it_is_acknowledged(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path, retry_seconds=0.05) as (_, session, inbox):
            inbox.problem = RuntimeError("the database is away")
            await session.submit(message("9999"))
            await asyncio.sleep(0.15)
            assert len(read_journal(tmp_path).outstanding) == 1
            inbox.problem = None
            await until(lambda: not read_journal(tmp_path).outstanding)
            assert len(receipts(inbox)) == 1

    run_scenario(scenario())


def test_receipts_of_a_transmitter_wait_for_a_receiver(tmp_path):
    async def scenario():
        async with Simulator(state=tmp_path, receipt_delay=0) as carrier:
            nothing, inbox = Inbox(), Inbox()
            sender = await bound(carrier.port, nothing, bind="transmitter")
            answer = await sender.submit(message("9999"))
            await asyncio.sleep(0.05)
            receiver = await bound(carrier.port, inbox, bind="receiver")
            await until(lambda: inbox.batches)
            assert receipts(inbox)[0].carrier_id == answer.carrier_id
            assert nothing.batches == []
            await sender.close()
            await receiver.close()

    run_scenario(scenario())


def test_above_its_rate_it_throttles(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path, rate=5) as (_, session, _inbox):
            answers = await asyncio.gather(*(session.submit(message("9999", str(n))) for n in range(20)))
            accepted = [answer for answer in answers if answer.status == 0]
            assert len(accepted) == 5
            assert {answer.status for answer in answers} == {0, Status.ESME_RTHROTTLED}

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [("relay", "wrong", "ESME_RINVPASWD"), ("other", "simulator", "ESME_RINVSYSID")],
)
def test_it_checks_who_binds(system_id, password, status):
    async def scenario():
        async with Simulator() as carrier:
            config = ClientConfig("127.0.0.1", carrier.port, system_id, password)
            with pytest.raises(BindRefused, match=status):
                await ClientSession.connect(config, Inbox().take, print)

    run_scenario(scenario())


def test_a_recipient_that_is_no_number_is_refused(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, _inbox):
            answer = await session.submit(Submit("Shop", "nobody", encode_parts("x", 1)[0]))
            assert answer.status == Status.ESME_RINVDSTADR

    run_scenario(scenario())


def test_two_simulators_never_share_a_journal(tmp_path):
    async def scenario():
        async with Simulator(state=tmp_path):
            with pytest.raises(JournalBusy, match="give this one its own --state"):
                await Simulator(state=tmp_path).start()

    run_scenario(scenario())


def test_a_torn_last_line_is_cut_off_at_the_next_start(tmp_path):
    async def scenario():
        async with carrier_and_client(tmp_path) as (_, session, _inbox):
            await session.submit(message("0005", "first"))
        journal = tmp_path / "journal.jsonl"
        with journal.open("a") as file:
            file.write('{"event": "accepted", "id": "torn')
        assert [entry.text for entry in read_journal(tmp_path).accepted] == ["first"]
        async with carrier_and_client(tmp_path) as (_, session, _inbox):
            await session.submit(message("0005", "second"))
        assert [entry.text for entry in read_journal(journal).accepted] == ["first", "second"]

    run_scenario(scenario())


async def send_all(port: int, inbox: Inbox, unsent: list[Submit], answered: dict, unknown: list[Submit]) -> None:
    """Bind and send until the list is empty or the session breaks; put back what was certainly not sent."""
    session = await bound(port, inbox)
    pairs = []
    try:
        while unsent:
            await session.wait_for_slot()
            submit = unsent.pop()
            pairs.append((submit, session.submit(submit)))
    except NotSent:
        pass
    for submit, future in pairs:
        try:
            answered[(await future).carrier_id] = submit
        except NotSent:
            unsent.append(submit)
        except AnswerLost:
            unknown.append(submit)
    if not unsent:
        await until(lambda: len({receipt.carrier_id for receipt in receipts(inbox)}) >= len(answered), 20)
    await session.close()


def test_killing_it_in_the_middle_loses_no_receipt_and_doubles_no_message(tmp_path):
    total = 1500
    unsent = [message("9999", f"message {n}") for n in range(total)]
    answered: dict[str, Submit] = {}
    unknown: list[Submit] = []
    inbox = Inbox()

    async def killer(carrier: SimulatorProcess) -> None:
        await until(lambda: len(read_journal(tmp_path).accepted) > total // 4, 20)
        carrier.kill()

    async def scenario(carrier: SimulatorProcess) -> None:
        await asyncio.gather(send_all(carrier.port, inbox, unsent, answered, unknown), killer(carrier))
        assert unsent, "the kill came too late to prove anything"
        with pytest.raises(ConnectionFailed):
            await bound(carrier.port, inbox)
        carrier.start()
        await send_all(carrier.port, inbox, unsent, answered, unknown)

    with SimulatorProcess(tmp_path, "--receipt-delay", "0.2") as carrier:
        run_scenario(scenario(carrier))
        assert carrier.terminate() == 0
    journal = read_journal(tmp_path)
    assert len(answered) + len(unknown) == total
    assert len(unknown) <= 50  # at most one window
    assert journal.duplicates == []
    ids = [entry.id for entry in journal.accepted]
    assert len(set(ids)) == len(ids)
    assert set(answered) <= set(ids)
    assert len(ids) <= total
    received = {receipt.carrier_id for receipt in receipts(inbox)}
    assert set(answered) <= received <= set(ids)
    assert {key[0] for key in journal.acknowledged} <= received


def test_the_table_of_digits_is_in_the_help_and_in_the_documentation(capsys):
    with pytest.raises(SystemExit):
        call_command("run_simulator", "--help")
    shown = capsys.readouterr().out
    documented = (ROOT / "docs" / "simulator.md").read_text()
    for digits, behaviour in BEHAVIOURS.items():
        assert f"{digits}  {behaviour.summary}" in shown
        assert f"| `{digits}` | {behaviour.summary} |" in documented


def test_a_taken_port_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "manage.py", "run_simulator", "--host", "127.0.0.1", "--port", port]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(
        rf"CommandError: .*cannot start on 127.0.0.1:{port}: .*address already in use.*\n", ended.stderr
    )
