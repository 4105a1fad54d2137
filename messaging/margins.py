"""What a parent earned on its clients' messages, SMS credits, numbers and keywords, by client, country and day.

A message belongs to the day (of the viewer's zone) on which it was captured, credits to the day on which they were
transferred or taken back, a month of a number or keyword to the day on which it was charged: the days that the
statement shows. The report adds up to the parent's entries in the ledger.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.countries import country_name
from accounts.models import Account
from billing.statements import Period
from messaging.report_counts import TOLD, values_of

# From what is counted on the days of captures. ``level`` counts from 0: the viewer's place in a chain.
_MARGINS = f"""
WITH {TOLD}, counted AS MATERIALIZED (
    SELECT day, account_id, quote_id, sum(captured) AS messages, sum(captured_parts) AS parts
    FROM told GROUP BY 1, 2, 3 HAVING sum(captured) <> 0
)
SELECT counted.day, sender.path[%(depth)s], quote.country, sum(counted.messages), sum(counted.parts),
       sum(counted.parts * (quote.chain -> (%(level)s + 1) ->> 1)::numeric),
       sum(counted.parts * (quote.chain -> %(level)s ->> 1)::numeric)
FROM counted JOIN billing_quote quote ON quote.id = counted.quote_id
JOIN accounts_account sender ON sender.id = counted.account_id
WHERE quote.currency = %(currency)s AND (quote.chain -> %(level)s ->> 0)::bigint = %(viewer)s
  AND jsonb_array_length(quote.chain) > %(level)s + 1
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 (no values of others in it)

# From the movements of money for credits, by their own index (movement_of_payment), to the lot that they bought or took
# back. How many credits a movement was for follows from what the lot's payer paid or got, at the lot's price.
_MARGINS_OF_CREDITS = """
WITH moved AS MATERIALIZED (
    SELECT t.id, t.about_id, t.reference, (t.created_at AT TIME ZONE %(zone)s)::date AS day
    FROM billing_ledgertransaction t
    WHERE t.about_id = ANY(%(accounts)s) AND t.kind IN ('credits', 'takeback') AND t.currency = %(currency)s
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

_BY_CLIENT = f"""
SELECT client, sum(margin) FROM (
    SELECT client, charged - cost AS margin
    FROM ({_MARGINS}) AS m(day, client, country, messages, parts, charged, cost)
    UNION ALL
    SELECT client, charged - cost FROM ({_MARGINS_OF_CREDITS}) AS c(day, client, country, credits, charged, cost)
) AS earned GROUP BY 1
"""  # noqa: S608

# From the movements of numbers and keywords, by the same index, to the charge that each of them is. What accounts below
# the viewer earned of it lies above the price that the viewer set. What the viewer paid itself is no earning.
_MARGINS_OF_SERVICES = """
WITH charged AS MATERIALIZED (
    SELECT (t.created_at AT TIME ZONE %(zone)s)::date AS day, t.about_id, t.kind, c.subscription_id, c.amount,
           share.own, share.below
    FROM billing_ledgertransaction t
    JOIN billing_servicecharge c ON c.transaction_id = t.id AND c.payer_id = ANY(%(accounts)s)
    CROSS JOIN LATERAL (
        SELECT sum((e ->> 1)::numeric) FILTER (WHERE (e ->> 0)::bigint = %(viewer)s) AS own,
               coalesce(sum((e ->> 1)::numeric) FILTER (WHERE (e ->> 0)::bigint = ANY(%(accounts)s)), 0) AS below
        FROM jsonb_array_elements(c.earnings) AS e) AS share
    WHERE t.about_id = ANY(%(accounts)s) AND t.kind IN ('number', 'keyword') AND t.currency = %(currency)s
      AND t.kind NOT IN ('hold', 'capture', 'release')
      AND t.created_at >= %(begin)s AND t.created_at < %(end)s AND share.own IS NOT NULL
)
SELECT charged.day, client.path[%(depth)s], coalesce(number.country, ''), charged.kind, count(*),
       sum(charged.amount - charged.below), sum(charged.amount - charged.below - charged.own)
FROM charged JOIN accounts_account client ON client.id = charged.about_id
LEFT JOIN numbers_lease lease ON lease.subscription_id = charged.subscription_id
LEFT JOIN keywords_keyword keyword ON keyword.subscription_id = charged.subscription_id
LEFT JOIN numbers_virtualnumber number ON number.id = coalesce(lease.number_id, keyword.number_id)
GROUP BY 1, 2, 3, 4
"""

MESSAGES, SMS_CREDITS = "Messages", "SMS credits"
SERVICES = {"number": "Numbers", "keyword": "Keywords"}
Key = tuple[date, int, str, str]  # day, client, country, what was sold


@dataclass(frozen=True)
class Earned:
    """Sums over what was sold.

    ``messages`` that were sent, in ``parts``; ``credits`` transferred, less those taken back; ``months`` of numbers and
    keywords. ``charged``: what clients paid at the price that the viewer set; ``cost``: what the viewer owed for it.
    """

    messages: int = 0
    parts: int = 0
    credits: int = 0
    months: int = 0
    charged: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Earned") -> "Earned":
        return Earned(
            self.messages + other.messages, self.parts + other.parts, self.credits + other.credits,
            self.months + other.months, self.charged + other.charged, self.cost + other.cost,
        )  # fmt: skip

    @property
    def margin(self) -> Decimal:
        return self.charged - self.cost


@dataclass(frozen=True)
class MarginReport:
    """``rows``: (day, client, country, what was sold, sums); the client is the viewer's own child with all below it.

    The country is where messages went, that of the client for SMS credits, and the number's for numbers and keywords.
    """

    period: Period
    currency: str
    rows: list[tuple[date, str, str, str, Earned]]

    @cached_property
    def total(self) -> Earned:
        return sum((earned for *_, earned in self.rows), Earned())

    @cached_property
    def has_credits(self) -> bool:
        return any(row[3] == SMS_CREDITS for row in self.rows)

    @cached_property
    def has_services(self) -> bool:
        return any(row[3] in SERVICES.values() for row in self.rows)

    def by_day(self) -> list[tuple[Any, Earned]]:
        """Days on which something was earned, in their order."""
        return sorted(self._grouped(0).items())

    def by_client(self) -> list[tuple[Any, Earned]]:
        """Clients, the best first."""
        return _best_first(self._grouped(1))

    def by_country(self) -> list[tuple[Any, Earned]]:
        """Countries, the best first."""
        return _best_first(self._grouped(2))

    def by_sold(self) -> list[tuple[Any, Earned]]:
        """Messages, SMS credits, numbers and keywords, the best first."""
        return _best_first(self._grouped(3))

    def _grouped(self, column: int) -> dict[Any, Earned]:
        found: defaultdict[Any, Earned] = defaultdict(Earned)
        for row in self.rows:
            found[row[column]] += row[4]
        return found


def _best_first(found: dict[Any, Earned]) -> list[tuple[Any, Earned]]:
    return sorted(found.items(), key=lambda item: (-item[1].margin, item[0]))


def margin_report(viewer: Account, period: Period) -> MarginReport:
    """What the viewer earned on the messages, numbers and keywords of accounts below it, and on credits they bought.

    Only what they, or an account between, paid for: what the viewer pays for its clients is in the client activity.
    """
    below = list(Account.objects.below(viewer).values_list("pk", flat=True))
    values = values_of(viewer, below, period)
    with connection.cursor() as cursor:
        return MarginReport(period, viewer.currency, _named(_find(cursor, values)))


def margins_by_client(viewer: Account, below: list[int], period: Period) -> dict[int, Decimal]:
    """What the viewer earned on messages of the accounts ``below`` it and on credits they bought, by its client's id.

    As the report, without numbers and keywords.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BY_CLIENT, values_of(viewer, below, period))
        return dict(cursor.fetchall())


def _find(cursor: CursorWrapper, values: dict[str, Any]) -> dict[Key, Earned]:
    found: dict[Key, Earned] = {}
    cursor.execute(_MARGINS, values)
    for day, client, country, messages, parts, charged, cost in cursor.fetchall():
        found[day, client, country, MESSAGES] = Earned(int(messages), int(parts), charged=charged, cost=cost)
    cursor.execute(_MARGINS_OF_CREDITS, values)
    for day, client, country, credits, charged, cost in cursor.fetchall():
        found[day, client, country, SMS_CREDITS] = Earned(credits=int(credits), charged=charged, cost=cost)
    cursor.execute(_MARGINS_OF_SERVICES, values)
    for day, client, country, kind, months, charged, cost in cursor.fetchall():
        found[day, client, country, SERVICES[kind]] = Earned(months=months, charged=charged, cost=cost)
    return found


def _named(found: dict[Key, Earned]) -> list[tuple[date, str, str, str, Earned]]:
    """One row for each day, client, country and what was sold, in this order, with their names."""
    names = dict(Account.objects.filter(pk__in={key[1] for key in found}).values_list("pk", "name"))
    return [
        (day, names[client], country_name(country) or "Unknown", sold, earned)
        for (day, client, country, sold), earned in sorted(found.items())
    ]


def margin_rows(report: MarginReport) -> Iterator[list[Any]]:
    """The report as rows of a file, the total last."""
    yield [
        "Day", "Client", "Country", "For", "Messages", "Parts", "SMS credits", "Months", "Client's price", "Your price",
        "Your margin", "Currency",
    ]  # fmt: skip
    for day, client, country, sold, earned in report.rows:
        yield [day.isoformat(), client, country, sold, *_cells(earned), report.currency]
    yield ["Total", "", "", "", *_cells(report.total), report.currency]


def _cells(earned: Earned) -> list[Any]:
    counts = [earned.messages, earned.parts, earned.credits, earned.months]
    return [*counts, earned.charged, earned.cost, earned.margin]
