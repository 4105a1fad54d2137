"""How the room's sentences write amounts and times."""

import zoneinfo
from datetime import datetime
from decimal import Decimal

from accounts.models import Account


def money_text(amount: Decimal, currency: str) -> str:
    """ "AUD 1,250.00"; more than two decimals only while they are not zero."""
    whole, _, fraction = f"{amount:,.6f}".partition(".")
    return f"{currency} {whole}.{fraction.rstrip('0').ljust(2, '0')}"


def local_text(moment: datetime, account: Account) -> str:
    """A point in time in the account's zone, with the zone named: "22 Nov 2026, 14:05 (Australia/Sydney)"."""
    local = moment.astimezone(zoneinfo.ZoneInfo(account.time_zone))
    return f"{local.day} {local:%b %Y, %H:%M} ({account.time_zone.replace('_', ' ')})"
