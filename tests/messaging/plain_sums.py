"""What reports have to show, added up from every single message."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from accounts.countries import country_name
from accounts.models import Account
from billing.models import LedgerTransaction, Quote
from billing.statements import Period
from messaging.margins import Earned
from messaging.models import Message
from messaging.reports import Figures

FAILED = {"undelivered", "expired", "rejected", "blocked", "failed"}


def summary(viewer: Account, accounts: list[Account], period: Period) -> tuple[dict, dict]:
    """Figures of days and of countries."""
    days, countries = defaultdict[date, Figures](Figures), defaultdict[str, Figures](Figures)
    for message in Message.objects.filter(account__in=accounts).select_related("quote"):
        day = _day(viewer, message.accepted_at)
        if period.first <= day <= period.last:
            figures = _figures(viewer, message)
            country = country_name(message.quote.country) or "Unknown"
            days[day], countries[country] = _both(days[day], figures), _both(countries[country], figures)
    return dict(days), dict(countries)


def activity(viewer: Account, accounts: list[Account], period: Period) -> dict[int, tuple[int, int, Decimal, Decimal]]:
    """(messages, parts, cost, billed) by the direct client's id."""
    found: dict[int, tuple[int, int, Decimal, Decimal]] = {}
    for message in Message.objects.filter(account__in=accounts, payer=viewer).select_related("account"):
        billed, path = message.display_price, message.account.path
        if not message.sent_at or billed is None or message.account == viewer:
            continue
        if period.first <= _day(viewer, message.accepted_at) <= period.last:
            client = path[len(viewer.path)]
            n, parts, cost, all_billed = found.get(client, (0, 0, Decimal(0), Decimal(0)))
            found[client] = (n + 1, parts + message.parts, cost + message.price, all_billed + billed)
    return found


def margins(viewer: Account, period: Period) -> dict[tuple[date, str, str], Earned]:
    """What the viewer earned on messages, by day of capture, client and country."""
    found = defaultdict[tuple[date, str, str], Earned](Earned)
    captures = LedgerTransaction.objects.filter(kind="capture", currency=viewer.currency).in_bulk()
    for message in Message.objects.filter(settlement__in=captures).select_related("account", "quote"):
        day = _day(viewer, captures[message.settlement_id].created_at)
        for owner, own, below in _steps(message.quote):
            if owner == viewer.pk and message.account != viewer and period.first <= day <= period.last:
                client = Account.objects.get(pk=message.account.path[len(viewer.path)])
                parts = message.parts
                key = (day, client.name, country_name(message.quote.country) or "Unknown")
                found[key] += Earned(1, parts, charged=below * parts, cost=own * parts)
    return dict(found)


def _day(viewer: Account, moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(viewer.time_zone)).date()


def _figures(viewer: Account, message: Message) -> Figures:
    taken = message.sent_at is not None
    paid = taken and message.payer_id == viewer.pk
    earned = sum((below - own for owner, own, below in _steps(message.quote) if owner == viewer.pk), Decimal(0))
    return Figures(
        1, int(taken), int(message.state == "delivered"), int(message.state in FAILED), message.parts * taken,
        message.price if paid else Decimal(0), earned * message.parts * taken,
    )  # fmt: skip


def _steps(quote: Quote) -> Iterator[tuple[int, Decimal, Decimal]]:
    """(account, its own price, the price of the one below it) from the top."""
    chain = [(owner, Decimal(price)) for owner, price in quote.chain]
    for (owner, own), (_, below) in pairwise(chain):
        yield owner, own, below


def _both(one: Figures, other: Figures) -> Figures:
    return Figures(*(getattr(one, field.name) + getattr(other, field.name) for field in fields(Figures)))
