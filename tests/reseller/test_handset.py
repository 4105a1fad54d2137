"""HANDSET: a phone of the simulator in the browser, and that it exists nowhere else."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from contacts.models import Contact
from smpp.client import ClientConfig, ClientSession, Submit
from smpp.control import ask
from smpp.text import encode_parts
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.scene import NUMBER, OTHER_NUMBER, OTHER_PHONE, PHONE, hold_number, put_keyword
from tests.loops import run_scenario
from tests.messaging.rows import words
from tests.smpp.simulator_process import SimulatorProcess
from tests.smpp.test_client import Inbox

HTMX = {"HX-Request": "true"}


@dataclass
class Carrier:
    port: int
    control_port: int

    def submit(self, phone: str, text: str, sender: str = "Shop") -> None:
        """Send a message to the phone, as the portal would."""

        async def scenario() -> None:
            config = ClientConfig("127.0.0.1", self.port, "relay", "simulator")
            session = await ClientSession.connect(config, Inbox().take, lambda reason: None)
            for part in encode_parts(text, 1):
                await session.submit(Submit(sender, phone, part))
            await session.close()

        run_scenario(scenario())

    def screen(self, phone: str) -> list[dict[str, Any]]:
        return ask(self.control_port, do="messages", phone=phone)["messages"]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carrier]:
    with SimulatorProcess(tmp_path_factory.mktemp("simulator"), "--control-port", "0") as running:
        line = running.process.stdout.readline()
        yield Carrier(running.port, int(line.rsplit(":", 1)[1]))


@pytest.fixture
def carrier(process: Carrier, settings: Any) -> Carrier:
    """A running simulator that this portal knows of."""
    settings.SIMULATOR_CONTROL_PORT = process.control_port
    return process


@pytest.fixture
def fresh_phone() -> Callable[[], str]:
    """Numbers that no other test has used: the simulator outlives them."""
    counter = iter(range(10))
    base = time.time_ns() // 1000 % 10_000 * 10
    return lambda: f"+61412{base + next(counter):05d}9"


def page_of(browser: Client, **query: str) -> str:
    answer = browser.get(reverse("handset"), query)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


@pytest.mark.parametrize("name", ["handset", "handset-screen", "handset-text"])
def test_nothing_of_it_exists_outside_development(
    name: str, carrier: Carrier, client_member: Member, log_in: LogIn, settings
):
    settings.DEVELOPMENT = False
    browser = log_in(client_member.user)
    assert browser.get(reverse(name)).status_code == 404
    assert browser.post(reverse(name), {"phone": PHONE, "to": NUMBER, "text": "x"}).status_code == 404
    assert carrier.screen(PHONE) == []


@pytest.mark.parametrize("port", [0, 9])
def test_it_is_not_there_without_a_simulator_nor_while_none_answers(
    port: int, client_member: Member, log_in: LogIn, settings
):
    settings.SIMULATOR_CONTROL_PORT = port
    answer = log_in(client_member.user).get(reverse("handset"))
    assert answer.status_code == 404


def test_every_page_links_to_it_where_it_exists_only(carrier: Carrier, client_member: Member, log_in: LogIn, settings):
    browser = log_in(client_member.user)
    assert browser.get("/settings/").content.count(b'href="/handset/"') == 2
    settings.SIMULATOR_CONTROL_PORT = 0
    assert b"handset" not in browser.get("/settings/").content


def test_a_visitor_logs_in_first(carrier: Carrier):
    assert Client().get("/handset/")["Location"] == "/login/?next=/handset/"
    answer = Client().get("/handset/screen/", {"phone": PHONE}, headers=HTMX)
    assert (answer["HX-Refresh"], answer.content) == ("true", b"")


def test_it_offers_the_accounts_people_and_the_numbers_below_it(
    carrier: Carrier, client_member: Member, reseller: Member, outsider: Member, log_in: LogIn
):
    Contact.objects.create(account=client_member.account, number=PHONE, first_name="Ada", last_name="Byron")
    number = hold_number(client_member)
    put_keyword(client_member, number, "JOIN")
    put_keyword(client_member, number, "CLOSED", status="closed")
    hold_number(outsider, OTHER_NUMBER)
    page = words(page_of(log_in(client_member.user)))
    assert "Ada Byron +61 491 570 156" in page
    assert f"+61 480 000 001 {client_member.account.name} Try JOIN STOP" in page
    assert "CLOSED" not in page
    assert "+61 480 000 002" not in page
    assert "+61 480 000 001" in words(page_of(log_in(reseller.user)))
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")
    assert "+61 480 000 002" in words(page_of(log_in(staff)))


def test_the_screen_shows_what_the_number_received(
    carrier: Carrier, client_member: Member, log_in: LogIn, fresh_phone: Callable[[], str]
):
    phone, browser = fresh_phone(), log_in(client_member.user)
    page = page_of(browser, phone=phone)
    assert "No messages yet" in page
    poll = unescape(re.search(r'hx-get="(.*?)"', page)[1])
    assert browser.get(poll, headers=HTMX).status_code == 204
    carrier.submit(phone, "Reply <YES> to win 😀" * 5)
    fragment = browser.get(poll, headers=HTMX)
    assert fragment.status_code == 200
    shown = words(unescape(fragment.content.decode()))
    assert "Shop" in shown
    assert "Reply <YES> to win 😀" * 5 in unescape(fragment.content.decode())
    assert "· 2 parts" in shown
    assert browser.get(poll)["Location"].startswith("/handset/?phone=%2B61412")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_text_is_sent_to_the_number_and_shown_as_sent(
    carrier: Carrier, client_member: Member, log_in: LogIn, fresh_phone: Callable[[], str], headers: dict[str, str]
):
    hold_number(client_member)
    phone, browser = fresh_phone(), log_in(client_member.user)
    answer = browser.post("/handset/text/", {"phone": phone, "to": NUMBER, "text": "join\r\nnow"}, headers=headers)
    (sent,) = carrier.screen(phone)
    assert (sent["is_sent"], sent["other"], sent["text"]) == (True, NUMBER, "join\nnow")
    if headers:
        page = unescape(answer.content.decode())
        assert 'hx-swap-oob="true"' in page
        assert "join\nnow" in page.split('id="screen"')[1]
        assert re.search(r"<textarea [^>]*>\s*</textarea>", page)
    else:
        assert answer["Location"] == f"/handset/?phone=%2B{phone[1:]}&to=%2B{NUMBER[1:]}"
    assert "Sending…" in page_of(browser, phone=phone)


def test_a_phone_can_answer_whichever_number_wrote_to_it(
    carrier: Carrier, client_member: Member, log_in: LogIn, fresh_phone: Callable[[], str]
):
    phone, browser = fresh_phone(), log_in(client_member.user)
    carrier.submit(phone, "Hello", sender="+61480000099")
    carrier.submit(phone, "Hello", sender="Shop")
    assert re.findall(r'<option value="(.*?)"', page_of(browser, phone=phone)) == ["+61480000099"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": ""}, "Enter the text of the message."),
        ({"text": "x" * 1001}, "at most 1000 characters (it has 1001)"),
        ({"to": OTHER_PHONE}, "Nobody has this number any more"),
    ],
)
def test_what_cannot_be_sent_is_said_at_its_field_and_nothing_typed_is_lost(
    carrier: Carrier, client_member: Member, log_in: LogIn, fresh_phone: Callable[[], str], values, problem
):
    hold_number(client_member)
    phone = fresh_phone()
    typed = {"phone": phone, "to": NUMBER, "text": "kept words"} | values
    page = unescape(log_in(client_member.user).post("/handset/text/", typed).content.decode())
    assert problem in page
    assert f"{typed['text']}</textarea>" in page
    assert carrier.screen(phone) == []


def test_a_phone_is_any_number_and_nonsense_is_named(carrier: Carrier, client_member: Member, log_in: LogIn):
    browser = log_in(client_member.user)
    assert "+61 412 345 678" in words(page_of(browser, phone="0412 345 678"))
    page = page_of(browser, phone="hello")
    assert "hello is no mobile number: Contains letters" in words(page)
    assert 'value="hello"' in page
    assert browser.get("/handset/screen/", {"phone": "hello"}, headers=HTMX).status_code == 404
