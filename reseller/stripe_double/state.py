"""What the double remembers: sessions, payments, events and which of them are still to be delivered."""

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Delivered events and finished sessions beyond these many are forgotten, so that a file kept for months stays small.
KEEP_EVENTS = 600
KEEP_SESSIONS = 200


def new_id(prefix: str) -> str:
    """An id as Stripe's look: `cs_test_…`, `pi_…`, `evt_…`."""
    return prefix + secrets.token_hex(14)


@dataclass
class Delivery:
    """How far the delivery of one event has come; times are seconds since the epoch."""

    attempts: int = 0
    next_at: float = 0.0
    delivered_at: float = 0.0
    last_answer: str = ""


@dataclass
class State:
    """Everything the double knows; `save` writes it to `file` when there is one."""

    file: Path | None = None
    held: bool = False
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path | None) -> "State":
        """Read the state file, or begin empty. Raises ValueError for a file that is no state of ours."""
        if file is None or not file.exists():
            return cls(file=file)
        stored = json.loads(file.read_text())
        deliveries = {key: Delivery(**value) for key, value in stored.pop("deliveries", {}).items()}
        return cls(file=file, deliveries=deliveries, **stored)

    def save(self) -> None:
        """Write the state so that a crash leaves either the old file or the new one."""
        if self.file is None:
            return
        self._forget_old()
        stored = {key: value for key, value in vars(self).items() if key not in ("file", "deliveries")}
        stored["deliveries"] = {key: asdict(value) for key, value in self.deliveries.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(stored))
        os.replace(temporary, self.file)

    def _forget_old(self) -> None:
        done = [key for key, delivery in self.deliveries.items() if delivery.delivered_at]
        for key in done[:-KEEP_EVENTS]:
            del self.deliveries[key], self.events[key]
        finished = [key for key, session in self.sessions.items() if session["status"] != "open"]
        for key in finished[:-KEEP_SESSIONS]:
            intent_id = self.sessions.pop(key).get("_intent_id", "")
            self.intents.pop(intent_id, None)
            for charge_id in [c["id"] for c in self.charges.values() if c["payment_intent"] == intent_id]:
                del self.charges[charge_id]
        for key in list(self.answers)[:-KEEP_SESSIONS]:
            del self.answers[key]

    def find(self, object_id: str) -> dict[str, Any] | None:
        """The session, payment, charge, customer, card, refund or dispute with this id."""
        tables = (self.sessions, self.intents, self.charges, self.customers, self.methods, self.refunds, self.disputes)
        return next((table[object_id] for table in tables if object_id in table), None)

    def emit(self, kind: str, body: dict[str, Any]) -> str:
        """Record an event about `body` as it is now, to be delivered; answers the event's id."""
        event_id = new_id("evt_")
        self.events[event_id] = {
            "id": event_id,
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "data": {"object": json.loads(json.dumps(body))},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.deliveries[event_id] = Delivery()
        return event_id
