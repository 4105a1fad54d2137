"""The audit trail."""

from typing import Any

from django.db import transaction

from accounts.models import Account, AuditEntry, User


def record(*, account: Account, actor: User | None, action: str, subject: str = "", **data: Any) -> AuditEntry:
    """Note a deed in the transaction that does it; ``actor`` None = the system. ``data``: JSON, no secrets."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs in the transaction of the deed that it records.")
    return AuditEntry.objects.create(account=account, actor=actor, action=action, subject=subject, data=data)
