"""What a parent earned on its clients' messages and on SMS credits transferred below it, by client, country and day.

A message belongs to the day (of the viewer's zone) on which it was captured, credits to the day on which they were
transferred or taken back: the days that the statement shows. The report adds up to the parent's entries in the ledger.
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

# From the movements of money for credits, by their own index (movement_of_payment), to the lot that they bought or took
# back. How many credits a movement was for follows from what the lot's payer paid or got, at the lot's price.
_MARGINS_OF_CREDITS = """
WITH moved AS MATERIALIZED (
    SELECT t.id, t.about_id, t.reference, (t.created_at AT TIME ZONE %(zone)s)::date AS day
    FROM billing_ledgertransaction t
    WHERE t.about_id = ANY(%(below)s) AND t.kind IN ('credits', 'takeback') AND t.currency = %(currency)s
      AND t.kind NOT IN ('hold', 'capture', 'release')
      AND t.created_at >= %(begin)s AND t.created_at < %(end)s
), counted AS (
    SELECT moved.day, moved.about_id, lot.chain, round(-entry.amount / lot.unit_price) AS credits
    FROM moved
    JOIN billing_ledgertransaction given
         ON given.reference = moved.reference AND given.kind = 'credits' AND given.currency = 'SMS'
    JOIN billing_creditlot lot ON lot.transaction_id = given.id
    JOIN billing_ledgeraccount wallet
         ON wallet.owner_id = lot.payer_id AND wallet.kind = 'wallet' AND wallet.currency = %(currency)s
    JOIN billing_ledgerentry entry ON entry.transaction_id = moved.id AND entry.ledger_account_id = wallet.id
)
SELECT counted.day, client.path[%(depth)s], client.country, sum(counted.credits),
       sum(counted.credits * (counted.chain -> (%(level)s + 1) ->> 1)::numeric),
       sum(counted.credits * (counted.chain -> %(level)s ->> 1)::numeric)
FROM counted JOIN accounts_account client ON client.id = counted.about_id
WHERE (counted.chain -> %(level)s ->> 0)::bigint = %(viewer)s AND jsonb_array_length(counted.chain) > %(level)s + 1
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True)
class Earned:
    """Sums over sent messages, and over SMS credits that were transferred (less those taken back).

    ``charged``: what clients paid at the price that the viewer set; ``cost``: what the viewer owed for the same.
    """

    messages: int = 0
    parts: int = 0
    credits: int = 0
    charged: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Earned") -> "Earned":
        return Earned(
            self.messages + other.messages, self.parts + other.parts, self.credits + other.credits,
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

    @property
    def has_credits(self) -> bool:
        return any(earned.credits or not earned.messages for *_, earned in self.rows)

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
    """What the viewer earned on the messages of accounts below it that paid themselves, and on credits they bought."""
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
        found = [
            (day, client, country, Earned(int(messages), int(parts), 0, charged, cost))
            for day, client, country, messages, parts, charged, cost in cursor.fetchall()
        ]
        cursor.execute(_MARGINS_OF_CREDITS, values)
        found += [
            (day, client, country, Earned(0, 0, int(credits), charged, cost))
            for day, client, country, credits, charged, cost in cursor.fetchall()
        ]
    return MarginReport(period, viewer.currency, _named(found))


def _named(found: list[tuple[date, int, str, Earned]]) -> list[tuple[date, str, str, Earned]]:
    """One row for each day, client and country, in this order, with their names."""
    sums: defaultdict[tuple[date, int, str], Earned] = defaultdict(Earned)
    for day, client, country, earned in found:
        sums[day, client, country] += earned
    names = dict(Account.objects.filter(pk__in={client for _, client, _ in sums}).values_list("pk", "name"))
    return [
        (day, names[client], country_name(country) or "Unknown", earned)
        for (day, client, country), earned in sorted(sums.items())
    ]


def margin_rows(report: MarginReport) -> Iterator[list[Any]]:
    """The report as rows of a file, the total last."""
    yield [
        "Day", "Client", "Country", "Messages", "Parts", "SMS credits", "Client's price", "Your price", "Your margin",
        "Currency",
    ]  # fmt: skip
    for day, client, country, earned in report.rows:
        yield [day.isoformat(), client, country, *_cells(earned), report.currency]
    yield ["Total", "", "", *_cells(report.total), report.currency]


def _cells(earned: Earned) -> list[Any]:
    return [earned.messages, earned.parts, earned.credits, earned.charged, earned.cost, earned.margin]
