"""Setting what an account may send."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from messaging.models import SendingTerms, SilentMessage
from messaging.wakeups import DISPATCH_ALL, wake


@transaction.atomic
def set_limits(*, account: Account, actor: User | None, **limits: Any) -> SendingTerms:
    """Change some of the account's SendingTerms, by field name; what is not named stays. It counts at once.

    Raises ValidationError for values that the model does not allow.
    """
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)  # one change at a time, also of the first
    terms = SendingTerms.objects.filter(account=account).first() or SendingTerms(account=account)
    changed = {name: [_plain(getattr(terms, name)), _plain(value)] for name, value in limits.items()}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    for name, value in limits.items():
        setattr(terms, name, value)
    terms.full_clean(exclude=["account"])
    if not changed and terms.pk:
        return terms
    terms.save()
    audit.record(account=account, actor=actor, action="sending.limits", changes=changed)
    if {"waiting_days", "expired_state"} & set(changed):
        SilentMessage.objects.filter(account=account).update(look_at=timezone.now())
    transaction.on_commit(lambda: wake(DISPATCH_ALL))
    return terms


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)
