"""The top menu: which words stand in it, for whom, and which of them is marked on a page."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from django.urls import reverse

from accounts.access import MAY_SEND
from accounts.models import Account


@dataclass(frozen=True)
class Viewer:
    """Whose menu it is: account, the person's role in it, ``sees_money`` as in billing.selectors.shows_money.

    ``counts_credits``: the account sends with SMS credits. ``has_keywords``: keywords are switched on for it.
    """

    account: Account
    role: str
    sees_money: bool
    counts_credits: bool = False
    has_keywords: bool = False


@dataclass(frozen=True)
class Entry:
    """One word of the menu.

    ``covers`` are patterns of view names ("app:name") on which the word is marked as the current place; of all
    entries the one with the longest matching pattern wins.
    """

    label: str
    url_name: str
    covers: tuple[str, ...]
    condition: Callable[[Viewer], bool] = lambda viewer: True

    def match(self, view_name: str) -> int:
        """Length of the longest pattern that covers the view, 0 for none."""
        return max((len(pattern) for pattern in self.covers if fnmatchcase(view_name, pattern)), default=0)


@dataclass(frozen=True)
class Link:
    """An entry as a page shows it; ``unread`` stands beside INBOX, None beside every other word."""

    label: str
    url: str
    is_current: bool
    unread: int | None = None


INBOX = "INBOX"
MENU = (
    Entry("DASHBOARD", "dashboard", ("dashboard",)),
    Entry("SEND SMS", "messaging:send", ("messaging:send*",), lambda viewer: viewer.role in MAY_SEND),
    Entry(INBOX, "messaging:inbox", ("messaging:inbox*", "messaging:conversation*")),
    Entry("CONTACTS", "contacts:lists", ("contacts:*",)),
    Entry("NUMBERS", "numbers:list", ("numbers:*",)),
    Entry("KEYWORDS", "keywords:list", ("keywords:*",), lambda viewer: viewer.has_keywords),
    Entry("REPORTS", "messaging:reports", ("messaging:*",)),
    Entry("CLIENTS", "clients:list", ("clients:*",), lambda viewer: viewer.account.can_have_children),
    Entry("BILLING", "billing:overview", ("billing:*", "messaging:movement"), lambda viewer: viewer.sees_money),
    Entry(
        "CREDITS",
        "billing:credits",
        ("billing:credits*", "messaging:movement"),
        lambda viewer: viewer.counts_credits,
    ),
    Entry(
        "SETTINGS",
        "accounts:settings",
        ("accounts:*", "account_change_password", "clients:defaults", "billing:notices"),
    ),
)


def menu_for(viewer: Viewer, view_name: str, unread: int = 0) -> list[Link]:
    """The viewer's menu on the page that ``view_name`` draws ("" for none in particular).

    ``unread``: conversations, counted as messaging.inbox.unread_count does.
    """
    shown = [entry for entry in MENU if entry.condition(viewer)]
    current = _current_entry(shown, view_name)
    return [
        Link(entry.label, reverse(entry.url_name), entry is current, unread if entry.label == INBOX else None)
        for entry in shown
    ]


def _current_entry(shown: list[Entry], view_name: str) -> Entry | None:
    best = max(shown, key=lambda entry: entry.match(view_name))
    return best if best.match(view_name) else None
