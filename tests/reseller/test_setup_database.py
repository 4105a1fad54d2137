"""The application's role: what it may do, and what set-up never gives back."""

import subprocess
import sys
import time

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction

from reseller.management.commands.setup_database import LOCK_KEY
from tests.engines import ROOT

# Sessions that want an advisory lock of this database and do not get it.
WAITING = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def _privileges(table: str) -> set[str]:
    wanted = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p FROM unnest(%s::text[]) p WHERE has_table_privilege('reseller_app', %s, p)", [wanted, table]
        )
        return {row[0] for row in cursor.fetchall()}


def test_the_application_acts_as_a_role_without_power(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == ("reseller_app", False, False)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = 'reseller_app'::regrole")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    "statement", ["TRUNCATE accounts_user CASCADE", "CREATE TABLE x ()", "DROP TABLE accounts_user"]
)
def test_truncate_and_ddl_are_out_of_reach(db, statement):
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_ordinary_tables_can_be_read_and_written(db):
    assert _privileges("accounts_user") == {"SELECT", "INSERT", "UPDATE", "DELETE"}


def test_set_up_twice_leaves_every_privilege_as_migrations_left_it(committed_db):
    tables = sorted(connection.introspection.table_names())
    before = {table: _privileges(table) for table in tables}
    call_command("setup_database", verbosity=0)
    connections.close_all()
    assert {table: _privileges(table) for table in tables} == before
    assert not _privileges("billing_ledgerentry") & {"UPDATE", "DELETE", "TRUNCATE"}


@pytest.mark.long
def test_two_set_ups_at_once_wait_for_each_other(committed_db):
    """Both are held at the door until they stand there together, and both then have the same table to make."""
    call_command("migrate", "sessions", "zero", database="owner", verbosity=0)
    command = [sys.executable, "manage.py", "setup_database", "-v", "0"]
    with psycopg.connect(committed_db.url, autocommit=True) as door:
        door.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        both = [
            subprocess.Popen(command, env=committed_db.env, cwd=ROOT, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 120
        while door.execute(WAITING).fetchone() != (2,) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert door.execute(WAITING).fetchone() == (2,)
        assert "django_session" not in connection.introspection.table_names()
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert _privileges("django_session") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
