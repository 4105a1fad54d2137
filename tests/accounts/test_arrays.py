"""Lists as parameters reach PostgreSQL as they are, whichever way they are written."""

from decimal import Decimal
from unittest.mock import Mock
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DataError, connection
from psycopg.adapt import PyFormat

from accounts.arrays import FlatListDumper

LISTS = [
    (
        "text",
        ['say "no"', "C:\\temp\\", "\\", '"', '\\"', "", "NULL", "{a,b}", "a,b", " spaced ", "é€😀", "\n"],
    ),
    ("text", ["one"]),
    ("text", ["one", None, 'tw"o']),
    ("text", [None, None]),
    ("text", []),
    ("text", [["a", 'b"'], ["c\\", "d"]]),
    ("uuid", [uuid4(), UUID(int=0), UUID(int=2**128 - 1)]),
    ("uuid", [uuid4(), None]),
    ("bigint", [0, -1, 2**63 - 1, -(2**63)]),
    ("bool", [True, False]),
    ("numeric", [Decimal("0.000001"), Decimal("-5")]),
    ("bytea", [b"\0\xff", b'"\\']),
]


def test_lists_come_back_as_they_were_sent(db):
    with connection.cursor() as cursor:
        for kind, values in LISTS:
            cursor.execute(f"SELECT %s::{kind}[]", [values])
            assert cursor.fetchone() == (values,), kind
        with pytest.raises(DataError, match="NUL"):
            cursor.execute("SELECT %s::text[]", [["a", "b\0c"]])


def test_a_connection_that_binds_parameters_writes_the_same_lists(db):
    parameters = connection.get_connection_params() | {"cursor_factory": psycopg.Cursor, "context": None}
    with psycopg.connect(**{key: value for key, value in parameters.items() if value is not None}) as session:
        assert session.adapters.get_dumper(list, PyFormat.AUTO) is FlatListDumper
        for kind, values in LISTS:
            assert session.execute(f"SELECT %s::{kind}[]", [values]).fetchone() == (values,), kind


def test_plain_lists_are_not_written_element_by_element():
    """The canary of the two above, which psycopg's own way would pass as well."""
    dumper = FlatListDumper(list)
    dumper.sub_dumper = Mock(dump=Mock(side_effect=AssertionError("an element was dumped")))
    assert dumper.dump(['a"', "b"]) == b'{"a\\"","b"}'
    assert dumper.dump([3, 4]) == b"{3,4}"
    assert dumper.dump([UUID(int=1)]) == b"{%032x}" % 1
    with pytest.raises(AssertionError):
        dumper.dump([Decimal(1)])
