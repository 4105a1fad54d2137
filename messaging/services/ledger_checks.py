"""Proving the books, keeping what was found, and telling staff once when they are wrong (docs/ledger.md)."""

import json
from dataclasses import asdict

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from accounts.models import User
from accounts.services.mail import queue_mail
from billing.models import LedgerCheck
from billing.proof import Mode, Verdict, prove, scope_of, snapshot
from messaging.proof import PROOFS

_COUNT = "SELECT count(*) FROM billing_ledgertransaction"
_READ_MARKS = """
    SELECT a.id, last.id, a.balance FROM billing_ledgeraccount a CROSS JOIN LATERAL (
        SELECT id FROM billing_ledgerentry WHERE ledger_account_id = a.id ORDER BY id DESC LIMIT 1) last
"""
_SAVE_MARKS = """
    INSERT INTO billing_ledgermark AS m (ledger_account_id, entry_id, balance, proven_at)
    SELECT a, e, b, now() FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[]) AS s(a, e, b)
    ON CONFLICT (ledger_account_id) DO UPDATE
    SET entry_id = excluded.entry_id, balance = excluded.balance, proven_at = excluded.proven_at
    WHERE m.entry_id <= excluded.entry_id
"""
_Mark = tuple[int, int, object]  # ledger account, its last entry, the balance after it


def check_ledger(mode: str) -> tuple[LedgerCheck, list[Verdict]]:
    """Run the proofs of a mode (LedgerCheck.Mode) and store the result; returns it with every verdict.

    A clean run moves the marks on, from which the next incremental one goes on. The first failing run after a clean
    one tells staff by mail; further failing runs do not.
    """
    check = LedgerCheck.objects.create(mode=mode)
    with snapshot() as cursor:
        scope = scope_of(cursor) if mode == Mode.SINCE else None
        covered = len(scope.transactions) if scope else _count(cursor)
        verdicts = list(prove(cursor, PROOFS, mode, scope))
        cursor.execute(_READ_MARKS)
        marks: list[_Mark] = cursor.fetchall()
    _store(check, verdicts, covered, marks)
    return check, verdicts


def _count(cursor: CursorWrapper) -> int:
    cursor.execute(_COUNT)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


@transaction.atomic
def _store(check: LedgerCheck, verdicts: list[Verdict], covered: int, marks: list[_Mark]) -> None:
    wrong = [verdict for verdict in verdicts if verdict.count]
    was_wrong = LedgerCheck.objects.filter(pk__lt=check.pk, ok__isnull=False).order_by("-pk").values("ok").first()
    check.ok, check.finished_at, check.transactions = not wrong, timezone.now(), covered
    # Amounts and moments as text: JSON has neither exact decimals nor dates.
    check.differences = json.loads(json.dumps([asdict(verdict) for verdict in wrong], cls=DjangoJSONEncoder))
    check.save(update_fields=["ok", "finished_at", "transactions", "differences"])
    if not wrong:
        _save_marks(marks)
    elif was_wrong is None or was_wrong["ok"]:
        _tell_staff(check)


def _save_marks(marks: list[_Mark]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SAVE_MARKS, [list(column) for column in zip(*marks, strict=True)] or [[], [], []])


def _tell_staff(check: LedgerCheck) -> None:
    """One mail to each superuser: they alone can do something about it."""
    for user in User.objects.filter(is_superuser=True, is_active=True).exclude(email=""):
        queue_mail(
            key=f"ledger-check:{check.pk}:{user.pk}", to=user.email, template="billing/mail/ledger_wrong",
            context={"check": check, "user": user},
        )  # fmt: skip
