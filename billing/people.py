"""Whom the portal writes to about an account's money."""

from accounts.models import Account, Membership
from billing.models import NoticeTerms


def owner_email(account: Account) -> str:
    """The e-mail of the account's first owner; "" when nobody owns it."""
    owners = account.memberships.filter(role=Membership.Role.OWNER).order_by("pk")
    return owners.values_list("user__email", flat=True).first() or ""


def notice_address(account: Account) -> str:
    """Where notices about the account go: its notification e-mail, else its owner's; "" when there is neither."""
    chosen = NoticeTerms.objects.filter(account=account).values_list("email", flat=True).first()
    return chosen or owner_email(account)
