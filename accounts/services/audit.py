"""The audit trail."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Account, AuditEntry, User
from accounts.prepared import PreparedCursor

_NOTE = """
    INSERT INTO accounts_auditentry (account_id, actor_id, action, subject, data, created_at)
    SELECT d.account, d.actor, %(action)s::text, d.subject, '{}'::jsonb, %(now)s::timestamptz
    FROM unnest(%(accounts)s::bigint[], %(actors)s::bigint[], %(subjects)s::text[]) AS d(account, actor, subject)
"""


def record(*, account: Account, actor: User | None, action: str, subject: str = "", **data: Any) -> AuditEntry:
    """Note a deed in the transaction that does it; ``actor`` None = the system. ``data``: JSON, no secrets."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs in the transaction of the deed that it records.")
    return AuditEntry.objects.create(account=account, actor=actor, action=action, subject=subject, data=data)


def record_all(action: str, deeds: list[tuple[Account, User | None, str]]) -> None:
    """Note many deeds of one kind at once: (account, actor, subject) each, one at least; as ``record``."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs in the transaction of the deed that it records.")
    rows = [(account.id, actor.id if actor else None, subject) for account, actor, subject in deeds]
    accounts, actors, subjects = (list(column) for column in zip(*rows, strict=True))
    now = timezone.now()
    values = {"accounts": accounts, "actors": actors, "subjects": subjects, "action": action, "now": now}
    with PreparedCursor() as cursor:
        cursor.execute(_NOTE, values, prepare=True)
