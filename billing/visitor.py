"""The terms and the balance of a request's account, looked up once for the whole page.

The view, the top bar and the gate of expired trials all read them. Only where nothing is written (GET never writes):
after a form's work they are read anew.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest

from accounts.models import Account
from billing import selectors
from billing.models import BillingTerms
from billing.selectors import Balance

Found = TypeVar("Found")
READING = ("GET", "HEAD", "OPTIONS")


def terms_of_visitor(request: HttpRequest) -> BillingTerms | None:
    """The terms of ``request.account``; None without an account, and as ``terms_of``."""
    return _once(request, "billing_terms", selectors.terms_of)


def balance_of_visitor(request: HttpRequest) -> Balance | None:
    """The money of ``request.account`` as ``balance_of``; None without an account."""
    return _once(request, "billing_balance", selectors.balance_of)


def _once(request: Any, name: str, find: Callable[[Account], Found]) -> Found | None:
    account = getattr(request, "account", None)
    if account is None:
        return None
    if request.method not in READING:
        return find(account)
    if not hasattr(request, name):
        setattr(request, name, find(account))
    found: Found = getattr(request, name)
    return found
