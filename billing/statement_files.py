"""The statement as a file: CSV and XLSX of any length, streamed; PDF of a bounded number of lines."""

import json
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import typst
from django.conf import settings

from accounts.models import Account
from billing.exceptions import BillingError
from billing.models import CREDITS, LedgerEntry
from billing.statements import OLDEST_FIRST, Line, Period, Statement, lines_of, with_movements

CHUNK = 2000
MOST_PDF_LINES = 3000
TEMPLATE = settings.BASE_DIR / "templates" / "billing" / "statement.typ"
HEADING = ["Date", "Movement", "What", "Who", "Reference", "Details"]


class TooLong(BillingError):
    """The statement has more lines than a PDF may have."""


@dataclass(frozen=True)
class StatementFile:
    """A period's movements, oldest first, in the account's zone; of one kind or all.

    ``currency``: CREDITS for the account's SMS credits, "" for its money.
    """

    account: Account
    period: Period
    kind: str = ""
    currency: str = ""

    @property
    def counts_credits(self) -> bool:
        return self.currency == CREDITS

    def rows(self) -> Iterator[list[Any]]:
        """The heading, then each movement: money as Decimal, credits as int, moments in the account's zone."""
        yield [*HEADING, *(("Credits", "Balance") if self.counts_credits else ("Amount", "Balance", "Currency"))]
        zone = zoneinfo.ZoneInfo(self.account.time_zone)
        for line in self._lines():
            movement = line.entry.transaction
            yield [
                movement.created_at.astimezone(zone), str(movement.public_id), line.title, line.who,
                movement.reference, line.note, *self._amounts(line.entry),
            ]  # fmt: skip

    def _amounts(self, entry: LedgerEntry) -> tuple[Any, ...]:
        if self.counts_credits:
            return int(entry.amount), int(entry.balance_after)
        return entry.amount, entry.balance_after, self.account.currency

    def _entries(self) -> Any:
        return with_movements(Statement(self.account, self.period, self.currency).entries(self.kind)).order_by(
            *OLDEST_FIRST
        )

    def _lines(self) -> Iterator[Line]:
        for chunk in _chunks(self._entries().iterator(CHUNK)):
            yield from lines_of(self.account, chunk)

    def pdf(self) -> bytes:
        """The statement to print, with the balance before and after. Raises TooLong."""
        entries = list(self._entries()[: MOST_PDF_LINES + 1])
        if len(entries) > MOST_PDF_LINES:
            raise TooLong(
                f"A PDF has room for {MOST_PDF_LINES:,} movements and this period has more. Choose fewer days or one "
                "kind of movement, or take CSV or XLSX, which have room for all."
            )
        data = json.dumps(self._document(lines_of(self.account, entries)))
        return typst.compile(TEMPLATE, format="pdf", sys_inputs={"statement": data})

    def _document(self, lines: list[Line]) -> dict[str, Any]:
        """What the template prints: text only, which typst never reads as its own language."""
        zone = zoneinfo.ZoneInfo(self.account.time_zone)
        is_whole = not self.kind and lines
        return {
            "site": settings.SITE_NAME,
            "account": self.account.name,
            "code": self.account.code,
            "zone": self.account.time_zone,
            "unit": "SMS credits" if self.counts_credits else self.account.currency,
            "first": f"{self.period.first:%d %b %Y}",
            "last": f"{self.period.last:%d %b %Y}",
            "opening": self._digits(lines[0].entry.balance_after - lines[0].entry.amount) if is_whole else "",
            "closing": self._digits(lines[-1].entry.balance_after) if is_whole else "",
            "total": self._digits(sum((line.entry.amount for line in lines), Decimal(0))),
            "lines": [self._printed(line, zone) for line in lines],
        }

    def _printed(self, line: Line, zone: zoneinfo.ZoneInfo) -> dict[str, str]:
        movement = line.entry.transaction
        details = " · ".join(part for part in (line.note, line.who, movement.reference) if part)
        return {
            "date": f"{movement.created_at.astimezone(zone):%d %b %Y, %H:%M}",
            "what": line.title,
            "details": details,
            "amount": self._digits(line.entry.amount),
            "balance": self._digits(line.entry.balance_after),
        }

    def _digits(self, amount: Decimal) -> str:
        return f"{amount:,.0f}" if self.counts_credits else _digits(amount)


def _digits(amount: Decimal) -> str:
    """Money, thousands separated, two to six decimals as they are significant."""
    whole, _, fraction = f"{amount:,.6f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _chunks(entries: Iterator[LedgerEntry]) -> Iterator[list[LedgerEntry]]:
    chunk: list[LedgerEntry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
