"""Paging of one account's rows by key, newest first: page 2,000 of 100,000 members costs what page 1 costs."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

PAGE_SIZE = 50
_LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Page:
    """Rows, newest first; the keys to ask for the neighbouring pages with, None where there is none."""

    rows: list[Any]
    newer: int | None = None
    older: int | None = None


def page_of(rows: QuerySet[Any], *, before: str, after: str, size: int = PAGE_SIZE) -> Page:
    """The rows older than key ``before`` or newer than key ``after``, both as the address has them; "" = the newest.

    What is no key is read as none.
    """
    older_than, newer_than = _key(before), _key(after)
    if newer_than is not None:
        found = list(rows.filter(pk__gt=newer_than).order_by("pk")[: size + 1])
        page = found[:size][::-1]
        return _page(page, has_newer=len(found) > size, has_older=bool(page))
    if older_than is not None:
        rows = rows.filter(pk__lt=older_than)
    found = list(rows.order_by("-pk")[: size + 1])
    page = found[:size]
    return _page(page, has_newer=older_than is not None and bool(page), has_older=len(found) > size)


def _page(rows: list[Any], *, has_newer: bool, has_older: bool) -> Page:
    return Page(rows, rows[0].pk if has_newer else None, rows[-1].pk if has_older else None)


def _key(text: str) -> int | None:
    is_key = text.isascii() and text.isdigit() and len(text) <= 19
    return min(int(text), _LARGEST_KEY) if is_key else None
