"""The audit trail."""

from typing import Any

from django.db import transaction

from accounts.models import Account, AuditEntry, User


def record(*, account: Account, actor: User | None, action: str, subject: str = "", **data: Any) -> AuditEntry:
    """Note a deed in the transaction that does it; ``actor`` None = the system. ``data``: JSON, no secrets."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs in the transaction of the deed that it records.")
    return AuditEntry.objects.create(account=account, actor=actor, action=action, subject=subject, data=data)


def record_all(action: str, deeds: list[tuple[Account, User | None, str]]) -> None:
    """Note many deeds of one kind at once: (account, actor, subject) each; as ``record``."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry belongs in the transaction of the deed that it records.")
    AuditEntry.objects.bulk_create(
        AuditEntry(account=account, actor=actor, action=action, subject=subject) for account, actor, subject in deeds
    )
