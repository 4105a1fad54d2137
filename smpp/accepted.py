"""What the simulator says of the messages it took: their ids in answers and receipts, and their states when asked."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from smpp.behaviours import behaviour_for
from smpp.journal import Accepted, Journal
from smpp.pdu import Status
from smpp.query import Query, QueryAnswer
from smpp.receipt_ids import IdFormat
from smpp.receipts import ReceiptStatus
from smpp.server import ServerSession

REMEMBERED: Final = 20_000  # messages whose state is known without looking into the journal
DIGITS: Final = 20  # of a decimal id in a receipt


class CarrierIds:
    """Ids that are never given twice, also over restarts, in the form of one carrier or another (smpp.receipt_ids)."""

    def __init__(self, form: str) -> None:
        self._form = IdFormat(form)
        self._prefix = secrets.token_hex(5)
        self._first = secrets.randbits(38) << 24
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """The id for an answer: a name, or a number in hexadecimal or decimal."""
        count = next(self._numbers)
        if self._form is IdFormat.AS_IS:
            return f"{self._prefix}-{count}"
        return f"{self._first + count:X}" if self._form is IdFormat.HEX_TO_DECIMAL else f"{self._first + count}"

    def in_receipt(self, carrier_id: str) -> str:
        """The same id as receipts write it: decimals with leading zeros, hexadecimals in small letters."""
        try:
            if self._form is IdFormat.HEX_TO_DECIMAL:
                return f"{int(carrier_id, 16):0{DIGITS}}"
            return f"{int(carrier_id):x}" if self._form is IdFormat.DECIMAL_TO_HEX else carrier_id
        except ValueError:  # given by a run that wrote ids in another form
            return carrier_id


class States:
    """Answers query_sm. A message is on its way until its usual receipt is due, also where none is ever sent."""

    def __init__(self, receipt_delay: float, journal: Callable[[], Journal | None]) -> None:
        self._receipt_delay = receipt_delay
        self._journal = journal
        self._latest: dict[str, Accepted] = {}

    def remember(self, entry: Accepted) -> None:
        """Know a message that was accepted."""
        if len(self._latest) >= REMEMBERED:
            del self._latest[next(iter(self._latest))]
        self._latest[entry.id] = entry

    async def answer(self, session: ServerSession, query: Query) -> QueryAnswer:
        """Tell a message's state to who submitted it with that sender; to all others there is no such message."""
        entry = self._latest.get(query.carrier_id)
        if entry is None and (journal := self._journal()) is not None:
            entry = await asyncio.to_thread(journal.find, query.carrier_id)
        if entry is None or (entry.system_id, entry.source) != (session.system_id, query.source):
            return QueryAnswer(Status.ESME_RINVMSGID)
        receipts = behaviour_for(entry.destination).receipts
        status, error, delay = receipts[-1] if receipts else (ReceiptStatus.DELIVERED, "000", None)
        due = entry.at + (self._receipt_delay if delay is None else delay)
        if time.time() < due:
            return QueryAnswer(0, entry.id, ReceiptStatus.ENROUTE)
        return QueryAnswer(0, entry.id, status, int(error), datetime.fromtimestamp(int(due), UTC))
