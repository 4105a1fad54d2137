"""Inbound messages over HTTP: stored before they are answered, or refused by name (messaging/views/carrier.py)."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from accounts.models import User
from messaging.models import HttpInbound, InboundPart, Route
from messaging.services.http_inbound import hash_secret
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.scene import NUMBER, hold_number
from tests.messaging.inbound_scene import PHONE, receive

SECRET = "s3cret-of-the-carrier-0123456789"
URL = f"/carrier/test/inbound/{SECRET}"
MESSAGE = {"from": PHONE, "to": NUMBER, "text": "Grüße 🦊", "id": "m-1"}


@pytest.fixture
def webhook(client_member: Member) -> HttpInbound:
    hold_number(client_member)
    return HttpInbound.objects.create(route=Route.objects.get(code="test"), secret_hash=hash_secret(SECRET))


def post(values: Any, url: str = URL) -> Any:
    return Client().post(url, json.dumps(values), content_type="application/json")


def test_json_and_forms_are_stored_and_answered(webhook: HttpInbound):
    assert post(MESSAGE).status_code == 200
    assert Client().post(URL + "/", MESSAGE | {"id": "m-2", "text": "A form"}).status_code == 200
    encoded = "from=%2B61412345678&to=61480000001&text=caf%C3%A9&id=m-3"
    assert Client().post(URL, encoded, content_type="application/x-www-form-urlencoded").status_code == 200

    assert [(m.sender, m.recipient, m.text) for m in receive()] == [
        (PHONE, NUMBER, "Grüße 🦊"), (PHONE, NUMBER, "A form"), (PHONE, NUMBER, "café"),
    ]  # fmt: skip
    assert set(InboundPart.objects.values_list("carrier_id", flat=True)) == {"m-1", "m-2", "m-3"}


def test_a_call_that_comes_again_makes_one_message(webhook: HttpInbound):
    for _ in range(3):
        assert post(MESSAGE).status_code == 200
    assert len(receive()) == 1


def test_field_names_are_the_carriers_own(webhook: HttpInbound):
    HttpInbound.objects.update(
        list_field="data.messages", sender_field="source.number", recipient_field="destination", text_field="body",
        id_field="uuid", reference_field="concat.ref", total_field="concat.total", sequence_field="concat.part",
    )  # fmt: skip
    one = {"source": {"number": 61412345678}, "destination": NUMBER, "body": "one", "uuid": 7}
    parts = [
        one | {"body": text, "uuid": part, "concat": {"ref": "r9", "total": "2", "part": part}}
        for part, text in ((2, "and this"), (1, "This "))
    ]
    assert post({"data": {"messages": [one, *parts]}}).status_code == 200
    assert {(m.sender, m.text, m.parts) for m in receive()} == {(PHONE, "one", 1), (PHONE, "This and this", 2)}


@pytest.mark.parametrize(
    "url",
    ["/carrier/test/inbound/wrong", "/carrier/other/inbound/" + SECRET, "/carrier/test/inbound/" + hash_secret(SECRET)],
)
def test_a_wrong_secret_or_route_is_404_and_stores_nothing(webhook: HttpInbound, url: str):
    assert post(MESSAGE, url).status_code == 404
    assert not InboundPart.objects.exists()


def test_a_webhook_that_is_off_or_has_no_secret_opens_to_nobody(webhook: HttpInbound):
    HttpInbound.objects.update(is_enabled=False)
    assert post(MESSAGE).status_code == 404
    HttpInbound.objects.update(is_enabled=True, secret_hash="")
    assert post(MESSAGE).status_code == 404
    assert Client().get(URL).status_code == 405


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"from": None}, "from is missing."),
        ({"to": ""}, "to is empty."),
        ({"to": "1" * 22}, f"to is {'1' * 22}, longer than 21 characters."),
        ({"text": ["a"]}, "text is neither text nor a number."),
        ({"text": "x" * 40_000}, "text has 40,000 characters; at most 39,015 are taken."),
    ],
)
def test_what_cannot_be_read_is_named_and_stores_nothing(webhook: HttpInbound, change: dict[str, Any], words: str):
    answer = post([MESSAGE | {"id": "fine"}, MESSAGE | change])
    assert (answer.status_code, answer.content.decode()) == (400, words + "\n")
    assert not InboundPart.objects.exists()


@pytest.mark.parametrize("body", ["{", '"text"', "[1]", "[" * 100_000])
def test_json_that_is_none_is_refused(webhook: HttpInbound, body: str):
    assert Client().post(URL, body, content_type="application/json").status_code == 400


def test_text_that_no_database_can_store_is_stored_without_it(webhook: HttpInbound):
    raw = json.dumps(MESSAGE | {"text": "a\0b\ud83d!"})
    assert Client().post(URL, raw, content_type="application/json").status_code == 200
    [message] = receive()
    assert message.text == "ab\ufffd!"


def test_while_the_database_is_away_the_carrier_is_asked_to_come_again(webhook: HttpInbound, monkeypatch):
    def fail(*_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("messaging.views.carrier.take_call", fail)
    answer = post(MESSAGE)
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")


# --- Staff ---------------------------------------------------------------------------------------------------------

FIELDS = {
    "is_enabled": "on", "list_field": "", "sender_field": "from", "recipient_field": "to", "text_field": "text",
    "id_field": "id", "reference_field": "", "total_field": "", "sequence_field": "",
}  # fmt: skip


@pytest.fixture
def staff(client_member: Member, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def test_staff_set_up_a_webhook_and_see_its_address_once(staff: Client, client_member: Member):
    route = Route.objects.get(code="test")
    page = staff.post("/admin/messaging/httpinbound/add/", FIELDS | {"route": route.pk, "secret": ""}, follow=True)
    shown = page.content.decode()
    address = shown.split("http://testserver/carrier/test/inbound/")[1].split(".")[0]
    assert post(MESSAGE, f"/carrier/test/inbound/{address}").status_code == 200
    assert address not in staff.get(f"/admin/messaging/httpinbound/{route.pk}/change/").content.decode()
    assert HttpInbound.objects.get().secret_hash == hash_secret(address)

    staff.post(f"/admin/messaging/httpinbound/{route.pk}/change/", FIELDS | {"secret": ""})
    assert HttpInbound.objects.get().secret_hash == hash_secret(address)
    staff.post(f"/admin/messaging/httpinbound/{route.pk}/change/", FIELDS | {"secret": SECRET})
    assert post(MESSAGE).status_code == 200
    assert post(MESSAGE, f"/carrier/test/inbound/{address}").status_code == 404


def test_a_weak_secret_and_half_named_parts_are_refused(staff: Client, client_member: Member):
    route = Route.objects.get(code="test")
    page = staff.post(
        "/admin/messaging/httpinbound/add/",
        FIELDS | {"route": route.pk, "secret": "too/short", "reference_field": "ref"},
    )
    shown = page.content.decode()
    assert "The secret has 9 characters; use at least 20" in shown
    assert shown.count("Name all three fields of parts, or none.") == 2
    assert not HttpInbound.objects.exists()
