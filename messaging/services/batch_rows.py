"""Batches' own rows: made without Django's checks of each field, and written together in one prepared statement."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from billing.prepared import fetch_prepared
from messaging.models import Batch

# The columns that a new batch has values for, and what they are read as; the database gives the others, ids included.
_TYPES = {
    "code": "text", "account_id": "bigint", "payer_id": "bigint", "created_by_id": "bigint", "door": "text",
    "state": "text", "sender": "text", "text": "text", "encoding": "text", "message_class": "smallint",
    "idempotency_key": "text", "message_count": "integer", "excluded_count": "integer", "part_count": "integer",
    "currency": "text", "price": "numeric", "refusal": "text", "send_at": "timestamptz", "valid_until": "timestamptz",
    "created_at": "timestamptz", "accepted_at": "timestamptz",
}  # fmt: skip
_COLUMNS = ", ".join(_TYPES)
_WRITE = f"""
    INSERT INTO messaging_batch (id, {_COLUMNS})
    SELECT uuidv7(), {_COLUMNS}
    FROM json_to_recordset(%(rows)s::json) AS b({", ".join(f"{name} {kind}" for name, kind in _TYPES.items())})
    RETURNING id, code
"""  # noqa: S608 (names of columns)


def write_rows(batches: Sequence[Batch]) -> None:
    """Write new batches and give them their ids, which lie before those of the messages that are written next.

    Raises IntegrityError (one_batch_a_key) for a key that was used before; it waits for a transaction
    that is using one.
    """
    rows = [{name: getattr(batch, name) for name in _TYPES} for batch in batches]
    found = {code: pk for pk, code in fetch_prepared(_WRITE, {"rows": json.dumps(rows, default=_plain)})}
    for batch in batches:
        batch.pk = found[batch.code]
        batch._state.adding, batch._state.db = False, connection.alias


def _plain(value: Any) -> str:
    """As PostgreSQL reads it back."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{value!r} is of no batch")
