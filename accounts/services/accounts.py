"""Making and changing accounts of the tree."""

from typing import Any

from django.db import IntegrityError, transaction

from accounts.countries import country_name
from accounts.exceptions import ChildrenNotAllowed, CountryInUse, CurrencyMismatch, WrongState
from accounts.models import Account, User
from accounts.services import audit

EDITABLE = {"name", "contact_name", "mobile", "country", "time_zone", "can_have_children"}


def get_platform() -> Account:
    """The root of the tree; made by the first migration."""
    return Account.objects.get(parent=None)


@transaction.atomic
def create_account(*, parent: Account, name: str, currency: str = "", actor: User | None, **details: Any) -> Account:
    """Add an account below ``parent``; ``currency`` (ISO 4217) is needed only directly under the platform.

    Raises ChildrenNotAllowed, CurrencyMismatch (PRODUCT.md, money rule 1).
    """
    if not (parent.is_platform or parent.can_have_children):
        raise ChildrenNotAllowed(f"{parent.name} has no right to add clients.")
    currency = currency or parent.currency
    if not currency:
        raise CurrencyMismatch("An account directly under the platform needs a currency.")
    if not parent.is_platform and currency != parent.currency:
        raise CurrencyMismatch(f"{parent.name} works in {parent.currency}; its clients cannot have {currency}.")
    unknown = set(details) - EDITABLE
    if unknown:
        raise TypeError(f"unknown account details: {sorted(unknown)}")
    account = Account(parent=parent, name=name, currency=currency, **details)
    account.save()
    account.refresh_from_db(fields=["path"])
    audit.record(account=account, actor=actor, action="account.created", subject=account.code)
    return account


@transaction.atomic
def update_account(*, account: Account, actor: User | None, **details: Any) -> Account:
    """Change details (keys of EDITABLE) and note which.

    Raises CountryInUse for another country while the account has SMS credits that were bought for the old one.
    """
    unknown = set(details) - EDITABLE
    if unknown:
        raise TypeError(f"unknown account details: {sorted(unknown)}")
    changed = {key: value for key, value in details.items() if getattr(account, key) != value}
    if not changed:
        return account
    before = {key: getattr(account, key) for key in changed}
    for key, value in changed.items():
        setattr(account, key, value)
    try:
        with transaction.atomic():
            account.save(update_fields=list(changed))
    except IntegrityError as error:
        if "credits_keep_country" not in str(error):
            raise
        raise CountryInUse(
            f"{before.get('name', account.name)} has SMS credits that were bought for "
            f"{country_name(before['country'])}. Take them back, or let them be used up, before its country changes."
        ) from error
    audit.record(
        account=account, actor=actor, action="account.updated", subject=account.code, before=before, after=changed
    )
    return account


def suspend_account(*, account: Account, actor: User | None, reason: str = "") -> None:
    """Stop log-in and sending of the account and all below it; what waits in the queue waits. Raises WrongState."""
    _change_status(account, Account.Status.ACTIVE, Account.Status.SUSPENDED, actor, reason)


def reactivate_account(*, account: Account, actor: User | None, reason: str = "") -> None:
    """Undo a suspension. Raises WrongState."""
    _change_status(account, Account.Status.SUSPENDED, Account.Status.ACTIVE, actor, reason)


@transaction.atomic
def _change_status(account: Account, old: str, new: str, actor: User | None, reason: str) -> None:
    if Account.objects.filter(pk=account.pk, status=old).update(status=new) != 1:
        raise WrongState(f"{account.name} is not {old}; reload the page to see its state.")
    account.status = new
    noted = {"reason": reason} if reason else {}
    audit.record(account=account, actor=actor, action=f"account.{new}", subject=account.code, **noted)
