"""Figures of a period: by day, by country, and per client billed to an account. One statement each, over kept counts.

A message belongs to the day (of the viewer's zone) on which it was accepted. Money is that of messages which a carrier
accepted: captured, never given back (PRODUCT.md, money rule 4).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.countries import country_name
from accounts.models import Account
from billing.statements import Period
from messaging.report_counts import TOLD, values_of

_SUMMARY = f"""
WITH {TOLD}, counted AS MATERIALIZED (
    SELECT day, quote_id, sum(messages) AS messages, sum(sent) AS sent, sum(delivered) AS delivered,
           sum(failed) AS failed, sum(parts) AS parts
    FROM told GROUP BY 1, 2 HAVING sum(messages) <> 0
), priced AS (
    SELECT counted.*, quote.country,
           CASE WHEN quote.payer_id = %(viewer)s AND quote.currency = (
               SELECT coalesce(max('SMS') FILTER (WHERE method = 'sms_credits'), %(currency)s)
               FROM billing_billingterms WHERE account_id = %(viewer)s)
           THEN counted.parts * quote.unit_price ELSE 0 END AS spend,
           CASE WHEN (quote.chain -> %(level)s ->> 0)::bigint = %(viewer)s THEN counted.parts * coalesce(
               (quote.chain -> (%(level)s + 1) ->> 1)::numeric - (quote.chain -> %(level)s ->> 1)::numeric, 0)
           ELSE 0 END AS margin
    FROM counted JOIN billing_quote quote ON quote.id = counted.quote_id
)
SELECT day, country, sum(messages), sum(sent), sum(delivered), sum(failed), sum(parts), sum(spend), sum(margin)
FROM priced GROUP BY GROUPING SETS ((day), (country), ())
"""  # noqa: S608 (no values of others in it)

_ACTIVITY = f"""
WITH {TOLD}, counted AS MATERIALIZED (
    SELECT account_id, quote_id, sum(sent) AS sent, sum(parts) AS parts FROM told GROUP BY 1, 2 HAVING sum(sent) <> 0
)
SELECT sender.path[%(depth)s] AS client, sum(sent), sum(parts), sum(parts * quote.unit_price),
       sum(parts * quote.display_price)
FROM counted JOIN accounts_account sender ON sender.id = counted.account_id
JOIN billing_quote quote ON quote.id = counted.quote_id
WHERE quote.payer_id = %(viewer)s AND quote.display_price IS NOT NULL
GROUP BY 1
"""  # noqa: S608

_CHARGED = f"""
WITH {TOLD}
SELECT sender.path[%(depth)s] AS client, sum(captured)
FROM told JOIN accounts_account sender ON sender.id = told.account_id GROUP BY 1 HAVING sum(captured) <> 0
"""  # noqa: S608


@dataclass(frozen=True)
class Figures:
    """Messages accepted, and of these: sent (accepted by a carrier), delivered, failed; parts and money of the sent.

    ``spend`` is what the viewer paid, ``margin`` what it earned on messages that accounts below it paid.
    """

    messages: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    parts: int = 0
    spend: Decimal = Decimal(0)
    margin: Decimal = Decimal(0)

    @property
    def others(self) -> int:
        """Neither delivered nor failed: waiting, on their way, without a receipt yet, or cancelled."""
        return self.messages - self.delivered - self.failed


@dataclass(frozen=True)
class Summary:
    """A period's figures: for every day of it (also the quiet ones), by country, and in all."""

    days: list[tuple[date, Figures]]
    countries: list[tuple[str, Figures]]
    total: Figures

    def chart(self) -> dict[str, Any]:
        """What became of each day's messages, for the chart tag."""
        series = [
            {"label": "Delivered", "tone": "good", "values": [one.delivered for _, one in self.days]},
            {"label": "Failed", "tone": "bad", "values": [one.failed for _, one in self.days]},
            {"label": "Other", "tone": "waiting", "values": [one.others for _, one in self.days]},
        ]
        return {"days": [day for day, _ in self.days], "series": series}


def summarise(viewer: Account, accounts: list[Account], period: Period) -> Summary:
    """The figures of ``accounts`` (the viewer's own or below it) in the viewer's time zone."""
    values = values_of(viewer, [account.pk for account in accounts], period)
    with connection.cursor() as db:
        db.execute(_SUMMARY, values)
        rows = db.fetchall()
    days = {row[0]: _figures(row[2:]) for row in rows if row[0] is not None}
    countries = {row[1]: _figures(row[2:]) for row in rows if row[1] is not None}
    total = next((_figures(row[2:]) for row in rows if row[0] is None and row[1] is None), Figures())
    length = (period.last - period.first).days + 1
    every_day = [period.first + timedelta(days=number) for number in range(length)]
    return Summary(
        days=[(day, days.get(day, Figures())) for day in every_day],
        countries=sorted(
            ((country_name(code) or "Unknown", found) for code, found in countries.items()),
            key=lambda row: (-row[1].messages, row[0]),
        ),
        total=total,
    )


def _figures(sums: tuple[Any, ...]) -> Figures:
    """Of a row of sums; an empty period's total is one of Nones."""
    messages, sent, delivered, failed, parts = (int(value or 0) for value in sums[:5])
    spend, margin = (value or Decimal(0) for value in sums[5:])
    return Figures(messages, sent, delivered, failed, parts, spend, margin)


# --- What a parent bills its clients -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Activity:
    """Sent messages of one client that the viewer paid: at its own price and at its display price."""

    client: Account | None
    messages: int
    parts: int
    cost: Decimal
    billed: Decimal

    @property
    def profit(self) -> Decimal:
        return self.billed - self.cost


def client_activity(viewer: Account, accounts: list[Account], period: Period) -> tuple[list[Activity], Activity]:
    """Per direct client (its own clients' messages included) whose activity the viewer paid, and the total."""
    values = values_of(viewer, [account.pk for account in accounts if account.pk != viewer.pk], period)
    with connection.cursor() as db:
        db.execute(_ACTIVITY, values)
        rows = db.fetchall()
    clients = Account.objects.in_bulk([row[0] for row in rows])
    found = [
        Activity(clients[client], int(messages), int(parts), cost, billed)
        for client, messages, parts, cost, billed in rows
    ]
    total = Activity(
        None,
        sum(one.messages for one in found),
        sum(one.parts for one in found),
        sum((one.cost for one in found), Decimal(0)),
        sum((one.billed for one in found), Decimal(0)),
    )
    return sorted(found, key=lambda one: (-one.billed, str(one.client))), total


def charged_by_client(viewer: Account, below: list[int], period: Period) -> dict[int, int]:
    """Messages of the accounts ``below`` the viewer that were captured in the period, by its direct client's id."""
    with connection.cursor() as db:
        db.execute(_CHARGED, values_of(viewer, below, period))
        return {client: int(messages) for client, messages in db.fetchall()}
