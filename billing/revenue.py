"""What the platform took, read from running balances: as fast after ten million movements as after ten."""

from datetime import datetime
from decimal import Decimal

from accounts.prepared import fetch_prepared
from billing.models import LedgerAccount
from billing.statements import FIRST_FROM, LAST_BEFORE, LONGEST_TRANSACTION

# An account's entries and their running balances have one order, by id, and ids are given in the order of time, at the
# latest LONGEST_TRANSACTION after the time that a movement bears. So everything up to ``low`` was before the moment,
# everything from ``high`` was after it, and only what lies between is read one by one.
_SINCE = f"""
    WITH nearby AS MATERIALIZED (
        SELECT coalesce({LAST_BEFORE}, 0) AS low, coalesce({FIRST_FROM}, 9223372036854775807) AS high)
    SELECT a.currency,
           a.balance
           - coalesce((SELECT e.balance_after FROM billing_ledgerentry e
                       WHERE e.ledger_account_id IN (0, a.id) AND e.id <= low
                       ORDER BY e.ledger_account_id DESC, e.id DESC LIMIT 1), 0)
           - coalesce((SELECT sum(e.amount) FROM billing_ledgerentry e
                       JOIN billing_ledgertransaction t ON t.id = e.transaction_id
                       WHERE e.ledger_account_id = a.id AND e.id > low AND e.id < high
                         AND t.created_at < %(moment)s::timestamptz), 0)
    FROM billing_ledgeraccount a CROSS JOIN nearby WHERE a.kind = %(kind)s::text
"""  # noqa: S608 (no values of others in it)


def revenue_since(moment: datetime) -> dict[str, Decimal]:
    """What the platform took since the moment, by currency; currencies in which it took nothing are left out."""
    rows = fetch_prepared(_SINCE, {
        "begin": moment - LONGEST_TRANSACTION, "moment": moment, "end": moment + LONGEST_TRANSACTION,
        "kind": LedgerAccount.Kind.REVENUE.value,
    })  # fmt: skip
    return {currency: amount for currency, amount in rows if amount}
