"""Posts to customers' servers: signed, retried, only to the public internet (messaging/services/inbound_calls.py)."""

import hashlib
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.models import Conversation, InboundAction
from messaging.services import inbound_calls, outgoing_http
from messaging.services.inbound_actions import do_waiting
from messaging.services.inbound_calls import make_calls
from messaging.services.outgoing_http import NotDelivered, is_public, post, resolve
from tests.cast import Member
from tests.keywords.scene import NUMBER, hold_number, put_keyword, set_number
from tests.messaging.inbound_scene import OTHER_PHONE, PHONE, bring, receive
from tests.messaging.receiver import Receiver, receiving
from virtual_numbers.models import NumberSettings, VirtualNumber

SECRET = "the-accounts-own-secret"


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def _local(settings):
    settings.LOCAL_WEBHOOKS = True


def state() -> tuple[str, int, str]:
    action = InboundAction.objects.get()
    return action.state, action.attempts, action.error


def due_again() -> None:
    InboundAction.objects.filter(state="waiting").update(next_try_at=timezone.now() - timedelta(minutes=1))


def test_a_message_is_posted_signed(client_member: Member, number: VirtualNumber, receiver: Receiver):
    put_keyword(client_member, number, "Café", forward_url=receiver.url, webhook_secret=SECRET)
    bring("cafe 🦊", to=NUMBER)
    [message] = receive()
    do_waiting(10)
    assert receiver.calls == []  # another worker's affair

    assert make_calls() == 1
    assert make_calls() == 0

    [(path, headers, body)] = receiver.calls
    assert path == "/hook?a=1"
    signed = headers["X-Relay-Timestamp"].encode() + b"." + body
    assert headers["X-Relay-Signature"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert abs(int(headers["X-Relay-Timestamp"]) - time.time()) < 60
    assert headers["X-Relay-Id"] == str(InboundAction.objects.get().pk)
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "event": "inbound", "message": str(message.pk), "received_at": message.received_at.isoformat(), "from": PHONE,
        "to": NUMBER, "text": "cafe 🦊", "parts": 1, "missing_parts": 0, "keyword": "Café", "opt": "",
        "conversation": Conversation.objects.get().code,
    }  # fmt: skip
    assert state() == ("done", 1, "")


def test_a_post_that_is_not_taken_is_tried_again_later_and_later(number: VirtualNumber, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    bring("Hi", to=NUMBER)
    receive()
    receiver.status = 500
    waits = []
    for _ in range(inbound_calls.MAX_ATTEMPTS):
        make_calls()
        waits.append((InboundAction.objects.get().next_try_at - timezone.now()).total_seconds())
        assert make_calls() == 0
        due_again()
    assert [round(wait, -1) for wait in waits[:5]] == [10, 20, 40, 80, 160]
    assert max(waits) < 3601
    assert state() == ("failed", 14, "Given up after 14 attempts. 127.0.0.1 answered 500.")
    assert len(receiver.calls) == 14
    assert {headers["X-Relay-Id"] for _, headers, _ in receiver.calls} == {str(InboundAction.objects.get().pk)}


def test_a_server_that_is_back_gets_what_waited(number: VirtualNumber, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    bring("Hi", to=NUMBER)
    receive()
    receiver.status = 503
    make_calls()
    assert state() == ("waiting", 1, "127.0.0.1 answered 503.")
    receiver.status = 204
    due_again()
    make_calls()
    assert state() == ("done", 2, "")


def test_a_redirect_is_not_followed(number: VirtualNumber, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    receiver.status, receiver.location = 302, receiver.url
    bring("Hi", to=NUMBER)
    receive()
    make_calls()
    assert len(receiver.calls) == 1
    assert state()[2] == "127.0.0.1 answered 302: redirects are not followed; enter the final address."


def test_without_a_secret_nothing_is_posted(number: VirtualNumber, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    bring("Hi", to=NUMBER)
    receive()
    NumberSettings.objects.update(webhook_secret="")
    make_calls()
    assert receiver.calls == []
    assert state()[0] == "skipped"


def test_one_account_has_a_few_places_of_a_round(client_member: Member, reseller: Member, number, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    set_number(hold_number(reseller, "+61480000009"), forward_url=receiver.url, webhook_secret=SECRET)
    for _ in range(20):
        bring("Hi", to=NUMBER)
    bring("Hi", to="+61480000009")
    receive()
    assert make_calls() == inbound_calls.PER_ACCOUNT + 1
    assert InboundAction.objects.filter(account=reseller.account, state="done").count() == 1


def test_a_worker_that_dies_in_a_round_only_delays_it(number: VirtualNumber, receiver: Receiver):
    set_number(number, forward_url=receiver.url, webhook_secret=SECRET)
    bring("Hi", to=NUMBER, sender=OTHER_PHONE)
    receive()
    assert len(inbound_calls._take()) == 1  # and nothing more: as after kill -9
    assert make_calls() == 0
    InboundAction.objects.update(next_try_at=timezone.now() - timedelta(seconds=1))
    assert make_calls() == 1
    assert state() == ("done", 1, "")


# --- Only the public internet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:4136::1",
    ],
)  # fmt: skip
def test_private_addresses_are_not_public(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_internet_are(address: str):
    assert is_public(ipaddress.ip_address(address))


def looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(outgoing_http, "look_up", lambda host, port: list(addresses))


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.0.0.1:1/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/"]
)
def test_addresses_of_this_machine_are_refused_in_every_spelling(url: str, settings, receiver: Receiver):
    settings.LOCAL_WEBHOOKS = False
    with pytest.raises(NotDelivered, match="is not on the public internet"):
        post(url, b"{}", {})


def test_a_name_with_one_private_address_is_refused(settings, monkeypatch):
    settings.LOCAL_WEBHOOKS = False
    looked_up(monkeypatch, "93.184.216.34", "10.0.0.1")
    with pytest.raises(NotDelivered, match=r"shop\.example is not on the public internet"):
        resolve("https://shop.example/hook")


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch, receiver: Receiver):
    looked_up(monkeypatch, "127.0.0.1")
    assert post(f"http://shop.example:{receiver.port}/hook", b"{}", {}) == 200
    assert receiver.calls[0][1]["Host"] == f"shop.example:{receiver.port}"


@pytest.mark.parametrize(
    "url", ["ftp://shop.example/", "https://", "file:///etc/passwd", "http://me:pw@shop.example/", "http://[bad/", "x"]
)
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(NotDelivered):
        resolve(url)


def test_a_header_cannot_be_smuggled_in_by_the_url(monkeypatch, receiver: Receiver):
    looked_up(monkeypatch, "127.0.0.1")
    assert post(f"http://shop.example:{receiver.port}/a b\r\nX-Evil: 1?q=ü", b"{}", {}) == 200
    assert "X-Evil" not in receiver.calls[0][1]


def test_a_server_that_answers_a_byte_at_a_time_is_given_up(monkeypatch, receiver: Receiver):
    monkeypatch.setattr(outgoing_http, "TOTAL_SECONDS", 1.0)
    receiver.stalls = True
    began = time.monotonic()
    with pytest.raises(NotDelivered, match="did not answer within 1 seconds"):
        post(receiver.url, b"{}", {})
    assert time.monotonic() - began < 5


def failures() -> list[tuple[Any, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    return [
        (f"http://127.0.0.1:{closed}/", f"127.0.0.1 refused the connection on port {closed}."),
        ("http://no-such-name.invalid/", "The name no-such-name.invalid cannot be found."),
    ]


def test_failures_are_told_in_words(receiver: Receiver):
    for url, words in failures():
        with pytest.raises(NotDelivered) as refusal:
            post(url, b"{}", {})
        assert str(refusal.value) == words
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.1 could not be reached or broke off"):
        post(receiver.url.replace("http:", "https:"), b"{}", {})  # no TLS there
