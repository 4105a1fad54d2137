import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import requests
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from billing import tasks
from billing.models import LedgerTransaction, PaymentEvent, TopUp
from billing.selectors import balance_of
from billing.services.payment_events import process_event, sweep_events
from billing.services.topups import start_topup
from reseller.stripe_double.webhooks import signature
from tests.cast import Member
from tests.stripe_double import WEBHOOK_SECRET, Double, Webhook, running_double

URL = "/billing/webhooks/stripe/"
D = Decimal


def start(member: Member, amount: str = "50") -> TopUp:
    return start_topup(account=member.account, amount=D(amount), actor=member.user)


def post(hook: Webhook) -> int:
    """Deliver as Stripe does: no session, no CSRF token."""
    browser = Client(enforce_csrf_checks=True)
    return browser.post(
        URL, hook.payload, content_type="application/json", headers={"Stripe-Signature": hook.signature}
    ).status_code


def process_all() -> None:
    for event_id in PaymentEvent.objects.order_by("pk").values_list("event_id", flat=True):
        process_event(event_id)


def available(member: Member) -> Decimal:
    return balance_of(member.account).available


def type_of(hook: Webhook) -> str:
    return json.loads(hook.payload)["type"]


def changed(hook: Webhook, **values: Any) -> Webhook:
    """The same event with other values in its object, under a new id and with a good signature."""
    event = json.loads(hook.payload)
    event["id"] += "_changed"
    event["data"]["object"] |= values
    payload = json.dumps(event).encode()
    return Webhook(payload, signature(payload, WEBHOOK_SECRET, int(time.time())))


@pytest.fixture
def paid(double: Double, client_member: Member) -> TopUp:
    """A top-up of 50.00 that is paid at the double; its three webhooks wait in the inbox, none is delivered."""
    topup = start(client_member)
    double.pay(topup.session_id)
    double.received(3)
    return topup


def test_a_webhook_is_stored_answered_and_credited_by_the_task(
    double: Double, paid: TopUp, client_member: Member
) -> None:
    assert [post(hook) for hook in double.inbox] == [200, 200, 200]
    assert PaymentEvent.objects.filter(processed_at=None).count() == 3
    assert available(client_member) == D(10)
    process_all()
    assert PaymentEvent.objects.filter(processed_at=None).count() == 0
    assert available(client_member) == D("60.000000")
    paid.refresh_from_db()
    assert (paid.state, paid.card) == ("paid", "Visa 4242")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_any_order_of_the_events_credits_once(
    double: Double, paid: TopUp, client_member: Member, order: tuple[int, ...]
) -> None:
    for index in order:
        assert post(double.inbox[index]) == 200
        process_all()
    assert available(client_member) == D(60)
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1


def test_an_event_that_comes_five_times_is_stored_and_credited_once(
    double: Double, paid: TopUp, client_member: Member
) -> None:
    for _ in range(5):
        for hook in double.inbox:
            assert post(hook) == 200
        process_all()
    assert PaymentEvent.objects.count() == 3
    assert available(client_member) == D(60)
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1


def test_payment_after_expiry_was_told_is_credited(double: Double, paid: TopUp, client_member: Member) -> None:
    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    event = json.loads(session.payload)
    event |= {"id": "evt_expired", "type": "checkout.session.expired"}
    event["data"]["object"] |= {"status": "expired", "payment_status": "unpaid"}
    payload = json.dumps(event).encode()
    assert post(Webhook(payload, signature(payload, WEBHOOK_SECRET, int(time.time())))) == 200
    process_all()
    paid.refresh_from_db()
    assert paid.state == "expired"
    assert post(session) == 200
    process_all()
    assert available(client_member) == D(60)


def test_expiry_told_after_payment_changes_nothing(double: Double, paid: TopUp, client_member: Member) -> None:
    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    post(session)
    process_all()
    event = json.loads(session.payload) | {"id": "evt_expired", "type": "checkout.session.expired"}
    payload = json.dumps(event).encode()
    post(Webhook(payload, signature(payload, WEBHOOK_SECRET, int(time.time()))))
    process_all()
    paid.refresh_from_db()
    assert paid.state == "paid"
    assert available(client_member) == D(60)


@pytest.mark.parametrize("values", [{"amount_total": 500000}, {"amount_total": 4999}, {"currency": "usd"}])
def test_a_signed_event_of_another_amount_is_flagged_and_not_credited(
    double: Double, paid: TopUp, client_member: Member, values: dict[str, Any]
) -> None:
    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    assert post(changed(session, **values)) == 200
    process_all()
    paid.refresh_from_db()
    assert paid.state == "disputed"
    assert available(client_member) == D(10)
    assert "not credited" in PaymentEvent.objects.get().error


def test_a_completed_session_that_is_not_paid_yet_credits_nothing(
    double: Double, paid: TopUp, client_member: Member
) -> None:
    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    assert post(changed(session, payment_status="unpaid")) == 200
    process_all()
    paid.refresh_from_db()
    assert paid.state == "pending"
    assert available(client_member) == D(10)


@pytest.mark.parametrize("given", ["", "t=1,v1=00", "t=1"])
def test_a_bad_signature_is_400_and_stores_nothing(
    double: Double, paid: TopUp, client_member: Member, given: str
) -> None:
    assert post(Webhook(double.inbox[0].payload, given)) == 400
    changed_amount = double.inbox[2].payload.replace(b"5000", b"9000")
    assert post(Webhook(changed_amount, double.inbox[2].signature)) == 400
    assert not PaymentEvent.objects.exists()
    assert available(client_member) == D(10)


def test_only_post_is_answered(db: None) -> None:
    assert Client().get(URL).status_code == 405


def test_an_event_about_something_else_is_stored_and_done(double: Double, paid: TopUp) -> None:
    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    assert post(changed(session, client_reference_id="ELSEWHERE")) == 200
    process_all()
    event = PaymentEvent.objects.get()
    assert event.processed_at is not None
    assert event.error == "no top-up ELSEWHERE"


def test_a_declined_card_keeps_the_page_open_and_says_why(double: Double, client_member: Member) -> None:
    topup = start(client_member)
    double.pay(topup.session_id, "4000 0000 0000 0002")
    for hook in double.received(2):
        post(hook)
    process_all()
    topup.refresh_from_db()
    assert (topup.state, topup.error) == ("pending", "Your card was declined.")
    double.pay(topup.session_id)
    for hook in double.received(5):
        post(hook)
    process_all()
    topup.refresh_from_db()
    assert topup.state == "paid"
    assert available(client_member) == D(60)


def test_a_broker_that_is_away_loses_nothing(
    double: Double, paid: TopUp, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kombu.exceptions import OperationalError

    def away(event_id: str) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.process_payment_event, "delay", away)
    assert [post(hook) for hook in double.inbox] == [200, 200, 200]
    now = timezone.now()
    assert sweep_events(now) == 0
    assert sweep_events(now + timedelta(seconds=31)) == 3
    assert available(client_member) == D(60)


def test_an_error_is_kept_on_the_event_and_the_sweep_tries_again(
    double: Double, paid: TopUp, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.services import topups

    session = next(hook for hook in double.inbox if type_of(hook) == "checkout.session.completed")
    post(session)
    event = PaymentEvent.objects.get()
    with monkeypatch.context() as broken:
        broken.setattr(topups.card_movements, "credit_card_payment", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            process_event(event.event_id)
        assert sweep_events(timezone.now() + timedelta(minutes=1)) == 0
    event.refresh_from_db()
    assert (event.processed_at, event.attempts, event.error) == (None, 2, "ZeroDivisionError: division by zero")
    assert available(client_member) == D(10)
    assert sweep_events(timezone.now() + timedelta(minutes=1)) == 1
    event.refresh_from_db()
    assert event.error == ""
    assert available(client_member) == D(60)


def test_one_event_in_many_workers_at_once_credits_once(
    committed_db: object, double: Double, client_member: Member, run_together: Any
) -> None:
    topup = start(client_member)
    double.pay(topup.session_id)
    for hook in double.received(3):
        assert post(hook) == 200
    ids = list(PaymentEvent.objects.values_list("event_id", flat=True))
    outcomes = run_together(6, lambda index: process_event(ids[index % 3]))
    assert outcomes == [None] * 6
    assert available(client_member) == D(60)
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@pytest.fixture
def portal(committed_db: object) -> Iterator[str]:
    """The portal behind a real socket."""

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return get_wsgi_application()(environ, start_response)
        finally:
            connections.close_all()

    with make_server("127.0.0.1", 0, application, ThreadingServer, QuietHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def wait_for_events(count: int) -> None:
    deadline = time.monotonic() + 10
    while PaymentEvent.objects.count() < count:
        assert time.monotonic() < deadline, f"{PaymentEvent.objects.count()} of {count} events came"
        time.sleep(0.05)


def test_over_real_sockets_held_reversed_and_repeated_webhooks_credit_once(
    portal: str, client_member: Member, settings: Settings
) -> None:
    with running_double(webhook_url=portal + URL) as double:
        settings.STRIPE_API_BASE = double.url
        topup = start(client_member)
        double.hold()
        card = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
        answer = requests.post(topup.checkout_url, data=card, allow_redirects=False, timeout=5)
        assert (answer.status_code, answer.headers["Location"]) == (
            303,
            f"http://testserver/billing/topups/{topup.code}/?returned=paid",
        )
        assert not PaymentEvent.objects.exists()
        assert [sent["status"] for sent in double.release(order="reverse")] == [200, 200, 200]
        wait_for_events(3)
        process_all()
        events = double.events(topup.code)
        assert all(event["delivered"] for event in events)
        assert [double.send(event["id"]) for event in events] == [200, 200, 200]
        process_all()
    assert PaymentEvent.objects.count() == 3
    assert available(client_member) == D(60)
