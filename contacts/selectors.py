"""Reads of contacts, lists and opt-outs; every one is of a single account."""

from collections.abc import Collection

from accounts.models import Account
from contacts.models import OptOut


def opted_out_among(account: Account, numbers: Collection[str]) -> set[str]:
    """Which of ``numbers`` (E.164) the account must not send to now; one query for any count of them."""
    if not numbers:
        return set()
    in_force = OptOut.objects.filter(account=account, ended_at=None)
    return set(in_force.filter(number__in=list(numbers)).values_list("number", flat=True))
