"""What a parent earned on its clients' messages, by client, country and day; adds up to its entries in the ledger.

A message belongs to the day (of the viewer's zone) on which it was captured: the day that the statement shows.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.countries import country_name
from accounts.models import Account
from billing.statements import Period

# From the captures, by their own index (movement_capture), to their messages (message_settlement): counted per capture
# and quote first, so that prices are joined to a few rows. ``level`` counts from 0: the viewer's place in a chain.
_MARGINS = """
WITH captures AS MATERIALIZED (
    SELECT t.id, (t.created_at AT TIME ZONE %(zone)s)::date AS day FROM billing_ledgertransaction t
    WHERE t.about_id = ANY(%(below)s) AND t.kind = 'capture' AND t.currency = %(currency)s
      AND t.created_at >= %(begin)s AND t.created_at < %(end)s
), counted AS MATERIALIZED (
    SELECT c.day, m.account_id, m.quote_id, count(*) AS messages, sum(m.parts) AS parts
    FROM captures c JOIN messaging_message m ON m.settlement_id = c.id GROUP BY 1, 2, 3
)
SELECT counted.day, sender.path[%(depth)s], quote.country, sum(counted.messages), sum(counted.parts),
       sum(counted.parts * (quote.chain -> (%(level)s + 1) ->> 1)::numeric),
       sum(counted.parts * (quote.chain -> %(level)s ->> 1)::numeric)
FROM counted JOIN billing_quote quote ON quote.id = counted.quote_id
JOIN accounts_account sender ON sender.id = counted.account_id
WHERE (quote.chain -> %(level)s ->> 0)::bigint = %(viewer)s AND jsonb_array_length(quote.chain) > %(level)s + 1
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Earned:
    """Sums over sent messages: what clients paid at the price that the viewer set, what the viewer owed for them."""

    messages: int = 0
    parts: int = 0
    charged: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Earned") -> "Earned":
        return Earned(
            self.messages + other.messages, self.parts + other.parts,
            self.charged + other.charged, self.cost + other.cost,
        )  # fmt: skip

    @property
    def margin(self) -> Decimal:
        return self.charged - self.cost


@dataclass(frozen=True)
class MarginReport:
    """``rows``: (day, client, country, sums); the client is the viewer's own child, its sub-accounts included."""

    period: Period
    currency: str
    rows: list[tuple[date, str, str, Earned]]

    @property
    def total(self) -> Earned:
        return sum((earned for *_, earned in self.rows), Earned())

    def by_day(self) -> list[tuple[Any, Earned]]:
        """Days on which something was earned, in their order."""
        return sorted(self._grouped(0).items())

    def by_client(self) -> list[tuple[Any, Earned]]:
        """Clients, the best first."""
        return _best_first(self._grouped(1))

    def by_country(self) -> list[tuple[Any, Earned]]:
        """Countries, the best first."""
        return _best_first(self._grouped(2))

    def _grouped(self, column: int) -> dict[Any, Earned]:
        found: defaultdict[Any, Earned] = defaultdict(Earned)
        for row in self.rows:
            found[row[column]] += row[3]
        return found


def _best_first(found: dict[Any, Earned]) -> list[tuple[Any, Earned]]:
    return sorted(found.items(), key=lambda item: (-item[1].margin, item[0]))


def margin_report(viewer: Account, period: Period) -> MarginReport:
    """What the viewer earned on the messages of accounts below it that paid themselves."""
    begin, end = period.bounds(viewer)
    values: dict[str, Any] = {
        "zone": viewer.time_zone,
        "below": list(Account.objects.below(viewer).values_list("pk", flat=True)),
        "currency": viewer.currency,
        "begin": begin,
        "end": end,
        "viewer": viewer.pk,
        "depth": len(viewer.path) + 1,  # arrays count from 1: the next one below the viewer
        "level": len(viewer.path) - 2,  # a chain begins with the platform's client, the second of every path
    }
    with connection.cursor() as cursor:
        cursor.execute(_MARGINS, values)
        found = cursor.fetchall()
    names = dict(Account.objects.filter(pk__in={row[1] for row in found}).values_list("pk", "name"))
    rows = [
        (day, names[client], country_name(country) or "Unknown", Earned(int(messages), int(parts), charged, cost))
        for day, client, country, messages, parts, charged, cost in found
    ]
    return MarginReport(period, viewer.currency, rows)


def margin_rows(report: MarginReport) -> Iterator[list[Any]]:
    """The report as rows of a file, the total last."""
    yield ["Day", "Client", "Country", "Messages", "Parts", "Client's price", "Your price", "Your margin", "Currency"]
    for day, client, country, earned in report.rows:
        yield [day.isoformat(), client, country, *_cells(earned), report.currency]
    yield ["Total", "", "", *_cells(report.total), report.currency]


def _cells(earned: Earned) -> list[Any]:
    return [earned.messages, earned.parts, earned.charged, earned.cost, earned.margin]
