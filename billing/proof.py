"""Proofs over the books: queries that return a row for each difference, none when the books are right.

A proof is written once for both modes. What stands between ``{{`` and ``}}`` narrows its query to what changed since
the last clean run and is left out of the full one; in it ``:transactions`` is an array of the changed movements' ids
and ``:since`` the moment from which rows count as new (docs/ledger.md).
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from billing.models import LedgerCheck

SHOWN = 50  # differences listed per proof; more are counted
Mode = LedgerCheck.Mode
BOTH = (Mode.FULL, Mode.SINCE)
_NARROWED = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Proof:
    """One statement about the books, with the query that finds what contradicts it, and the modes that run it."""

    name: str
    sql: str
    modes: tuple[str, ...] = BOTH


@dataclass(frozen=True)
class Scope:
    """What an incremental run looks at: movements that are new, and since when other rows count as new."""

    transactions: list[int]
    since: datetime | None

    def narrow(self, clause: str) -> str:
        """The clause with its values; they are numbers and a moment out of the database."""
        ids = ",".join(map(str, self.transactions))
        since = self.since.isoformat() if self.since else "1970-01-01T00:00:00+00:00"
        clause = clause.replace(":transactions", f"'{{{ids}}}'::bigint[]")
        return clause.replace(":since", f"'{since}'::timestamptz")


@dataclass(frozen=True)
class Verdict:
    """What a proof found: ``differences`` holds the first rows as column → value, ``count`` all of them."""

    name: str
    count: int
    differences: list[dict[str, Any]] = field(default_factory=list)


PROOFS = (
    Proof(
        "every balance equals the sum of its entries",
        """SELECT a.id AS ledger_account, a.kind, a.currency, a.balance, coalesce(e.total, 0) AS entries
           FROM billing_ledgeraccount a
           LEFT JOIN (SELECT ledger_account_id, sum(amount) AS total FROM billing_ledgerentry GROUP BY 1) e
                ON e.ledger_account_id = a.id
           WHERE a.balance <> coalesce(e.total, 0)""",
        (Mode.FULL,),
    ),
    Proof(
        "every balance is its proven one and the entries since",
        """SELECT a.id AS ledger_account, a.kind, a.currency, a.balance, m.balance AS proven, e.total AS entries
           FROM billing_ledgeraccount a LEFT JOIN billing_ledgermark m ON m.ledger_account_id = a.id
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(amount), 0) AS total FROM billing_ledgerentry
               WHERE ledger_account_id = a.id AND id > coalesce(m.entry_id, 0)) e
           WHERE a.balance <> coalesce(m.balance, 0) + e.total""",
        (Mode.SINCE,),
    ),
    Proof(
        "every transaction has two sides or more and sums to zero",
        """SELECT t.id AS transaction, t.kind, coalesce(sum(e.amount), 0) AS total, count(e.id) AS entries
           FROM billing_ledgertransaction t LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id
           {{WHERE t.id = ANY(:transactions)}}
           GROUP BY t.id, t.kind HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) < 2""",
    ),
    Proof(
        "a transaction moves accounts of its own currency only",
        """SELECT e.id AS entry, t.id AS transaction, t.currency, a.currency AS account_currency
           FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
           JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id WHERE a.currency <> t.currency
           {{AND t.id = ANY(:transactions)}}""",
    ),
    Proof(
        "every running balance follows from the one before",
        """SELECT id AS entry, ledger_account_id AS ledger_account, balance_after, expected FROM (
               SELECT id, ledger_account_id, balance_after,
                      sum(amount) OVER (PARTITION BY ledger_account_id ORDER BY id) AS expected
               FROM billing_ledgerentry) s
           WHERE balance_after <> expected""",
        (Mode.FULL,),
    ),
    Proof(
        "every running balance since follows from the proven one",
        """SELECT s.id AS entry, s.ledger_account_id AS ledger_account, s.balance_after, s.expected
           FROM billing_ledgeraccount a LEFT JOIN billing_ledgermark m ON m.ledger_account_id = a.id
           CROSS JOIN LATERAL (
               SELECT id, ledger_account_id, balance_after,
                      coalesce(m.balance, 0) + sum(amount) OVER (ORDER BY id) AS expected
               FROM billing_ledgerentry WHERE ledger_account_id = a.id AND id > coalesce(m.entry_id, 0)) s
           WHERE s.balance_after <> s.expected""",
        (Mode.SINCE,),
    ),
    Proof(
        "no wallet is below its floor",
        """SELECT id AS ledger_account, balance, credit_limit, overdraft_limit, debt_allowance
           FROM billing_ledgeraccount WHERE kind IN ('wallet', 'held', 'subsidy')
           AND balance < -credit_limit - overdraft_limit - debt_allowance""",
    ),
    Proof(
        "what is held equals the open rest of the holds",
        """SELECT coalesce(a.owner_id, h.payer_id) AS owner, coalesce(a.kind, h.kind) AS kind,
                  coalesce(a.currency, h.currency) AS currency, a.balance, h.open
           FROM (SELECT owner_id, kind, currency, balance FROM billing_ledgeraccount
                 WHERE kind IN ('held', 'subsidy')) a
           FULL JOIN (SELECT payer_id, CASE WHEN is_subsidy THEN 'subsidy' ELSE 'held' END AS kind, currency,
                             sum(amount - captured - released) AS open
                      FROM billing_hold GROUP BY 1, 2, 3) h
                ON h.payer_id = a.owner_id AND h.kind = a.kind AND h.currency = a.currency
           WHERE coalesce(a.balance, 0) <> coalesce(h.open, 0)""",
    ),
    Proof(
        "holds equal their movements, wallet by wallet",
        """WITH moved AS (
               SELECT a.owner_id, a.kind, t.currency,
                      coalesce(sum(e.amount) FILTER (WHERE t.kind = 'hold'), 0) AS held,
                      coalesce(-sum(e.amount) FILTER (WHERE t.kind = 'capture'), 0) AS captured,
                      coalesce(-sum(e.amount) FILTER (WHERE t.kind = 'release'), 0) AS released
               FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id
               WHERE a.kind IN ('held', 'subsidy') GROUP BY 1, 2, 3),
           stated AS (
               SELECT payer_id, CASE WHEN is_subsidy THEN 'subsidy' ELSE 'held' END AS kind, currency,
                      sum(amount) AS held, sum(captured) AS captured, sum(released) AS released
               FROM billing_hold GROUP BY 1, 2, 3)
           SELECT coalesce(owner_id, payer_id) AS owner, coalesce(m.kind, s.kind) AS kind, m.held, s.held AS stated_held,
                  m.captured, s.captured AS stated_captured, m.released, s.released AS stated_released
           FROM moved m FULL JOIN stated s ON s.payer_id = m.owner_id AND s.kind = m.kind AND s.currency = m.currency
           WHERE (coalesce(m.held, 0), coalesce(m.captured, 0), coalesce(m.released, 0))
                 <> (coalesce(s.held, 0), coalesce(s.captured, 0), coalesce(s.released, 0))""",
        (Mode.FULL,),
    ),
    Proof(
        "every hold is in the movement that it names, and no movement sets aside more",
        """WITH stated AS (
               SELECT movement_id, payer_id, CASE WHEN is_subsidy THEN 'subsidy' ELSE 'held' END AS kind, currency,
                      sum(amount) AS held
               FROM billing_hold WHERE amount <> 0 {{AND movement_id = ANY(:transactions)}} GROUP BY 1, 2, 3, 4),
           moved AS (
               SELECT t.id, a.owner_id, a.kind, t.currency, sum(e.amount) AS held
               FROM billing_ledgertransaction t JOIN billing_ledgerentry e ON e.transaction_id = t.id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id AND a.kind IN ('held', 'subsidy')
               WHERE t.kind = 'hold' {{AND t.id = ANY(:transactions)}} GROUP BY 1, 2, 3, 4)
           SELECT coalesce(m.id, s.movement_id) AS transaction, coalesce(m.owner_id, s.payer_id) AS owner,
                  coalesce(m.kind, s.kind) AS kind, m.held, s.held AS stated
           FROM moved m FULL JOIN stated s ON s.movement_id = m.id AND s.payer_id = m.owner_id AND s.kind = m.kind
                AND s.currency = m.currency
           WHERE m.held IS DISTINCT FROM s.held""",
    ),
    Proof(
        "every account's SMS credits are its lots less what was taken back of them",
        """WITH lots AS (
               SELECT account_id, sum(quantity - taken_back) AS kept FROM billing_creditlot GROUP BY 1),
           moved AS (
               SELECT a.owner_id, sum(e.amount) AS got
               FROM billing_ledgerentry e JOIN billing_ledgertransaction t ON t.id = e.transaction_id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id
               WHERE t.kind IN ('credits', 'takeback') AND t.currency = 'SMS' AND a.kind = 'wallet' GROUP BY 1)
           SELECT coalesce(l.account_id, m.owner_id) AS account, l.kept AS lots, m.got AS moved
           FROM lots l FULL JOIN moved m ON m.owner_id = l.account_id
           WHERE coalesce(l.kept, 0) <> coalesce(m.got, 0)""",
        (Mode.FULL,),
    ),
    Proof(
        "what is left of every lot is paid for along its price chain, to the last account",
        """WITH levels AS (
               SELECT t.reference, l.quantity - l.taken_back AS kept, (c.level ->> 0)::bigint AS owner_id,
                      (c.level ->> 1)::numeric AS price, lead((c.level ->> 1)::numeric) OVER line AS below,
                      c.n = 1 AS is_first
               FROM billing_creditlot l JOIN billing_ledgertransaction t ON t.id = l.transaction_id
               CROSS JOIN LATERAL jsonb_array_elements(l.chain) WITH ORDINALITY AS c(level, n)
               WINDOW line AS (PARTITION BY l.id ORDER BY c.n)),
           expected AS (
               SELECT reference, 'wallet' AS kind, owner_id, kept * coalesce(below - price, -price) AS amount FROM levels
               UNION ALL SELECT reference, 'revenue', NULL, kept * price FROM levels WHERE is_first),
           booked AS (
               SELECT t.reference, a.kind, CASE a.kind WHEN 'wallet' THEN a.owner_id END AS owner_id,
                      sum(e.amount) AS amount
               FROM billing_ledgertransaction t JOIN billing_ledgerentry e ON e.transaction_id = t.id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id
               WHERE t.kind IN ('credits', 'takeback') AND t.currency <> 'SMS' GROUP BY 1, 2, 3)
           SELECT coalesce(x.reference, b.reference) AS transfer, coalesce(x.kind, b.kind) AS kind,
                  coalesce(x.owner_id, b.owner_id) AS account, x.amount AS by_lot, b.amount AS booked
           FROM expected x FULL JOIN booked b
                ON b.reference = x.reference AND b.kind = x.kind AND coalesce(b.owner_id, 0) = coalesce(x.owner_id, 0)
           WHERE coalesce(x.amount, 0) <> coalesce(b.amount, 0)""",
        (Mode.FULL,),
    ),
    Proof(
        "every movement of numbers and keywords is one charge of a subscription",
        """SELECT t.id AS transaction, t.idempotency_key AS key, t.reference, s.code AS subscription, c.begins_on
           FROM billing_ledgertransaction t
           LEFT JOIN billing_servicecharge c ON c.transaction_id = t.id
           LEFT JOIN billing_subscription s ON s.id = c.subscription_id
           WHERE (t.kind IN ('number', 'keyword') OR c.id IS NOT NULL)
           AND (t.kind, t.about_id, t.currency, t.reference, t.idempotency_key) IS DISTINCT FROM
               (s.service, s.account_id, c.currency, s.code, CASE c.part WHEN 'setup' THEN 'setup:' || s.code
                WHEN 'month' THEN 'renewal:' || s.code || ':' || c.begins_on END)
           {{AND t.id = ANY(:transactions)}}""",
    ),
    Proof(
        "what numbers and keywords cost is paid by their payers, and earned by parents and platform, to the last place",
        """WITH charged AS (
               SELECT * FROM billing_servicecharge
               {{WHERE transaction_id = ANY(:transactions) OR created_at >= :since}}),
           shares AS (
               SELECT c.id, (e.share ->> 0)::bigint AS owner_id, (e.share ->> 1)::numeric AS amount
               FROM charged c CROSS JOIN LATERAL jsonb_array_elements(c.earnings) AS e(share)),
           sides AS (
               SELECT id, 'wallet' AS kind, payer_id AS owner_id, -amount AS amount FROM charged
               UNION ALL SELECT id, 'wallet', owner_id, amount FROM shares
               UNION ALL SELECT id, 'revenue', 0, amount FROM charged
               UNION ALL SELECT id, 'revenue', 0, -amount FROM shares),
           expected AS (SELECT id, kind, owner_id, sum(amount) AS amount FROM sides GROUP BY 1, 2, 3),
           booked AS (
               SELECT c.id, a.kind, CASE a.kind WHEN 'wallet' THEN a.owner_id ELSE 0 END AS owner_id,
                      sum(e.amount) AS amount
               FROM charged c JOIN billing_ledgerentry e ON e.transaction_id = c.transaction_id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id GROUP BY 1, 2, 3)
           SELECT coalesce(x.id, b.id) AS charge, coalesce(x.kind, b.kind) AS kind,
                  coalesce(x.owner_id, b.owner_id) AS account, x.amount AS stated, b.amount AS booked
           FROM expected x FULL JOIN booked b ON b.id = x.id AND b.kind = x.kind AND b.owner_id = x.owner_id
           WHERE coalesce(x.amount, 0) <> coalesce(b.amount, 0)""",
    ),
    Proof(
        "every subscription's months follow each other up to its next renewal",
        """WITH months AS (
               SELECT subscription_id, begins_on, ends_on,
                      lead(begins_on) OVER (PARTITION BY subscription_id ORDER BY begins_on) AS next
               FROM billing_servicecharge WHERE part <> 'setup')
           SELECT s.code AS subscription, m.begins_on, m.ends_on, coalesce(m.next, s.next_renewal_on) AS next
           FROM billing_subscription s LEFT JOIN months m ON m.subscription_id = s.id
           WHERE m.ends_on IS DISTINCT FROM coalesce(m.next, s.next_renewal_on)""",
        (Mode.FULL,),
    ),
    Proof(
        "every paid top-up is in the payer's wallet, once and with its amount",
        """SELECT u.code AS topup, u.amount, coalesce(e.amount, 0) AS credited
           FROM billing_topup u
           LEFT JOIN billing_ledgertransaction t ON t.idempotency_key = 'topup:' || u.code
           LEFT JOIN billing_ledgeraccount a ON a.owner_id = u.account_id AND a.kind = 'wallet' AND a.currency = u.currency
           LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.ledger_account_id = a.id
           WHERE ((u.state = 'paid') <> (e.id IS NOT NULL) OR (e.id IS NOT NULL AND e.amount <> u.amount))
           {{AND (t.id = ANY(:transactions) OR u.paid_at >= :since)}}""",
    ),
    Proof(
        "every trial credit that was given is in the account's wallet, in all",
        # The second condition on the kind is that of the index movement_of_payment.
        """WITH moved AS (
               SELECT t.about_id, sum(e.amount) AS amount FROM billing_ledgertransaction t
               JOIN billing_ledgerentry e ON e.transaction_id = t.id
               JOIN billing_ledgeraccount a ON a.id = e.ledger_account_id AND a.owner_id = t.about_id
                    AND a.kind = 'wallet'
               WHERE t.kind = 'trial' AND t.kind NOT IN ('hold', 'capture', 'release') GROUP BY 1)
           SELECT coalesce(b.account_id, m.about_id) AS account, b.trial_credit AS given, m.amount AS moved
           FROM (SELECT account_id, trial_credit FROM billing_billingterms WHERE trial_credit <> 0) b
           FULL JOIN moved m ON m.about_id = b.account_id
           WHERE coalesce(b.trial_credit, 0) <> coalesce(m.amount, 0)""",
        (Mode.FULL,),
    ),
    Proof(
        "every wallet goes below zero as far as its invoice terms allow, and no others do",
        # An overdraw whose last day is over is taken from the wallet at once and from the terms within the minute.
        """SELECT a.id AS ledger_account, a.owner_id AS account, a.credit_limit, i.credit_limit AS granted,
                  a.overdraft_limit, i.overdraw_amount AS overdraw, i.overdraw_until
           FROM billing_ledgeraccount a JOIN accounts_account o ON o.id = a.owner_id
           LEFT JOIN billing_invoiceterms i ON i.account_id = a.owner_id AND a.kind = 'wallet' AND a.currency = o.currency
           WHERE a.credit_limit <> coalesce(i.credit_limit, 0) OR (
               a.overdraft_limit <> coalesce(i.overdraw_amount, 0)
               AND NOT (a.overdraft_limit = 0 AND i.overdraw_until <= current_date))""",
    ),
)


def run_proofs(proofs: Iterable[Proof], mode: str = Mode.FULL) -> Iterator[Verdict]:
    """Run each proof of the mode on one snapshot of the database, so that traffic meanwhile makes no false alarm."""
    with snapshot() as cursor:
        yield from prove(cursor, proofs, mode, scope_of(cursor) if mode == Mode.SINCE else None)


@contextmanager
def snapshot() -> Iterator[CursorWrapper]:
    """A cursor that sees the database as it is now, whatever others commit meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        if len(connection.savepoint_ids) == 0:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield cursor


def prove(cursor: CursorWrapper, proofs: Iterable[Proof], mode: str, scope: Scope | None) -> Iterator[Verdict]:
    """The verdict of each proof of the mode; ``scope`` narrows the incremental one."""
    for proof in proofs:
        if mode not in proof.modes:
            continue
        cursor.execute(_NARROWED.sub(lambda found: scope.narrow(found[1]) if scope else "", proof.sql))
        names = [column.name for column in cursor.description or []]
        rows = cursor.fetchall()
        yield Verdict(proof.name, len(rows), [dict(zip(names, row, strict=True)) for row in rows[:SHOWN]])


def scope_of(cursor: CursorWrapper) -> Scope:
    """What changed since the last clean run: entries after each ledger account's mark, and what is an hour younger.

    The hour takes in rows of transactions that were open during that run; none lasts longer.
    """
    cursor.execute("SELECT max(started_at) - interval '1 hour' FROM billing_ledgercheck WHERE ok")
    row = cursor.fetchone()
    since = row[0] if row else None
    cursor.execute(
        """SELECT e.transaction_id FROM billing_ledgeraccount a
           LEFT JOIN billing_ledgermark m ON m.ledger_account_id = a.id
           CROSS JOIN LATERAL (SELECT transaction_id FROM billing_ledgerentry
                               WHERE ledger_account_id = a.id AND id > coalesce(m.entry_id, 0)) e
           UNION SELECT id FROM billing_ledgertransaction WHERE created_at >= coalesce(%s, '-infinity'::timestamptz)""",
        [since],
    )
    return Scope([row[0] for row in cursor.fetchall()], since)
