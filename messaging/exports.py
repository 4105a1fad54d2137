"""CSV of messages and of client activity: streamed, in the account's time zone, safe to open in a spreadsheet."""

import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

from accounts.countries import country_name
from accounts.models import Account
from billing.models import CREDITS, Quote
from billing.statements import Period
from messaging.models import Batch, Exclusion, Message, MessageKey, time_of
from messaging.periods import uuid_bounds
from messaging.reports import Activity
from messaging.selectors import Sight

CHUNK = 2000
_COLUMNS = (
    "id", "batch__code", "account_id", "payer_id", "quote_id", "recipient", "sender", "text", "batch__text", "parts",
    "state", "sent_at", "done_at", "error_code", "reason", "price",
)  # fmt: skip
_HEAD = [
    "Accepted", "Message", "Batch", "Account", "Recipient", "Country", "Sender", "Text", "Parts", "State", "Sent",
    "Finished", "Carrier's code", "Reason",
]  # fmt: skip


def _amount(value: Decimal) -> str:
    return f"{value:.6f}"


def _currency(quote: Quote) -> str:
    """SMS credits are no money and are not named as one."""
    return "credits" if quote.currency == CREDITS else quote.currency


class MessageExport:
    """The messages of a period as rows; columns of money only where the viewer may see any."""

    def __init__(self, sight: Sight, accounts: list[Account], period: Period) -> None:
        self._sight = sight
        self._accounts = {account.pk: account for account in [sight.viewer, *sight.clients]}
        self._chosen = [account.pk for account in accounts]
        self._bounds = uuid_bounds(period, sight.viewer)
        self._zone = zoneinfo.ZoneInfo(sight.viewer.time_zone)
        self._quotes: dict[int, Quote] = {}
        self._has_money = sight.shows_money
        self._has_margin = sight.shows_money and sight.viewer.can_have_children

    def rows(self) -> Iterator[list[Any]]:
        """The heading, then each message in the order of acceptance."""
        money = ["Price", "Currency", "Paid by"] if self._has_money else []
        yield _HEAD + money + (["Your margin"] if self._has_margin else [])
        for keys in self._keys():
            for values in Message.objects.filter(pk__in=keys).order_by("pk").values(*_COLUMNS):
                yield self._row(values)

    def _keys(self) -> Iterator[list[UUID]]:
        """Of all the messages, CHUNK at a time, the oldest first."""
        begin, end = self._bounds
        found = MessageKey.objects.filter(account__in=self._chosen, message_id__gte=begin, message_id__lt=end)
        keys = found.order_by("message_id").values_list("message_id", flat=True).iterator(CHUNK)
        while chunk := list(islice(keys, CHUNK)):
            yield chunk

    def _row(self, values: dict[str, Any]) -> list[Any]:
        quote = self._quote(values["quote_id"])
        text = values["batch__text"] if values["text"] is None else values["text"]
        row = [
            self._time(time_of(values["id"])), values["id"], values["batch__code"],
            self._accounts[values["account_id"]].name, values["recipient"], country_name(quote.country),
            values["sender"], text, values["parts"], Message.State(values["state"]).label,
            self._time(values["sent_at"]), self._time(values["done_at"]), values["error_code"], values["reason"],
        ]  # fmt: skip
        if self._has_money:
            row += self._money(values, quote)
        return row

    def _money(self, values: dict[str, Any], quote: Quote) -> list[Any]:
        payer = self._accounts.get(values["payer_id"])  # nobody above the viewer is among them
        charged = payer is not None and values["sent_at"] is not None
        price = values["price"] if charged else Decimal(0)
        row = [_amount(price), _currency(quote), payer.name] if payer else ["", "", ""]
        if self._has_margin:
            row.append(_amount(self._margin(quote) * values["parts"] if charged else Decimal(0)))
        return row

    def _margin(self, quote: Quote) -> Decimal:
        """What the viewer earns on a part of a message that an account below it pays."""
        prices = [(owner, Decimal(price)) for owner, price in quote.chain]
        for (owner, own), (_, below) in pairwise(prices):
            if owner == self._sight.viewer.pk:
                return below - own
        return Decimal(0)

    def _quote(self, key: int) -> Quote:
        if key not in self._quotes:
            self._quotes[key] = Quote.objects.get(pk=key)
        return self._quotes[key]

    def _time(self, moment: datetime | None) -> str:
        return moment.astimezone(self._zone).isoformat(sep=" ", timespec="seconds") if moment else ""


def exclusion_rows(batch: Batch) -> Iterator[list[Any]]:
    """Who was left out of a batch, in the order in which they were given, with the reason in words."""
    yield ["As typed", "Reason", "Detail"]
    for row in Exclusion.objects.filter(batch=batch).order_by("pk").iterator(CHUNK):
        yield [row.value, row.get_reason_display(), row.detail]


def activity_rows(found: list[Activity], total: Activity, currency: str) -> Iterator[list[Any]]:
    """The client activity report with its total."""
    yield ["Client", "Messages", "Parts", "Cost at your price", "Amount at display price", "Profit", "Currency"]
    for one in [*found, total]:
        name = one.client.name if one.client else "Total"
        yield [name, one.messages, one.parts, one.cost, one.billed, one.profit, currency]
