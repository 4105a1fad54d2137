"""The Stripe double as a process of its own: its start, its rules, its page, its patience, its memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from stripe import WebhookSignature

from reseller.stripe_double import forms
from reseller.stripe_double.payments import SHORTEST_LIFE_SECONDS
from tests.stripe_double import SECRET_KEY, WEBHOOK_SECRET, Double, running_double

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {
    "ENVIRONMENT": "development",
    "STRIPE_SECRET_KEY": SECRET_KEY,
    "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "SITE_URL": "http://127.0.0.1:9",
}
COMMAND = [sys.executable, "-m", "reseller.stripe_double"]


@contextmanager
def process(*options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The double as its own process on a free port; yields its address."""
    child = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], cwd=ROOT, env=os.environ | ENVIRONMENT | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip().removeprefix("Stripe double on "), child
    finally:
        child.kill()
        child.wait()


def refusal(*options: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "--port", "0", *options], cwd=ROOT, env=os.environ | ENVIRONMENT | environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def parameters(**changes: str) -> dict[str, str]:
    values = {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "aud",
        "line_items[0][price_data][unit_amount]": "5000",
        "line_items[0][price_data][product_data][name]": "Credit for <Client> & Co",
        "client_reference_id": "T1",
        "payment_intent_data[metadata][reference]": "T1",
        "customer_email": "client@test.example",
        "success_url": "http://portal.example/ok?id={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://portal.example/no",
    }
    return values | changes


def create(url: str, key: str = SECRET_KEY, idempotency: str = "", **changes: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"} | ({"Idempotency-Key": idempotency} if idempotency else {})
    return requests.post(f"{url}/v1/checkout/sessions", data=parameters(**changes), headers=headers, timeout=30)


def retrieve(url: str, path: str) -> dict[str, Any]:
    return requests.get(f"{url}/v1/{path}", headers={"Authorization": f"Bearer {SECRET_KEY}"}, timeout=30).json()


def health(url: str) -> dict[str, Any]:
    return requests.get(f"{url}/health", timeout=30).json()


@pytest.fixture
def double() -> Iterator[Double]:
    with running_double() as running:
        yield running


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ENVIRONMENT": "production"}, "runs only where ENVIRONMENT is development"),
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is not set"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"SITE_URL": ""}, "SITE_URL is not set"),
    ],
)
def test_it_refuses_to_start_in_one_clear_sentence(environment: dict[str, str], words: str) -> None:
    code, complaint = refusal(**environment)
    assert code == 1
    assert words in complaint
    assert len(complaint.splitlines()) == 1


def test_a_taken_port_is_named() -> None:
    with process() as (url, _):
        port = url.rpartition(":")[2]
        code, complaint = refusal("--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in complaint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with process() as (url, child):
        assert health(url) == {"status": "ok", "undelivered": 0}
        child.send_signal(number)
        assert child.wait(10) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_it_remembers_sessions_keys_and_undelivered_events_across_a_kill(tmp_path: Path) -> None:
    state = str(tmp_path / "deep" / "state.json")
    with process("--state", state) as (url, child):
        session = create(url, idempotency="k1").json()
        requests.post(f"{url}/_double/sessions/{session['id']}/pay", timeout=30)
        open_session = create(url).json()
        child.kill()
        child.wait()
    with running_double() as inbox:
        target = f"{inbox.url}/health"  # answers POST with 405: still undelivered
        with process("--state", state, "--webhook-url", target) as (url, _):
            assert health(url)["undelivered"] == 3
            assert retrieve(url, f"checkout/sessions/{session['id']}")["payment_status"] == "paid"
            assert retrieve(url, f"checkout/sessions/{open_session['id']}")["status"] == "open"
            assert create(url, idempotency="k1").json()["id"] == session["id"]


@pytest.mark.parametrize("key", ["", "sk_test_wrong"])
def test_a_wrong_key_is_401(double: Double, key: str) -> None:
    answer = create(double.url, key=key)
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "Invalid API Key provided.")
    assert answer.headers["Request-Id"].startswith("req_")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"mode": "subscription"}, "mode"),
        ({"success_url": "/ok"}, "success_url"),
        ({"customer_email": "nobody"}, "customer_email"),
        ({"line_items[0][price_data][unit_amount]": "50.5"}, "line_items[0][price_data][unit_amount]"),
        ({"line_items[0][price_data][currency]": "AUD"}, "line_items[0][price_data][currency]"),
        ({"expires_at": "12"}, "expires_at"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_parameters_are_refused_by_name(double: Double, changes: dict[str, str], param: str) -> None:
    answer = create(double.url, **changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_too_small_an_amount_is_refused(double: Double) -> None:
    assert create(double.url, **{"line_items[0][price_data][unit_amount]": "49"}).status_code == 400


def test_an_idempotency_key_replays_and_refuses_other_parameters(double: Double) -> None:
    first, again = create(double.url, idempotency="k"), create(double.url, idempotency="k")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    other = create(double.url, idempotency="k", client_reference_id="T2")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")


def test_the_hosted_page_shows_the_amount_and_escapes_what_it_is_given(double: Double) -> None:
    page = requests.get(create(double.url).json()["url"], timeout=30)
    assert "TEST DOUBLE" in page.text
    assert "50.00 AUD" in page.text
    assert "Credit for &lt;Client&gt; &amp; Co" in page.text
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"number": "4000 0000 0000 0002"}, "Your card was declined."),
        ({"number": "4000 0000 0000 9995"}, "insufficient funds"),
        ({"number": "4242 4242 4242 4241"}, "Your card number is invalid."),
        ({"number": "4111 1111 1111 1111"}, "Use one of the test cards"),
        ({"expiry": "01/20"}, "expiration date is in the past"),
        ({"expiry": "13/40"}, "expiration date is incomplete"),
        ({"cvc": "1"}, "security code is incomplete"),
    ],
)
def test_a_card_that_is_no_good_keeps_the_page_with_the_reason(
    double: Double, card: dict[str, str], words: str
) -> None:
    session = create(double.url).json()
    form = {"number": "4242 4242 4242 4242", "expiry": "12 / 34", "cvc": "123"} | card
    answer = requests.post(session["url"], data=form, allow_redirects=False, timeout=30)
    assert answer.status_code == 200
    assert words in answer.text
    assert retrieve(double.url, f"checkout/sessions/{session['id']}")["payment_status"] == "unpaid"


def test_paying_goes_back_to_the_shop_once_and_for_all(double: Double) -> None:
    session = create(double.url).json()
    form = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
    answers = [requests.post(session["url"], data=form, allow_redirects=False, timeout=30) for _ in range(2)]
    back = f"http://portal.example/ok?id={session['id']}"
    assert [(a.status_code, a.headers["Location"]) for a in answers] == [(303, back)] * 2
    paid = retrieve(double.url, f"checkout/sessions/{session['id']}?expand[]=payment_intent.latest_charge")
    intent = paid["payment_intent"]
    assert (paid["status"], intent["amount_received"], intent["status"]) == ("complete", 5000, "succeeded")
    assert intent["latest_charge"]["payment_method_details"]["card"] == {
        "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034
    }  # fmt: skip
    assert retrieve(double.url, f"payment_intents/{intent['id']}")["metadata"] == {"reference": "T1"}
    types = [json.loads(hook.payload)["type"] for hook in double.received(3)]
    assert sorted(types) == ["charge.succeeded", "checkout.session.completed", "payment_intent.succeeded"]


def test_a_session_expires_by_itself_and_its_page_says_so(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    from reseller.stripe_double import payments

    monkeypatch.setattr(payments, "SHORTEST_LIFE_SECONDS", 0)
    session = create(double.url, expires_at=str(int(time.time()) + 1)).json()
    event = json.loads(double.received(1)[0].payload)
    assert (event["type"], event["data"]["object"]["id"]) == ("checkout.session.expired", session["id"])
    page = requests.get(session["url"], timeout=30)
    assert (page.status_code, "has expired" in page.text) == (410, True)
    assert SHORTEST_LIFE_SECONDS == 1800


def test_webhooks_are_signed_as_stripe_signs_them(double: Double) -> None:
    double.pay(create(double.url).json()["id"])
    for hook in double.received(3):
        assert WebhookSignature.verify_header(hook.payload, hook.signature, WEBHOOK_SECRET, tolerance=300)


def test_webhooks_are_sent_again_until_they_are_taken(double: Double) -> None:
    double.answers[:] = [500, 503, 404, 200]
    session = create(double.url).json()
    requests.post(f"{double.url}/v1/checkout/sessions/{session['id']}/expire",
                  headers={"Authorization": f"Bearer {SECRET_KEY}"}, timeout=30)  # fmt: skip
    assert len({hook.payload for hook in double.received(4)}) == 1
    deadline = time.monotonic() + 5
    while health(double.url)["undelivered"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (event,) = double.events("T1")
    assert (event["delivered"], event["attempts"], event["last_answer"]) == (True, 4, "200")


def test_webhooks_can_be_held_reversed_and_sent_again(double: Double) -> None:
    double.hold()
    double.pay(create(double.url).json()["id"])
    events = double.events("T1")
    assert [event["delivered"] for event in events] == [False] * 3
    assert double.inbox == []
    released = double.release(order="reverse")
    assert [one["id"] for one in released] == [event["id"] for event in reversed(events)]
    assert double.send(events[0]["id"]) == 200
    assert [json.loads(hook.payload)["id"] for hook in double.inbox] == [
        *(event["id"] for event in reversed(events)), events[0]["id"]
    ]  # fmt: skip


def test_stripes_form_encoding_is_read_as_a_tree() -> None:
    pairs = [("a[0][b][c]", "1"), ("a[1][b][c]", "2"), ("expand[]", "x"), ("expand[]", "y"), ("mode", "payment")]
    assert forms.decode(pairs) == {
        "a": [{"b": {"c": "1"}}, {"b": {"c": "2"}}], "expand": ["x", "y"], "mode": "payment"
    }  # fmt: skip
