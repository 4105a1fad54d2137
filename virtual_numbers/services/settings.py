"""What the holder of a number sets on it: its label, and what messages set off that no keyword takes."""

import secrets
from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from virtual_numbers.exceptions import LeaseOver
from virtual_numbers.models import Lease, NumberSettings

SECRET_BYTES = 32
EDITABLE = frozenset(
    {"first_reply", "later_reply", "contact_list", "forward_emails", "forward_mobiles", "forward_url"}
)  # fmt: skip


@transaction.atomic
def label_lease(*, lease: Lease, label: str, actor: User | None) -> Lease:
    """Name a leased number for those who lease it; ``label``: up to 60 characters, "" = none. Raises LeaseOver."""
    found = _lock(lease)
    if found.label != label:
        before, found.label = found.label, label
        found.save(update_fields=["label"])
        _record(found, found.account, actor, "number.labelled", before={"label": before}, after={"label": label})
    return found


@transaction.atomic
def save_settings(*, lease: Lease, holder: Account, actor: User | None, **values: Any) -> str:
    """Set what messages to the number do (``values``: keys of EDITABLE, all of them).

    Returns the secret that signs what is posted to the URL when one was made just now, to be shown once; else "".
    Raises LeaseOver when the number is not the ``holder``'s any more.
    """
    if values.keys() != EDITABLE:
        raise TypeError(f"settings of a number are {sorted(EDITABLE)}")
    found = _lock(lease, holder)
    settings, _ = NumberSettings.objects.get_or_create(lease=found)
    changed = [name for name, value in values.items() if getattr(settings, name) != value]
    for name in changed:
        setattr(settings, name, values[name])
    made = ""
    if settings.forward_url and not settings.webhook_secret:
        made = settings.webhook_secret = secrets.token_urlsafe(SECRET_BYTES)
        changed.append("webhook_secret")
    if changed:
        settings.save(update_fields=changed)
        named = sorted(set(changed) - {"webhook_secret"})
        _record(found, holder, actor, "number.settings_changed", changed=named)
    return made


@transaction.atomic
def renew_secret(*, lease: Lease, holder: Account, actor: User | None) -> str:
    """Sign what is posted to the URL with another secret from now on; returns it. Raises LeaseOver."""
    found = _lock(lease, holder)
    settings, _ = NumberSettings.objects.get_or_create(lease=found)
    settings.webhook_secret = secrets.token_urlsafe(SECRET_BYTES)
    settings.save(update_fields=["webhook_secret"])
    _record(found, holder, actor, "number.secret_renewed")
    return settings.webhook_secret


def _lock(lease: Lease, holder: Account | None = None) -> Lease:
    found = Lease.objects.select_for_update(of=("self",)).select_related("number", "account").get(pk=lease.pk)
    if found.ended_at is not None or (holder is not None and found.holder_id != holder.pk):
        raise LeaseOver(f"{found.number} is not yours any more; nothing was changed.")
    return found


def _record(lease: Lease, account: Account, actor: User | None, action: str, **data: Any) -> None:
    audit.record(account=account, actor=actor, action=action, subject=lease.code, number=lease.number.number, **data)
