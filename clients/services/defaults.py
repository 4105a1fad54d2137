"""A reseller's SMS margin for billed clients and its defaults for new clients."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.services.terms import update_terms
from clients.models import ClientDefaults

EDITABLE = {field.name for field in ClientDefaults._meta.fields} - {"account"}


@transaction.atomic
def update_defaults(
    *, account: Account, display_margin: Decimal | None, actor: User | None, **values: Any
) -> ClientDefaults:
    """Save what ADD CLIENT starts with (``values``: keys of EDITABLE) and, unless None, the display margin a part."""
    unknown = set(values) - EDITABLE
    if unknown:
        raise TypeError(f"unknown client defaults: {sorted(unknown)}")
    if display_margin is not None:
        update_terms(terms=account.billing_terms, actor=actor, display_margin=display_margin)
    defaults, made = ClientDefaults.objects.select_for_update().get_or_create(account=account, defaults=values)
    if made:
        audit.record(account=account, actor=actor, action="client_defaults.updated", after=_readable(values), before={})
        return defaults
    changed = {key: value for key, value in values.items() if getattr(defaults, key) != value}
    if changed:
        before = {key: getattr(defaults, key) for key in changed}
        for key, value in changed.items():
            setattr(defaults, key, value)
        defaults.save(update_fields=list(changed))
        audit.record(
            account=account, actor=actor, action="client_defaults.updated",
            before=_readable(before), after=_readable(changed),
        )  # fmt: skip
    return defaults


def _readable(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
