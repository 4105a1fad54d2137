"""What every page may name: the product, the top menu and the balance."""

from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from reseller.navigation import balance_of, menu_for


def portal(request: HttpRequest) -> dict[str, Any]:
    """``site_name``; ``menu``, a list of navigation.Link; ``header_balance``, a Decimal or None: sees no money.

    The last two are functions that a template calls by naming them, so that partial answers cost no query.
    """
    return {
        "site_name": settings.SITE_NAME,
        "menu": partial(menu_for, request),
        "header_balance": partial(balance_of, request),
    }
