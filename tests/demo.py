"""Finding the demo's people."""

from accounts.models import Account, Membership


def account_of(login: str) -> Account:
    """The account whose owner logs in as ``<login>@demo.example``."""
    return Membership.objects.select_related("account").get(user__email=f"{login}@demo.example").account
