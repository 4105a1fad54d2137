"""`manage.py after_restore`: run once after a back-up was restored, before connectors start (docs/operations.md)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from messaging.connectors.statements import LOCK_SPACE
from messaging.services.unknown import doubt_what_waited

_BINDS_HELD = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Command(BaseCommand):
    """What waited at the moment of the back-up may have been sent since: nobody may send it again unasked."""

    help = "Mark messages that may have been sent since the back-up as unknown. Nothing else of the portal may run."

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_BINDS_HELD, [LOCK_SPACE])
            if cursor.fetchone()[0]:
                raise CommandError("connectors are running on this database; stop every process of the portal first")
        count = doubt_what_waited()
        self.stdout.write(
            f"{count:,} message{'' if count == 1 else 's'} may have been sent since the back-up and"
            f" {'is' if count == 1 else 'are'} unknown now. Decide about them in the admin, Unknown messages."
        )
