"""Long lists as parameters of statements, written to PostgreSQL at once instead of element by element.

Set-based statements take thousands of ids and texts as arrays. psycopg dumps, searches and quotes each element by
itself, which cost the connectors a tenth and the settling workers a third of their processor time. Lists of one plain
kind are written here by a few operations on the whole list; all others go psycopg's way.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.types.array import ListDumper


class FlatListDumper(ListDumper):
    """Writes lists of ids, texts or whole numbers fast (PostgreSQL's array literals, documentation 8.15.6)."""

    def _dump_list(self, obj: list[Any], tokens: list[Buffer], needs_quotes: Callable[[Buffer], object]) -> None:
        kinds = set(map(type, obj))
        if kinds == {str} and (texts := _quoted(obj)) is not None:
            tokens.append(texts.encode())
        elif kinds == {UUID}:
            tokens.append(b"{%b}" % b",".join([b"%032x" % one.int for one in obj]))
        elif kinds == {int}:
            tokens.append(b"{%b}" % ",".join(map(str, obj)).encode())
        else:
            super()._dump_list(obj, tokens, needs_quotes)


def _quoted(texts: list[str]) -> str | None:
    """The literal of an array of texts; None where one has a NUL, which psycopg refuses by its own error."""
    everything = "".join(texts)
    if "\0" in everything:
        return None
    if '"' in everything or "\\" in everything:
        texts = [one.replace("\\", "\\\\").replace('"', '\\"') for one in texts]
    return '{"' + '","'.join(texts) + '"}'


def register() -> None:
    """Have every connection that is opened from now on write lists so."""
    psycopg.adapters.register_dumper(list, FlatListDumper)
