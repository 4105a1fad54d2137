"""What the platform earns by routes, countries and days, and which messages brought less than they cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from accounts.countries import country_name

MOST_DAYS = 31

# Income of a message: what the platform's direct client pays for a part. Of credits it came in when they were bought.
_REPORT = """
    SELECT day, r.name, country, currency, count(*), sum(parts), sum(income), sum(cost),
        sum(income - cost), count(*) FILTER (WHERE cost > income), count(*) FILTER (WHERE cost IS NULL)
    FROM (
        SELECT (uuid_extract_timestamp(m.id) AT TIME ZONE 'UTC')::date AS day, m.route_id, q.country, a.currency,
            m.parts, m.cost, CASE WHEN q.currency = a.currency THEN (q.chain->0->>1)::numeric * m.parts END AS income
        FROM messaging_message m
        JOIN billing_quote q ON q.id = m.quote_id
        JOIN accounts_account a ON a.id = m.account_id
        WHERE m.id >= messaging_uuid_floor(%(since)s) AND m.id < messaging_uuid_floor(%(until)s)
          AND m.sent_at IS NOT NULL) AS sold
    JOIN messaging_route r ON r.id = sold.route_id
    GROUP BY day, r.name, country, currency ORDER BY day DESC, r.name, country, currency
"""


@dataclass(frozen=True)
class Line:
    """One route, country and day (UTC, of acceptance). Money in ``currency``; None = not known of any message."""

    day: date
    route: str
    country: str
    currency: str
    messages: int
    parts: int
    income: Decimal | None
    cost: Decimal | None
    profit: Decimal | None
    below_cost: int
    without_cost: int

    @property
    def country_name(self) -> str:
        return country_name(self.country)


@dataclass
class Total:
    """What the lines of one currency come to; what is not known of a message counts as nothing."""

    currency: str
    messages: int = 0
    parts: int = 0
    income: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    profit: Decimal = Decimal(0)
    below_cost: int = 0
    without_cost: int = 0


def totals_of(lines: Iterable[Line]) -> list[Total]:
    """One for each currency, by its name."""
    totals: dict[str, Total] = {}
    for line in lines:
        total = totals.setdefault(line.currency, Total(line.currency))
        for name in ("messages", "parts", "income", "cost", "profit", "below_cost", "without_cost"):
            setattr(total, name, getattr(total, name) + (getattr(line, name) or 0))
    return [totals[currency] for currency in sorted(totals)]


def profit_of(first: date, last: date) -> list[Line]:
    """Lines of these days, newest first; at most MOST_DAYS of them, counted back from ``last``."""
    first = max(first, last - timedelta(days=MOST_DAYS - 1))
    values = {"since": _midnight(first), "until": _midnight(last + timedelta(days=1))}
    with connection.cursor() as cursor:
        cursor.execute(_REPORT, values)
        return [Line(*row) for row in cursor.fetchall()]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.get_default_timezone())
