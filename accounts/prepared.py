"""Statements that run thousands of times a minute: PostgreSQL parses and plans them once per connection.

Django sends a statement with its values written into it, so that each is parsed and planned anew: for a movement of
the ledger that takes longer than the movement itself (docs/ledger.md, Speed).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.utils import CursorWrapper


class PreparedCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor on Django's connection whose statements are prepared when it runs them often.

    Raises Django's database errors. Values need a cast where nothing else tells their type.
    """

    def __init__(self) -> None:
        self._django = connections[DEFAULT_DB_ALIAS]  # looked up once: Django's ``connection`` does so at each use
        self._django.ensure_connection()
        super().__init__(self._django.connection)

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """As psycopg's."""
        self._django.validate_no_broken_transaction()
        with self._django.wrap_database_errors:
            return super().execute(query, params, **options)


AnyCursor = CursorWrapper | PreparedCursor


def fetch_prepared(query: str, values: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows; raises Django's database errors.

    Its values need a cast where nothing else tells their type (``%(key)s::text``).
    """
    with PreparedCursor() as cursor:
        return cursor.execute(query, values, prepare=True).fetchall()


def one_statement() -> AbstractContextManager[None]:
    """Around a single statement that may be refused: inside a transaction a savepoint, so that it can go on.

    Outside it is nothing: a statement by itself is a transaction, and its locks end with it instead of a round trip
    later.
    """
    return transaction.atomic() if connections[DEFAULT_DB_ALIAS].in_atomic_block else nullcontext()
