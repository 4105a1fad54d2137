"""Reads that say who may see which account."""

from django.db.models import Q
from django.http import Http404

from accounts.models import Account, Membership, User

LOADED_LEVELS = 3  # of the tree, which a membership brings with it: the account, its parent, and that one's


def get_membership_for(user: User, code: str = "") -> Membership | None:
    """The user's place: in the account with ``code`` if they belong to it, else their first."""
    memberships = user.memberships.select_related("account__parent__parent").order_by("pk")
    if code:
        chosen = memberships.filter(account__code=code).first()
        if chosen is not None:
            return chosen
    return memberships.first()


def find_user_by_login(login: str) -> User | None:
    """The user with that e-mail or login name, whatever its case; None when there is none."""
    if not login:
        return None
    return User.objects.filter(Q(email__iexact=login) | Q(username__iexact=login)).order_by("pk").first()


def get_child_for(account: Account, code: str) -> Account:
    """The direct client of ``account`` with that code; anything else is 404, as if it did not exist."""
    child = Account.objects.children_of(account).filter(code=code).select_related("parent").first()
    if child is None:
        raise Http404("No such client.")
    return child


def get_descendant_for(account: Account, code: str) -> Account:
    """An account of the subtree below ``account``; anything else is 404."""
    found = Account.objects.below(account).filter(code=code).select_related("parent").first()
    if found is None:
        raise Http404("No such client.")
    return found


def is_stopped(membership: Membership) -> bool:
    """Whether the account or one above it is not active, as the membership brought them (``get_membership_for``).

    That is the whole line of a client's client; only what stands above it is asked for.
    """
    line = [membership.account]
    while len(line) < LOADED_LEVELS and (above := line[-1].parent) is not None:
        line.append(above)
    if any(account.status != Account.Status.ACTIVE for account in line):
        return True
    rest = set(membership.account.path) - {account.pk for account in line}
    return bool(rest) and Account.objects.filter(pk__in=rest).exclude(status=Account.Status.ACTIVE).exists()


def suspended_in_line(account: Account) -> Account | None:
    """The topmost account from the root to ``account`` that is not active, or None: all are."""
    line = Account.objects.filter(pk__in=account.path).exclude(status=Account.Status.ACTIVE)
    return min(line, key=lambda found: len(found.path), default=None)
