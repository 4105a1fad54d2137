"""The application's role: what it may do, and what set-up never gives back."""

import subprocess
import sys
import threading

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction

from tests.engines import ROOT


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


def test_two_set_ups_at_once_wait_for_each_other(engines, committed_db):
    empty = f"{engines.database}_empty"
    with psycopg.connect(engines.postgres.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{empty}"')
    env = committed_db.env | {"DATABASE_URL": engines.postgres.url_of(empty)}
    results = []

    def set_up() -> None:
        command = [sys.executable, "manage.py", "setup_database", "-v", "0"]
        results.append(subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True))

    threads = [threading.Thread(target=set_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engines.drop(empty)
    assert [result.returncode for result in results] == [0, 0], results
