"""Make the application's database role, give it its rights on what migrations will make, and migrate."""

import psycopg
from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

# Any fixed number: the key of the advisory lock that keeps two set-ups of one database apart.
LOCK_KEY = 7_203_114_952

# Rights come from default privileges, that is at the moment a migration makes a table, and are never granted again
# over all tables: a migration that takes some away (the ledger's UPDATE and DELETE) must have the last word.
DEFAULT_PRIVILEGES = (
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
)


class Command(BaseCommand):
    """`manage.py setup_database`: safe to repeat and to start twice at once; the second one waits for the first."""

    help = __doc__

    def handle(self, *args: object, **options: object) -> None:
        """Raises CommandError when the login of DATABASE_URL may not do what set-up needs."""
        owner = connections["owner"]
        try:
            with owner.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        except OperationalError as error:
            raise CommandError(f"The database of DATABASE_URL cannot be reached: {error}") from error
        try:
            prepare_role(owner, settings.DATABASE_APP_ROLE)
            call_command("migrate", database="owner", interactive=False, verbosity=options["verbosity"])
        finally:
            owner.close()  # ends the session and with it the lock


def prepare_role(owner: BaseDatabaseWrapper, role: str) -> None:
    """Make ``role`` when missing, let the owner's login act as it, and give it rights on tables still to be made."""
    with owner.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [role])
        found = cursor.fetchone()
        if found is None:
            _make_role(cursor, role)
        elif found[0]:
            raise CommandError(f"The role {role} of DATABASE_APP_ROLE is a superuser or bypasses row security.")
        name = sql.Identifier(role)
        cursor.execute("SELECT current_user <> session_user OR pg_has_role(session_user, %s, 'SET')", [role])
        if not cursor.fetchone()[0]:
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
        for statement in DEFAULT_PRIVILEGES:
            cursor.execute(sql.SQL(statement).format(role=name))


def _make_role(cursor: CursorWrapper, role: str) -> None:
    """Create the role; the same moment in another database of the same server may win, which is as good."""
    statement = sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
    try:
        cursor.execute(statement.format(sql.Identifier(role)))
    except Exception as error:
        if isinstance(error.__cause__, psycopg.errors.DuplicateObject | psycopg.errors.UniqueViolation):
            return
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise CommandError(
                f"The login of DATABASE_URL may not make the role {role}. As a database administrator run: "
                f'CREATE ROLE "{role}" NOLOGIN; GRANT "{role}" TO <the login>;'
            ) from error
        raise
