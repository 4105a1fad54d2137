"""How the room's sentences write amounts and times."""

import zoneinfo
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from billing.models import CREDITS


def credits_text(amount: Decimal | int) -> str:
    """SMS credits in words: "1 credit", "1,250 credits"."""
    count = f"{amount:,.0f}"
    return f"{count} credit{'' if count in ('1', '-1') else 's'}"


def money_text(amount: Decimal, currency: str) -> str:
    """ "AUD 1,250.00"; more than two decimals only while they are not zero. SMS credits are no money: "5 credits"."""
    if currency == CREDITS:
        return credits_text(amount)
    whole, _, fraction = f"{amount:,.6f}".partition(".")
    return f"{currency} {whole}.{fraction.rstrip('0').ljust(2, '0')}"


def money_cell(amount: Decimal, currency: str) -> str:
    """As money_text, for a column of a table: one that is narrow does not part an amount from its currency."""
    return money_text(amount, currency).replace(" ", "\N{NO-BREAK SPACE}")


def local_text(moment: datetime, account: Account) -> str:
    """A point in time in the account's zone, with the zone named: "22 Nov 2026, 14:05 (Australia/Sydney)"."""
    local = moment.astimezone(zoneinfo.ZoneInfo(account.time_zone))
    return f"{local.day} {local:%b %Y, %H:%M} ({account.time_zone.replace('_', ' ')})"
