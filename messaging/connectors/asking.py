"""Asking a carrier what became of messages whose answer was lost (query_sm), where it is known to answer that.

Only what has an id at the carrier can be asked about: long messages of which some parts were answered, and those whose
answer was recorded too late. It is asked by the id of its own answer (SMPP 3.4, 4.8.1). What it says is stored as a
receipt, with the id in the form of that carrier's receipts, and goes their way.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from messaging.connectors.database import Database, DatabaseAway
from smpp.client import AnswerLost, ClientSession, NotSent, PduError
from smpp.query import QueryAnswer
from smpp.receipt_ids import as_in_receipt
from smpp.receipts import ReceiptStatus

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0  # seconds between two questions about the same
MOST = 1000  # looked at in one go

_OPEN = """
    SELECT m.carrier_id, m.sender, m.recipient, c.receipt_id_format
    FROM messaging_message m JOIN messaging_smppconnector c ON c.route_id = m.route_id AND c.supports_query
    WHERE m.route_id = %(route)s AND m.state = 'unknown' AND m.carrier_id <> ''
      AND NOT EXISTS (SELECT FROM messaging_messagepart p WHERE p.message_id = m.id)
    UNION ALL
    SELECT p.carrier_id, m.sender, m.recipient, c.receipt_id_format
    FROM messaging_message m JOIN messaging_messagepart p ON p.message_id = m.id AND p.state = ''
    JOIN messaging_smppconnector c ON c.route_id = m.route_id AND c.supports_query
    WHERE m.route_id = %(route)s AND m.state = 'unknown'
    LIMIT %(most)s
"""
_STORE = """
    INSERT INTO messaging_receipt (route_id, carrier_id, status, error_code, recipient, raw)
    VALUES (%s, %s, %s, %s, %s, 'The answer to query_sm.')
"""


class Open(NamedTuple):
    """A message, or a part of one, that the carrier can be asked about."""

    carrier_id: str
    sender: str
    recipient: str
    id_format: str


@dataclass(slots=True)
class _Asked:
    """When to ask again, after which pause, and what was said last."""

    at: float = 0.0
    pause: float = FIRST_PAUSE
    said: str = ""


class Asker:
    """Asks on one bind's sessions for as long as they last; remembers over sessions what it has asked."""

    def __init__(self, route_id: int, name: str, on_receipts: Callable[[], None]) -> None:
        self._route_id = route_id
        self._on_receipts = on_receipts
        self._asked: dict[str, _Asked] = {}
        self._database = Database(f"connector {name} asks")

    async def ask_all(self, session: ClientSession) -> None:
        """Look for what can be asked until cancelled or the session ends."""
        while True:
            try:
                await self._ask_round(session)
            except (NotSent, AnswerLost):
                return
            except DatabaseAway as error:
                log.warning("connector.asks_later", route=self._route_id, detail=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        await self._database.close()

    async def _ask_round(self, session: ClientSession) -> None:
        values = {"route": self._route_id, "most": MOST}
        found = [Open(*row) for row in await self._database.fetch(_OPEN, values)]
        self._asked = {one.carrier_id: self._asked.get(one.carrier_id, _Asked()) for one in found}
        for one in found:
            asked = self._asked[one.carrier_id]
            if time.monotonic() >= asked.at:
                asked.at, asked.pause = time.monotonic() + asked.pause, min(LONGEST_PAUSE, asked.pause * 2)
                await self._ask(session, one, asked)

    async def _ask(self, session: ClientSession, one: Open, asked: _Asked) -> None:
        try:
            answer = await session.query(one.carrier_id, one.sender)
        except PduError as error:
            log.warning("connector.cannot_ask", route=self._route_id, carrier_id=one.carrier_id, detail=str(error))
            return
        if _says_nothing(answer) or asked.said == answer.state:
            return
        code = f"{answer.error_code:03d}" if answer.error_code else ""
        receipt_id = as_in_receipt(one.carrier_id, one.id_format)
        await self._database.fetch(_STORE, [self._route_id, receipt_id, str(answer.state), code, one.recipient])
        asked.said = answer.state
        self._on_receipts()


def _says_nothing(answer: QueryAnswer) -> bool:
    """A carrier that does not know the message may have forgotten it: that proves nothing."""
    return bool(answer.status) or answer.state == ReceiptStatus.UNKNOWN
