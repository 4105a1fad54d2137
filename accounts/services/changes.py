"""What was read of accounts, their terms and routes may be used again until any of it changes, in any process.

Triggers note the transaction of every statement that changes such tables (accounts/migrations/0004). Whoever keeps what
it has read also keeps the snapshot from before; a noted transaction that this snapshot does not see means: read again.
That costs one small query, waits for nobody, and is exact: a change counts from the moment its transaction commits.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection

from accounts.models import Account
from accounts.prepared import fetch_prepared

T = TypeVar("T")

LONGEST = 60.0  # seconds for which anything is kept; far less than notes of changes are (KEPT_HOURS)
MOST = 1_000  # accounts
KEPT_HOURS = 1

_LOOK = """
    SELECT pg_current_snapshot()::text,
        EXISTS (SELECT FROM accounts_termschange WHERE xid >= pg_snapshot_xmin(%(since)s::text::pg_snapshot)
                AND NOT pg_visible_in_snapshot(xid, %(since)s::text::pg_snapshot)),
        EXISTS (SELECT FROM accounts_termschange WHERE xid = pg_current_xact_id_if_assigned())
"""
_NEVER = "1:1:"  # a snapshot from before everything


class Kept(Generic[T]):
    """Keeps what ``read`` makes of accounts; safe to share between threads.

    ``read`` may look at accounts, terms, prices, margins, routes and their plans, costs included, and at nothing else
    that changes (other than what it looks at anew each time it is asked).
    """

    def __init__(self, read: Callable[[Account], T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._database = ""
        self._begin(_NEVER)

    def _begin(self, snapshot: str) -> None:
        self._found: dict[int, T] = {}
        self._snapshot, self._since = snapshot, time.monotonic()

    def look(self) -> Callable[[Account], T]:
        """Forget what has changed; returns how to ask for accounts during what is done now, such as one transaction.

        A transaction that has itself changed something gets everything read anew, and none of that is kept: it may
        yet be rolled back.
        """
        with self._lock:
            database = str(connection.settings_dict["NAME"])
            [(snapshot, has_changed, has_own)] = fetch_prepared(_LOOK, {"since": self._snapshot})
            if has_own:
                return self._read
            is_old = time.monotonic() - self._since > LONGEST or len(self._found) > MOST
            if has_changed or is_old or database != self._database:
                self._database = database
                self._begin(snapshot)
            found = self._found

        def of(account: Account) -> T:
            # Where another thread has begun anew meanwhile, this goes into what that one has thrown away.
            if account.pk not in found:
                found[account.pk] = self._read(account)
            return found[account.pk]

        return of


def forget_changes() -> None:
    """Remove notes that nobody can need any more."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_termschange WHERE noted_at < now() - %s * interval '1 hour'", [KEPT_HOURS])
