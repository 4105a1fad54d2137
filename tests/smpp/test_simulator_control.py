"""The simulator's phones and its control port: what they show, and that a text is never lost on its way to a client."""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from smpp.client import ClientConfig, ClientSession, Submit
from smpp.control import ControlError, NoSimulator, ask
from smpp.journal import TextPart
from smpp.phones import MAX_MESSAGES, MAX_PHONES, Phones
from smpp.simulator import Simulator, read_journal
from smpp.text import decode_payload, encode_parts
from tests.loops import run_scenario
from tests.smpp.simulator_process import ROOT
from tests.smpp.test_client import Inbox, until

PHONE, NUMBER = "+61491570156", "+61480000001"


@asynccontextmanager
async def carrier(state=None, **options):
    async with Simulator(state=state, control_port=0, retry_seconds=0.05, receipt_delay=0.02, **options) as running:
        yield running


async def bind(port: int, inbox: Inbox, **options) -> ClientSession:
    config = ClientConfig("127.0.0.1", port, "relay", "simulator", **options)
    return await ClientSession.connect(config, inbox.take, inbox.closed.append)


async def command(simulator: Simulator, **values):
    return await asyncio.to_thread(ask, simulator.control_port, **values)


def arrived(inbox: Inbox) -> list:
    return [deliver for batch in inbox.batches for deliver in batch if not deliver.tlvs]


def read(delivers: list) -> str:
    """The text of one message's parts, by their sequence."""
    parts = [decode_payload(one.data_coding, one.esm_class, one.payload) for one in delivers]
    return "".join(text for text, _ in sorted(parts, key=lambda part: part[1].sequence if part[1] else 0))


def test_a_phone_shows_what_it_received_with_its_sender_and_long_messages_in_one_piece():
    long = "Long text. " * 30

    async def scenario():
        async with carrier() as simulator:
            session = await bind(simulator.port, Inbox())
            await session.submit(Submit("Shop", PHONE, encode_parts("Hello £", 1)[0]))
            for part in reversed(encode_parts(long, 7)):
                await session.submit(Submit("+61480000001", PHONE, part))
            answer = await command(simulator, do="messages", phone=PHONE)
            phones = await command(simulator, do="phones")
            await session.close()
        return answer["messages"], phones["phones"]

    messages, phones = run_scenario(scenario())
    assert [(one["other"], one["text"], one["parts"]) for one in messages] == [
        ("Shop", "Hello £", 1), ("+61480000001", long, 3),
    ]  # fmt: skip
    assert [one["is_sent"] for one in messages] == [False, False]
    assert phones == [PHONE]


@pytest.mark.parametrize(("digits", "shown"), [("0001", 0), ("0002", 0), ("0003", 0), ("0005", 1), ("0009", 1)])
def test_what_is_not_delivered_does_not_show_on_the_phone(digits, shown):
    async def scenario():
        async with carrier() as simulator:
            session = await bind(simulator.port, Inbox())
            await session.submit(Submit("Shop", f"+6140000{digits}", encode_parts("Hello", 1)[0]))
            answer = await command(simulator, do="messages", phone=f"+6140000{digits}")
            await session.close()
        return answer["messages"]

    assert len(run_scenario(scenario())) == shown


@pytest.mark.parametrize(
    ("text", "parts"),
    [("join", 1), ("“é” 😀", 1), ("a" * 161, 2), ("日本語" * 60, 3)],
    ids=["gsm", "ucs2", "long", "long-ucs2"],
)
def test_a_text_reaches_the_client_whole_and_is_shown_as_taken(text, parts):
    async def scenario():
        async with carrier() as simulator:
            inbox = Inbox()
            session = await bind(simulator.port, inbox)
            await command(simulator, do="text", phone=PHONE, to=NUMBER, text=text)
            await until(lambda: len(arrived(inbox)) == parts)
            await until(lambda: simulator.phones.messages(PHONE)[0]["is_taken"])
            await session.close()
            return arrived(inbox), simulator.phones.messages(PHONE)

    delivers, (shown,) = run_scenario(scenario())
    assert {(one.source, one.destination) for one in delivers} == {(PHONE, NUMBER)}
    assert read(delivers) == text
    assert (shown["is_sent"], shown["other"], shown["text"], shown["parts"]) == (True, NUMBER, text, parts)


def test_a_short_code_is_texted_as_one():
    async def scenario():
        async with carrier() as simulator:
            inbox = Inbox()
            session = await bind(simulator.port, inbox)
            simulator.text(PHONE, "12345", "vote")
            await until(lambda: arrived(inbox))
            await session.close()
            return arrived(inbox)[0].destination

    assert run_scenario(scenario()) == "12345"


def test_a_text_waits_for_a_receiver_and_comes_again_until_it_is_acknowledged():
    async def scenario():
        async with carrier() as simulator:
            transmitter = await bind(simulator.port, Inbox(), bind="transmitter")
            simulator.text(PHONE, NUMBER, "hello")
            inbox = Inbox()
            inbox.problem = RuntimeError("not stored")
            receiver = await bind(simulator.port, inbox)
            await asyncio.sleep(0.12)
            assert not simulator.phones.messages(PHONE)[0]["is_taken"]
            inbox.problem = None
            await until(lambda: simulator.phones.messages(PHONE)[0]["is_taken"])
            await transmitter.close()
            await receiver.close()
            return [deliver.payload for deliver in arrived(inbox)]

    assert run_scenario(scenario()) == [b"hello"]


def test_a_simulator_that_starts_again_delivers_what_nobody_took_and_shows_its_phones_as_before(tmp_path):
    async def scenario():
        async with carrier(tmp_path) as simulator:
            session = await bind(simulator.port, Inbox())
            await session.submit(Submit("Shop", PHONE, encode_parts("Reply YES", 1)[0]))
            await session.close()
            simulator.text(PHONE, NUMBER, "yes " * 50)
        async with carrier(tmp_path) as simulator:
            shown = simulator.phones.messages(PHONE)
            inbox = Inbox()
            session = await bind(simulator.port, inbox)
            await until(lambda: len(arrived(inbox)) == 2)
            await until(lambda: simulator.phones.messages(PHONE)[1]["is_taken"])
            await session.close()
        async with carrier(tmp_path) as simulator:
            return shown, arrived(inbox), simulator.phones.messages(PHONE), read_journal(tmp_path)

    shown, delivers, last, journal = run_scenario(scenario())
    assert [(one["is_sent"], one["text"], one["is_taken"]) for one in shown] == [
        (False, "Reply YES", True), (True, "yes " * 50, False),
    ]  # fmt: skip
    assert read(delivers) == "yes " * 50
    assert last[1]["is_taken"]
    assert {part.key for part in journal.texted} == journal.taken
    assert len(journal.taken) == 2


def test_memory_is_bounded_per_phone_and_in_phones():
    phones = Phones()
    part = encode_parts("x", 1)[0]
    for number in range(MAX_MESSAGES + 5):
        phones.send(TextPart(str(number), 1, 0.0, PHONE, NUMBER, *part))
    assert len(phones.messages(PHONE)) == MAX_MESSAGES
    assert phones.messages(PHONE)[-1]["id"] == str(MAX_MESSAGES + 4)
    for number in range(MAX_PHONES):
        phones.send(TextPart("t", 1, 0.0, f"+614{number:08d}", NUMBER, *part))
    assert phones.messages(PHONE) == []
    assert phones.latest(2) == [f"+614{MAX_PHONES - 1:08d}", f"+614{MAX_PHONES - 2:08d}"]


@pytest.mark.parametrize(
    ("command_line", "words"),
    [
        ("POST / HTTP/1.1", "no command"),
        ("[]", "no command"),
        ("{}", "no command"),
        ('{"do": "drop"}', "There is no command 'drop'"),
        ('{"do": "messages", "phone": "nobody"}', "'nobody' is no number"),
        ('{"do": "text", "phone": "+61400000000", "to": "12", "text": "x"}', "'12' is no number"),
        ('{"do": "text", "phone": "+61400000000", "to": "12345", "text": ""}', "Enter the text"),
        (json.dumps({"do": "text", "phone": "+61400000000", "to": "12345", "text": "x" * 39_016}), "at most 255"),
    ],
    ids=["http", "list", "nothing", "unknown", "phone", "number", "text", "long"],
)
def test_what_is_no_command_is_refused_in_a_sentence_and_ends_the_connection(command_line, words):
    def speak(port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"{command_line}\n".encode())
            with connection.makefile() as lines:
                return lines.readlines()

    async def scenario():
        async with carrier() as simulator:
            return await asyncio.to_thread(speak, simulator.control_port)

    (line,) = run_scenario(scenario())
    assert words in json.loads(line)["error"]


def test_only_this_machine_reaches_the_control_port_and_only_where_it_was_asked_for():
    async def scenario():
        async with Simulator(host="0.0.0.0", control_port=0) as simulator:  # noqa: S104
            listening = [one.getsockname()[0] for one in simulator._control._listener.sockets]
        async with Simulator() as without:
            return listening, without.control_port

    assert run_scenario(scenario()) == (["127.0.0.1"], 0)


def test_a_simulator_that_is_not_there_and_a_refusal_are_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoSimulator, match=f"does not answer on port {port}"):
        ask(port, do="phones")

    async def scenario():
        async with carrier() as simulator:
            with pytest.raises(ControlError, match="is no number") as refusal:
                await command(simulator, do="messages", phone="x")
            assert not isinstance(refusal.value, NoSimulator)

    run_scenario(scenario())


def test_the_command_prints_where_the_control_port_is():
    process = subprocess.Popen(
        [sys.executable, "-m", "smpp.simulator", "--port", "0", "--control-port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        process.stdout.readline()
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        assert ask(port, do="phones") == {"phones": []}
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(10) == 0
