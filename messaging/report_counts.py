"""Reading what messaging/services/rollups.py keeps: counts of messages by day of a zone, account and price."""

from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import Account
from billing.statements import Period

_COUNTS = "messages, sent, delivered, failed, parts, captured, captured_parts"

# Days where they are kept in the viewer's zone; quarters of an hour for accounts of which they are not, because the
# zone is new; and what has not been rolled up yet. One snapshot sees each message in exactly one of them.
TOLD = f"""
told AS (
    SELECT day, account_id, quote_id, {_COUNTS} FROM messaging_reportday
    WHERE account_id = ANY(%(accounts)s) AND zone = %(zone)s AND day BETWEEN %(first)s AND %(last)s
    UNION ALL
    SELECT (quarter AT TIME ZONE %(zone)s)::date, account_id, quote_id, {_COUNTS} FROM messaging_reportquarter
    WHERE account_id = ANY(ARRAY(SELECT unnest(%(accounts)s::bigint[]) EXCEPT
                                 SELECT account_id FROM messaging_reportzone WHERE zone = %(zone)s))
      AND quarter >= %(begin)s AND quarter < %(end)s
    UNION ALL
    SELECT (quarter AT TIME ZONE %(zone)s)::date, account_id, quote_id, {_COUNTS} FROM messaging_reportchange
    WHERE account_id = ANY(%(accounts)s) AND quarter >= %(begin)s AND quarter < %(end)s
)"""  # noqa: S608 (names of columns only)

# Account by account, as the counts are kept: nobody's older ones are read.
_ACCEPTED = """
SELECT coalesce(sum(messages), 0) FROM (
    SELECT kept.messages FROM accounts_account account CROSS JOIN LATERAL (
        SELECT sum(messages) AS messages FROM messaging_reportquarter
        WHERE account_id = account.id AND quarter >= %(moment)s) AS kept
    UNION ALL
    SELECT messages FROM messaging_reportchange WHERE quarter >= %(moment)s) AS accepted
"""


def accepted_since(moment: datetime) -> int:
    """Messages of all accounts accepted since the moment, which is one at which a quarter of an hour begins."""
    with connection.cursor() as db:
        db.execute(_ACCEPTED, {"moment": moment})
        return int(db.fetchone()[0])


def values_of(viewer: Account, accounts: list[int], period: Period) -> dict[str, Any]:
    """What a statement with TOLD asks for, and ``viewer``, ``currency``, ``level`` and ``depth`` for its prices."""
    begin, end = period.bounds(viewer)
    return {
        "zone": viewer.time_zone,
        "accounts": accounts,
        "first": period.first,
        "last": period.last,
        "begin": begin,
        "end": end,
        "viewer": viewer.pk,
        "currency": viewer.currency,
        # A quote's chain begins with the platform's client, which is the second of every path.
        "level": len(viewer.path) - 2,
        "depth": len(viewer.path) + 1,  # arrays count from 1: the next one below the viewer
    }
