"""The Stripe double inside a test process: real HTTP, real signatures, and an inbox for what it sends."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from aiohttp import web

from reseller.stripe_double.app import build_app

SECRET_KEY = "sk_test_for_tests_only"
WEBHOOK_SECRET = "whsec_for_tests_only"


@dataclass
class Webhook:
    """One delivery as it came over the wire."""

    payload: bytes
    signature: str


@dataclass
class Double:
    """A running double; ``inbox`` holds its deliveries unless webhooks go elsewhere."""

    url: str = ""
    inbox: list[Webhook] = field(default_factory=list)
    # What the inbox answers; a list is used up, its last status stays.
    answers: list[int] = field(default_factory=lambda: [200])

    def pay(self, session_id: str, number: str = "4242 4242 4242 4242") -> dict[str, Any]:
        """Pay a session as the hosted page would."""
        return self._post(f"/_double/sessions/{session_id}/pay", number=number)

    def hold(self) -> None:
        self._post("/_double/hold")

    def release(self, order: str = "") -> Any:
        return self._post(f"/_double/release?order={order}")

    def send(self, event_id: str) -> int:
        return self._post(f"/_double/events/{event_id}/send")["status"]

    def events(self, reference: str = "") -> list[dict[str, Any]]:
        query = f"?reference={reference}" if reference else ""
        return requests.get(f"{self.url}/_double/events{query}", timeout=30).json()

    def received(self, count: int) -> list[Webhook]:
        """Wait until ``count`` deliveries have come."""
        deadline = time.monotonic() + 10
        while len(self.inbox) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.inbox)} webhooks came, not {count}")
            time.sleep(0.01)
        return self.inbox

    def pay_slowly(self, session_id: str) -> dict[str, Any]:
        """Finish the page with a payment that the bank has not made yet."""
        return self._post(f"/_double/sessions/{session_id}/pay", slowly="1")

    def finish(self, session_id: str, outcome: str) -> dict[str, Any]:
        """Say what became of a slow payment: succeeded or failed."""
        return self._post(f"/_double/sessions/{session_id}/finish", outcome=outcome)

    def refund(self, payment_intent: str, amount: int = 0) -> dict[str, Any]:
        """Refund in Stripe's own dashboard, in minor units; 0 = everything that is left."""
        return self._post(f"/_double/payment_intents/{payment_intent}/refund", amount=str(amount or ""))

    def fail_refund(self, refund_id: str) -> dict[str, Any]:
        return self._post(f"/_double/refunds/{refund_id}/fail")

    def dispute(self, payment_intent: str, inquiry: str = "") -> str:
        """Contest a payment; answers the dispute's id."""
        return self._post(f"/_double/payment_intents/{payment_intent}/dispute", inquiry=inquiry)["id"]

    def decide(self, dispute_id: str, deed: str) -> dict[str, Any]:
        """escalate, win or lose a dispute."""
        return self._post(f"/_double/disputes/{dispute_id}/{deed}")

    def approve(self, payment_intent: str, answer: str = "yes") -> dict[str, Any]:
        """The customer's answer to the bank."""
        return self._post(f"/_double/payment_intents/{payment_intent}/approve", answer=answer)

    def change_card(self, payment_method: str, number: str) -> dict[str, Any]:
        """Let a kept card behave as another test card."""
        return self._post(f"/_double/payment_methods/{payment_method}", number=number)

    def _post(self, path: str, **data: str) -> Any:
        answer = requests.post(self.url + path, data=data, timeout=10)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running_double(webhook_url: str = "") -> Iterator[Double]:
    """Run a double in a thread; webhooks go to ``webhook_url``, by default into the inbox."""
    double, loop, ready = Double(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        inbox = web.Application()
        inbox.router.add_post("/hook", _inbox_of(double))
        inbox_runner, inbox_port = await _start(inbox)
        target = webhook_url or f"http://127.0.0.1:{inbox_port}/hook"
        app = build_app(secret_key=SECRET_KEY, webhook_secret=WEBHOOK_SECRET, webhook_url=target)
        runner, port = await _start(app)
        double.url = f"http://127.0.0.1:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()
        await inbox_runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise TimeoutError("the double did not start")
    try:
        yield double
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def _inbox_of(double: Double) -> Any:
    async def take(request: web.Request) -> web.Response:
        payload = await request.read()
        double.inbox.append(Webhook(payload, request.headers["Stripe-Signature"]))
        status = double.answers.pop(0) if len(double.answers) > 1 else double.answers[0]
        return web.Response(status=status)

    return take


async def _start(app: web.Application) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]
