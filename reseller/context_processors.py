"""What every page may name: the product, the top menu and the balance."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from billing.selectors import Balance, balance_of, shows_money
from reseller.navigation import Link, Viewer, menu_for


def portal(request: HttpRequest) -> dict[str, Any]:
    """Adds ``site_name``, ``sees_money``, ``menu`` and ``header_balance``.

    ``sees_money``: whether this account's pages may show prices and balances. ``menu``: a list of navigation.Link,
    empty without an account. ``header_balance``: a billing.selectors.Balance, None where no money is shown. These are
    functions that a template calls by naming them, so that an answer without a top bar asks the database nothing.
    """
    membership = getattr(request, "membership", None)
    account = membership.account if membership else None

    @cache
    def sees_money() -> bool:
        return shows_money(account)

    def menu() -> list[Link]:
        if membership is None:
            return []
        match = request.resolver_match
        return menu_for(Viewer(membership.account, membership.role, sees_money()), match.view_name if match else "")

    def header_balance() -> Balance | None:
        return balance_of(account) if account is not None and sees_money() else None

    return {"site_name": settings.SITE_NAME, "sees_money": sees_money, "menu": menu, "header_balance": header_balance}
