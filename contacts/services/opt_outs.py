"""Opt-outs: a number that an account must not send to, until that one contact is opted in again."""

import re

from django.db import models, transaction
from django.utils import timezone

from accounts.models import Account, User
from accounts.prepared import fetch_prepared
from accounts.services import audit
from contacts.exceptions import BadNumber
from contacts.models import OptOut

_LOCK_SPACE = 0x4F505431  # "OPT1": the first key of the advisory locks of accounts' opt-outs
_E164 = re.compile(r"\+\d{3,15}")


class _DatabaseClock(models.Func):
    """Now, by the clock that also makes messages' keys: which came first, a message or an opt-out, is compared."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


@transaction.atomic
def opt_out(*, account: Account, number: str, source: str, detail: str = "", actor: User | None = None) -> bool:
    """Never send to ``number`` (E.164) from this account again; False when it was opted out already.

    ``source`` is one of OptOut.Source; ``detail`` the words that were sent, or what a person noted. Waits until no
    batch of the account is being accepted (see ``hold_still``). Raises BadNumber.
    """
    check_number(number)
    _lock(account, shared=False)
    if OptOut.objects.filter(account=account, number=number, ended_at=None).exists():
        return False
    OptOut.objects.create(
        account=account, number=number, source=source, detail=detail[:160], created_at=_DatabaseClock()
    )
    audit.record(account=account, actor=actor, action="contact.opted_out", subject=number, source=source)
    return True


@transaction.atomic
def opt_in(*, account: Account, number: str, reason: str, actor: User | None = None) -> bool:
    """End the opt-out of this one number; False when none is in force. It stays as history, with ``reason``.

    Whoever calls this has asked: a person on the confirmation page, or the phone itself by sending START.
    """
    _lock(account, shared=False)
    in_force = OptOut.objects.filter(account=account, number=number, ended_at=None)
    if not in_force.update(ended_at=timezone.now(), ended_by=actor, end_reason=reason[:160]):
        return False
    audit.record(account=account, actor=actor, action="contact.opted_in", subject=number, reason=reason[:160])
    return True


def hold_still(*accounts: Account) -> None:
    """Let no opt-out of the accounts commit until this transaction ends: what it reads of them now stays true.

    Accepting a batch does this before it reads them, so an opt-out either comes before the batch, and is left out of
    it, or after it. Any number of acceptances may hold at once.
    """
    _lock(*accounts, shared=True)


def check_number(number: str) -> None:
    """Raises BadNumber unless ``number`` is in E.164 form."""
    if not _E164.fullmatch(number):
        raise BadNumber(f"{number[:40]} is no number in international form: write + and the country code.")


def _lock(*accounts: Account, shared: bool) -> None:
    lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    query = f"SELECT {lock}(%s::int, key::int) FROM unnest(%s::bigint[]) AS key"  # noqa: S608 (one of two names)
    fetch_prepared(query, [_LOCK_SPACE, sorted(account.pk for account in accounts)])
