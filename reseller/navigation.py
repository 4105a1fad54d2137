"""The top menu: which words stand in it, for whom, and which of them is marked on a page."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from accounts.access import TenantRequest
from accounts.models import Account

Condition = Callable[[TenantRequest], bool]


def _everyone(request: TenantRequest) -> bool:
    return True


def _may_have_clients(request: TenantRequest) -> bool:
    return request.account.can_have_children


def _sees_money(request: TenantRequest) -> bool:
    return _billing("shows_money", request.account)


def _billing(function: str, account: Account) -> Any:  # until billing.selectors exists
    try:
        from billing import selectors
    except ImportError:
        return None
    return getattr(selectors, function, lambda account: None)(account)


@dataclass(frozen=True)
class Entry:
    """One word of the menu.

    ``covers`` are patterns of view names ("app:name") on which the word is marked as the current place; of all
    entries the one with the longest matching pattern wins.
    """

    label: str
    url_name: str
    covers: tuple[str, ...]
    condition: Condition = _everyone

    def match(self, view_name: str) -> int:
        """Length of the longest pattern that covers the view, 0 for none."""
        return max((len(pattern) for pattern in self.covers if fnmatchcase(view_name, pattern)), default=0)


@dataclass(frozen=True)
class Link:
    """An entry as a page shows it."""

    label: str
    url: str
    is_current: bool


MENU = (
    Entry("DASHBOARD", "dashboard", ("dashboard",)),
    Entry("SEND SMS", "messaging:send", ("messaging:send*", "messaging:preview*")),
    Entry("REPORTS", "messaging:reports", ("messaging:*",)),
    Entry("CLIENTS", "clients:list", ("clients:*",), _may_have_clients),
    Entry("BILLING", "billing:overview", ("billing:*",), _sees_money),
    Entry("SETTINGS", "accounts:settings", ("accounts:*", "account_change_password", "clients:defaults")),
)


def menu_for(request: HttpRequest) -> list[Link]:
    """The menu of the person who asks; empty for someone without an account (anonymous, staff)."""
    if getattr(request, "account", None) is None:
        return []
    current = _current_entry(request)
    links = []
    for entry in MENU:
        with suppress(NoReverseMatch):  # until every room has its urls
            if entry.condition(request):  # type: ignore[arg-type]
                links.append(Link(entry.label, reverse(entry.url_name), entry is current))
    return links


def balance_of(request: HttpRequest) -> Decimal | None:
    """What the account may spend now, in its currency; None where it sees no money."""
    account = getattr(request, "account", None)
    if account is None:
        return None
    return _billing("available_balance", account)


def _current_entry(request: HttpRequest) -> Entry | None:
    match = request.resolver_match
    if match is None:
        return None
    best = max(MENU, key=lambda entry: entry.match(match.view_name))
    return best if best.match(match.view_name) else None
