"""Billing terms of accounts: making and changing them."""

from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.models import BillingTerms, LedgerAccount
from billing.services import ledger

EDITABLE = {
    "method", "fixed_topup", "minimum_topup", "daily_topup_limit", "sms_margin", "display_margin", "rate_card",
    "trial_ends_on",
}  # fmt: skip


@transaction.atomic
def create_terms(*, account: Account, actor: User | None, **values: Any) -> BillingTerms:
    """Give a new account its terms and its empty wallet. ``values``: keys of EDITABLE."""
    _check(values)
    terms = BillingTerms.objects.create(account=account, **values)
    ledger.open_account(account, LedgerAccount.Kind.WALLET)
    audit.record(account=account, actor=actor, action="terms.created", subject=account.code, **_readable(values))
    return terms


@transaction.atomic
def update_terms(*, terms: BillingTerms, actor: User | None, **values: Any) -> BillingTerms:
    """Change terms and note the old and new values. What was accepted keeps the price that it was accepted at."""
    _check(values)
    locked = BillingTerms.objects.select_for_update().get(pk=terms.pk)
    changed = {key: value for key, value in values.items() if getattr(locked, key) != value}
    if not changed:
        return locked
    before = {key: getattr(locked, key) for key in changed}
    for key, value in changed.items():
        setattr(locked, key, value)
    locked.save(update_fields=list(changed))
    audit.record(
        account=locked.account, actor=actor, action="terms.updated", subject=locked.account.code,
        before=_readable(before), after=_readable(changed),
    )  # fmt: skip
    return locked


def _check(values: dict[str, Any]) -> None:
    unknown = set(values) - EDITABLE
    if unknown:
        raise TypeError(f"unknown billing terms: {sorted(unknown)}")


def _readable(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
