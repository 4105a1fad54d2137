"""Sending over HTTP: requests, answers, what is lost when something dies, and receipts that come back."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.encryption import CannotDecrypt, decrypt, encrypt
from accounts.models import User
from messaging.connectors.http_session import check_address
from messaging.http_models import PRESETS
from messaging.models import HttpConnector, Message, Receipt, Route, SmppConnector
from messaging.services.http_sending import Answer, HttpLine, Meaning, Outgoing, build_request, read_answer
from messaging.services.receipts import apply_waiting
from tests.billing.services import balance_of
from tests.cast import PASSWORD, Member
from tests.engines import ROOT
from tests.loops import run_scenario
from tests.messaging.carrier import connectors, do_work, in_thread, states, work_until
from tests.messaging.http_carrier import HttpCarrier, KannelCarrier, http_carrier
from tests.messaging.rows import AU, accept

MESSAGE = Outgoing("0199-1", "+61412345678", "Shop & Co", "Größe + {sender}")
SECRET = "receipts-0123456789"


def connect(url: str, preset: str = "transmit", **values) -> HttpConnector:
    """Let the test route's messages go to this address."""
    fields = PRESETS.get(preset, {}) | {"username": "me", "password": "s3cret-pass", "receipt_secret": SECRET} | values
    return HttpConnector.objects.create(route=Route.objects.get(code="test"), preset=preset, url=url, **fields)


def plain_line(**values) -> HttpLine:
    fields: dict[str, Any] = {
        "url": "https://c.example/send?x=1", "headers": "", "password": "p:w", "receipt_url": "https://us.example/r",
        "method": "POST", "body": "form", "parameters": '{"to": "{recipient}", "text": "{text}"}', "username": "u",
        "uses_basic_auth": False, "window": 5, "timeout_seconds": 5, "success_path": "", "success_values": "",
        "id_path": "", "error_path": "", "retry_codes": "", "retry_statuses": "429,503",
    } | values  # fmt: skip
    return HttpLine(**fields)


def test_requests_are_built_from_templates_whose_values_are_taken_literally():
    form = build_request(plain_line(uses_basic_auth=True, headers="X-A: {id}\nX-B: b"), MESSAGE)
    assert form.body == b"to=%2B61412345678&text=Gr%C3%B6%C3%9Fe+%2B+%7Bsender%7D"
    assert (form.headers["X-A"], form.headers["X-B"], form.headers["Authorization"]) == (
        "0199-1",
        "b",
        "Basic dTpwOnc=",
    )
    template = '{"messages": [{"to": "{digits}", "n": 1}], "from": "{sender}", "coding": "{coding}"}'
    sent = build_request(plain_line(body="json", parameters=template), MESSAGE)
    assert json.loads(sent.body or b"") == {
        "messages": [{"to": "61412345678", "n": 1}], "from": "Shop & Co", "coding": "0"
    }  # fmt: skip
    asked = build_request(plain_line(method="GET", body="query"), MESSAGE._replace(text="🦊"))
    assert asked[:2] == ("GET", "https://c.example/send?x=1&to=%2B61412345678&text=%F0%9F%A6%8A")
    assert asked.body is None


TRANSMIT, KANNEL = PRESETS["transmit"], PRESETS["kannel"]
RULES = ("success_path", "success_values", "id_path", "error_path", "retry_codes", "retry_statuses")


@pytest.mark.parametrize(
    ("preset", "status", "body", "expected"),
    [
        (TRANSMIT, 200, '{"message_id": 42, "error": {"code": "SUCCESS"}}', Answer(Meaning.TAKEN, "42")),
        (TRANSMIT, 400, '{"error": {"code": "FIELD_INVALID"}}', (Meaning.REFUSED, "", "FIELD_INVALID")),
        (TRANSMIT, 200, '{"error": {"code": "FIELD_EMPTY"}}', (Meaning.REFUSED, "", "FIELD_EMPTY")),
        (TRANSMIT, 400, '{"error": {"code": "OVER_LIMIT"}}', (Meaning.BUSY, "", "OVER_LIMIT")),
        (TRANSMIT, 401, '{"error": {"code": "AUTH_FAILED"}}', (Meaning.LATER, "", "HTTP 401")),
        (TRANSMIT, 302, "", (Meaning.LATER, "", "HTTP 302")),
        (TRANSMIT, 500, "oops", Answer(Meaning.UNCLEAR)),
        (TRANSMIT, 200, "<html>", Answer(Meaning.UNCLEAR)),
        (KANNEL, 202, "0: Accepted for delivery", Answer(Meaning.TAKEN, "our-id")),
        (KANNEL, 202, "3: Queued for later delivery", Answer(Meaning.TAKEN, "our-id")),
        (KANNEL, 503, "Temporal failure, try again later.", (Meaning.BUSY, "", "Temporal failure, tr")),
        (KANNEL, 400, "Invalid receiver", (Meaning.REFUSED, "", "Invalid receiver")),
    ],
)
def test_answers_mean_what_the_preset_says(preset, status, body, expected):
    line = plain_line(**{name: preset.get(name, "") for name in RULES})
    answer = read_answer(line, status, body.encode(), "our-id")
    assert (answer if isinstance(expected, Answer) else answer[:3]) == expected


def test_every_answer_of_a_carrier_over_http_ends_in_its_state(committed_db, client_member: Member, settings):
    settings.SITE_URL = "https://portal.example"
    endings = ["0001", "0003", "0004", "0005", "0006", "1234"]
    final = {
        "0001": "rejected",
        "0003": "unknown",
        "0004": "unknown",
        "0006": "unknown",
        "0005": "sent",
        "1234": "sent",
    }

    async def scenario(carrier: HttpCarrier) -> None:
        await in_thread(lambda: connect(carrier.url, timeout_seconds=1))
        await in_thread(lambda: accept(client_member, [f"+6141234{one}" for one in endings], text="Hi " * 60))
        async with connectors():
            await work_until(lambda: states() == final)

    with http_carrier() as carrier:
        run_scenario(scenario(carrier))
    assert {digits: carrier.times(digits) for digits in endings} == dict.fromkeys(endings, 1) | {"0005": 2}
    assert carrier.asked[0]["authorization"] == "Basic bWU6czNjcmV0LXBhc3M="
    assert carrier.asked[0]["dlr_callback"] == f"https://portal.example/carrier/test/receipts/{SECRET}"
    refused = Message.objects.get(recipient="+61412340001")
    assert (refused.error_code, refused.reason) == ("RECIPIENTS_ERROR", "The carrier refused the message.")

    browser, url = Client(), reverse("messaging:carrier-receipts", kwargs={"code": "test", "secret": SECRET})
    answer = browser.get(url, {"message_id": "7001234", "status": "delivered", "mobile": "61412341234"})
    assert answer.status_code == 200
    rows = [{"message_id": 7000005, "status": "hard-bounce"}, {"message_id": 7000005, "status": "pending"}]
    assert browser.post(url, rows, content_type="application/json").status_code == 200
    apply_waiting(100)
    do_work()
    assert states() == final | {"1234": "delivered", "0005": "undelivered"}
    assert Receipt.objects.filter(message=None).count() == 0
    # 6 × 2 parts × 0.07: two captured, one released, three unknown and held.
    assert (balance_of(client_member.account).held, balance_of(client_member.account).available) == (
        Decimal("0.42"), Decimal("9.30")
    )  # fmt: skip


def test_a_carrier_that_takes_get_is_asked_once_and_brings_its_receipts(committed_db, client_member: Member, settings):
    """Kannel's preset, and a connection that breaks (0004), after which HTTP libraries repeat a GET by themselves."""
    settings.SITE_URL = "https://portal.example"
    final = {"0001": "rejected", "0004": "unknown", "0005": "sent", "1234": "sent", "1235": "sent"}

    async def scenario(carrier: HttpCarrier) -> None:
        await in_thread(lambda: connect(carrier.url, "kannel", window=1))
        await in_thread(lambda: accept(client_member, [f"+6141234{one}" for one in final], text="Grüße 🦊"))
        async with connectors():
            await work_until(lambda: states() == final)

    with http_carrier(KannelCarrier) as carrier:
        run_scenario(scenario(carrier))
    assert {digits: carrier.times(digits) for digits in final} == dict.fromkeys(final, 1) | {"0005": 2}
    asked = next(one for one in carrier.asked if one["to"] == "+61412341234")
    assert (asked["username"], asked["password"], asked["text"], asked["coding"]) == (
        "me", "s3cret-pass", "Grüße 🦊", "2"
    )  # fmt: skip
    receipts = asked["dlr-url"].removeprefix("https://portal.example").replace("%d", "1")
    assert Client().get(receipts).status_code == 200
    apply_waiting(100)
    assert states() == final | {"1234": "delivered"}


def test_what_was_not_written_goes_back_and_the_route_is_down(committed_db, client_member: Member):
    with http_carrier() as carrier:
        url = carrier.url
    connect(url)
    accept(client_member, [AU])

    async def scenario() -> None:
        async with connectors():
            await work_until(lambda: Route.objects.filter(statuses__state="down").exists())
            await asyncio.sleep(0)

    run_scenario(scenario())
    message = Message.objects.get()
    assert (message.state, message.attempts) == ("released", 0)


@pytest.mark.usefixtures("client_member")
def test_a_killed_connector_leaves_only_what_it_had_asked_as_unknown(
    committed_db, client_member: Member, tmp_path: Path
):
    with http_carrier() as carrier, (tmp_path / "log").open("wb") as log:
        connect(carrier.url, timeout_seconds=60, window=1)
        accept(client_member, ["+61412340003", "+61412341111"])
        command = [sys.executable, "manage.py", "run_connectors"]
        process = subprocess.Popen(command, cwd=ROOT, env=committed_db.env, stdout=log, stderr=log)
        try:
            do_work()
            carrier.wait_for("0003")
            assert states() == {"0003": "sending", "1111": "released"}
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

        async def scenario() -> None:
            async with connectors():
                await work_until(lambda: states() == {"0003": "unknown", "1111": "sent"})

        run_scenario(scenario())
        assert (carrier.times("0003"), carrier.times("1111")) == (1, 1)


def test_receipts_are_for_who_knows_the_secret_and_name_what_is_missing(db, client_member: Member):
    connect("http://127.0.0.1:9/", preset="kannel")
    url = reverse("messaging:carrier-receipts", kwargs={"code": "test", "secret": SECRET})
    assert Client().get(url.replace(SECRET, "wrong"), {"id": "1", "status": "1"}).status_code == 404
    refused = Client().post(url, {"status": "1"})
    assert (refused.status_code, refused.content) == (400, b"id is missing.\n")
    assert Client().get(url, {"id": "1", "status": "8"}).status_code == 200
    assert Receipt.objects.get().status == "ACCEPTD"


def test_credentials_are_kept_encrypted(db, client_member: Member, settings):
    connector = connect("https://c.example/", headers="X-Key: abc")
    smpp = SmppConnector.objects.create(
        route=Route.objects.create(code="s", name="S"), host="h", system_id="s", password="smpp-pw"
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT password, headers, receipt_secret FROM messaging_httpconnector")
        kept = cursor.fetchone()
        cursor.execute("SELECT password FROM messaging_smppconnector")
        kept += cursor.fetchone()
    assert [decrypt(one) for one in kept] == ["s3cret-pass", "X-Key: abc", SECRET, "smpp-pw"]
    assert not any(word in one for one in kept for word in ("s3cret", "abc", "smpp-pw"))
    connector.refresh_from_db()
    smpp.refresh_from_db()
    assert (connector.password, smpp.password) == ("s3cret-pass", "smpp-pw")
    old = encrypt("x")
    other = "dGVzdC1vbmx5LW5vLXNlY3JldC0wMTIzNDU2Nzg5MDE="
    settings.CREDENTIAL_KEYS = [other, *settings.CREDENTIAL_KEYS]
    assert decrypt(old) == "x"
    settings.CREDENTIAL_KEYS = [other]
    with pytest.raises(CannotDecrypt):
        decrypt(old)
    with pytest.raises(TypeError, match="cannot be searched for"):
        SmppConnector.objects.filter(password="smpp-pw").exists()


def test_carriers_in_private_networks_need_a_setting(settings):
    check_address("127.0.0.1")
    settings.PRIVATE_CARRIERS = False
    for address in ("127.0.0.1", "10.1.2.3", "::1", "169.254.169.254"):
        with pytest.raises(OSError, match="PRIVATE_CARRIERS"):
            check_address(address)
    check_address("93.184.215.14")


def test_staff_choose_a_preset_and_then_change_it(db, client_member: Member, log_in):
    browser = log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))
    route = Route.objects.get(code="test")
    values = {
        "route": route.pk,
        "preset": "transmit",
        "username": "me",
        "password": "pw-123456",
        "url": "ftp://c.example",
    }
    add = reverse("admin:messaging_httpconnector_add")
    assert "ftp://c.example is no address" in browser.post(add, values).content.decode()
    answer = browser.post(add, values | {"url": "https://c.example/send-sms.json"})
    made = HttpConnector.objects.get()
    assert answer["Location"] == reverse("admin:messaging_httpconnector_change", args=[made.pk])
    assert (made.id_path, made.password, made.uses_basic_auth) == ("message_id", "pw-123456", True)
    page = browser.get(answer["Location"])
    text = page.content.decode()
    assert f"/carrier/test/receipts/{made.receipt_secret}" in text
    assert "pw-123456" not in text
    assert "{\n  &quot;to&quot;: &quot;{digits}&quot;,\n" in text  # a name a line
    assert "what changes with each message: {recipient}, {digits}," in text

    form = page.context["adminform"].form
    kept = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    wrong = {"parameters": '{"to": "{number}"}', "id_path": "re:(", "retry_statuses": "200", "body": "query"}
    told = browser.post(answer["Location"], kept | {"password": ""} | wrong).content.decode()
    for sentence in ("{number} is not known", "cannot be read", "200 is no HTTP status of a refusal"):
        assert sentence in told
    saved = browser.post(answer["Location"], kept | {"password": "", "headers": "X-Key: 1", "window": "20"})
    assert saved.status_code == 302
    made.refresh_from_db()
    assert (made.password, made.headers, made.window) == ("pw-123456", "X-Key: 1", 20)
