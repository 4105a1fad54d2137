"""Delivery of events: signed, and sent again with growing pauses until the portal takes them."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time

import aiohttp

from reseller.stripe_double import payments
from reseller.stripe_double.state import State

# Seconds before the next attempt; the last one repeats, so a portal that was down hears within 10 s of its return.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
ANSWER_WITHIN_SECONDS = 15


def signature(payload: bytes, secret: str, at: int) -> str:
    """The Stripe-Signature header for a body sent at `at` (seconds since the epoch)."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


class Courier:
    """Sends what the state says is due; `nudge` wakes it after a change."""

    def __init__(self, state: State, url: str, secret: str) -> None:
        self.state, self.url, self.secret = state, url, secret
        self._changed = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def nudge(self) -> None:
        """Look again at what is due, and store the state."""
        self.state.save()
        self._changed.set()

    async def run(self) -> None:
        """Deliver for ever; also closes sessions whose time is over."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_SECONDS)) as http:
            self.http = http
            while True:
                if payments.expire_due(self.state):
                    self.state.save()
                self._start_due()
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), timeout=0.2)

    def _start_due(self) -> None:
        if self.state.held:
            return
        for event_id in self.pending():
            if self.state.deliveries[event_id].next_at <= time.time() and event_id not in self._under_way:
                self._under_way[event_id] = asyncio.create_task(self._attempt(event_id))

    def pending(self) -> list[str]:
        """Ids of the events that the portal has not taken yet, oldest first."""
        return [key for key, delivery in self.state.deliveries.items() if not delivery.delivered_at]

    async def _attempt(self, event_id: str) -> None:
        try:
            await self.send(event_id)
        finally:
            del self._under_way[event_id]
        delivery = self.state.deliveries[event_id]
        if not delivery.delivered_at:
            delivery.next_at = time.time() + PAUSES[min(delivery.attempts, len(PAUSES)) - 1]
        self.state.save()

    async def send(self, event_id: str) -> int:
        """Send one event now, delivered before or not; answers the portal's status, 0 when it cannot be reached."""
        payload = json.dumps(self.state.events[event_id]).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, self.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (local double)",
        }
        delivery = self.state.deliveries[event_id]
        delivery.attempts += 1
        try:
            async with self.http.post(self.url, data=payload, headers=headers, allow_redirects=False) as answer:
                status, delivery.last_answer = answer.status, str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            status, delivery.last_answer = 0, f"{type(error).__name__}: {error}"
        if 200 <= status < 300:
            delivery.delivered_at = time.time()
        return status
