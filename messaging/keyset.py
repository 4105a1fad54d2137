"""Paging by UUIDv7, newest first: page 1,000 of millions costs what page 1 costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

PAGE_SIZE = 50


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: after the row ``before`` (older rows) or ahead of the row ``after`` (newer rows)."""

    before: UUID | None = None
    after: UUID | None = None


@dataclass(frozen=True)
class Page:
    """Rows, newest first; the keys to ask for the neighbouring pages with, None where there is none."""

    rows: Sequence[Any]
    newer: UUID | None = None
    older: UUID | None = None


def read_cursor(before: str, after: str) -> Cursor:
    """Cursor of a page's query values; what is no key is read as none."""
    return Cursor(_uuid(before), _uuid(after))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def find_keys(
    table: str, accounts: list[int], conditions: list[tuple[str, Any]], cursor: Cursor, size: int = PAGE_SIZE
) -> Page:
    """Keys of one page of ``size`` rows of a tenant table that belong to ``accounts`` and meet ``conditions``.

    ``table`` and the conditions' SQL (such as "state = ANY(%s)") come from this program, values are parameters.
    Looks each account up in its (account, -id) index, so that neither a big neighbour nor a long history is read.
    """
    forward = cursor.after is not None
    wanted = list(conditions)
    if forward:
        wanted.append(("id > %s", cursor.after))
    elif cursor.before is not None:
        wanted.append(("id < %s", cursor.before))
    where = "".join(f" AND {condition}" for condition, _ in wanted)
    order = "id" if forward else "id DESC"
    sql = (
        "SELECT found.id FROM unnest(%s::bigint[]) AS tenant(key) CROSS JOIN LATERAL"  # noqa: S608
        f" (SELECT id FROM {table} WHERE account_id = tenant.key{where} ORDER BY {order} LIMIT %s) AS found"
        f" ORDER BY found.{order} LIMIT %s"
    )
    with connection.cursor() as db:
        db.execute(sql, [accounts, *(value for _, value in wanted), size + 1, size + 1])
        keys = [row[0] for row in db.fetchall()]
    return _page(keys, cursor, size)


def _page(keys: list[UUID], cursor: Cursor, size: int) -> Page:
    has_more, keys = len(keys) > size, keys[:size]
    if cursor.after is not None:
        keys.reverse()
        has_newer, has_older = has_more, bool(keys)
    else:
        has_newer, has_older = cursor.before is not None and bool(keys), has_more
    return Page(keys, keys[0] if has_newer else None, keys[-1] if has_older else None)
