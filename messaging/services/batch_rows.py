"""What an accepted batch leaves in the database, written in sets: its own row, its messages, and who was left out."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.base import ModelState

from accounts.codes import new_code
from accounts.prepared import PreparedCursor, fetch_prepared
from billing.models import Quote
from messaging.models import Batch, Message
from messaging.services.batch_plan import Plan
from messaging.services.rollups import note_accepted

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


_NAMES = [field.attname for field in Batch._meta.concrete_fields]
_RELATIONS = ("account", "payer", "created_by")


def make_row(**values: Any) -> Batch:
    """A new batch, not written yet: as ``Batch(**values)``, faster. Every field without a default here has to be given.

    It is what Django makes of a row that it reads, made as unpickling makes it.
    """
    row = {"id": None, "code": new_code(), "refusal": "", "cancelled_at": None} | values
    row |= {f"{name}_id": row[name] and row[name].pk for name in _RELATIONS}
    batch = Batch.__new__(Batch)
    batch.__dict__ |= {name: row[name] for name in _NAMES}
    batch._state = ModelState()
    batch._state.db, batch._state.adding = connection.alias, False
    batch._state.fields_cache = {name: row[name] for name in _RELATIONS}
    return batch


def write_rows(batches: Sequence[Batch]) -> None:
    """Write new batches and give them their ids, which lie before those of the messages that are written next.

    Raises IntegrityError (one_batch_a_key) for a key that was used before; it waits for a transaction
    that is using one.
    """
    rows = [{name: batch.__dict__[name] for name in _TYPES} for batch in batches]
    found = {code: pk for pk, code in fetch_prepared(_WRITE, {"rows": json.dumps(rows, default=_plain)})}
    for batch in batches:
        batch.pk = found[batch.code]


_moment = lru_cache(maxsize=64)(datetime.isoformat)  # batches that are accepted together share theirs


def _plain(value: Any) -> str:
    """As PostgreSQL reads it back."""
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{value!r} is of no batch")


Quotes = dict[tuple[int, str], Quote]  # (who sends, prefix) -> the stored price

_COPY_MESSAGES = (
    "COPY messaging_message (batch_id, account_id, payer_id, not_before, valid_until, message_class, priority, state,"
    " sender, route_id, quote_id, recipient, parts, price, display_price, cost, text) FROM STDIN"
)
# The key after which those of the messages lie, and what the senders' terms say of them.
_BEFORE = """
    SELECT uuidv7(), (SELECT json_object_agg(account_id, priority) FROM messaging_sendingterms
                      WHERE account_id = ANY(%(senders)s::bigint[]))
"""
_WRITE_KEYS = """
    INSERT INTO messaging_messagekey (account_id, message_id, recipient)
    SELECT m.account_id, m.id, m.recipient FROM unnest(%(batches)s::uuid[]) AS one(id) CROSS JOIN LATERAL (
        SELECT account_id, id, recipient FROM messaging_message
        WHERE batch_id = one.id AND id > %(first)s::uuid OFFSET 0) AS m
"""
_COPY_EXCLUSIONS = "COPY messaging_exclusion (batch_id, value, reason, detail) FROM STDIN"
_LINES = 1_000  # that are handed over at once
_NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def copy_messages(batches: list[tuple[Batch, Plan]], quotes: Quotes) -> None:
    """Write all messages with COPY, and their keys; ids are made by the database, in the order of the recipients."""
    counts = Counter[tuple[int, int]]()
    ids = [batch.pk for batch, _ in batches]
    [(first, terms)] = fetch_prepared(_BEFORE, {"senders": list({batch.account_id for batch, _ in batches})})
    priorities = {int(account): priority for account, priority in (terms or {}).items()}
    lines = (line for batch, plan in batches for line in _lines_of(batch, plan, quotes, priorities, counts))
    with connection.cursor() as cursor, cursor.copy(_COPY_MESSAGES) as copy:
        while chunk := list(islice(lines, _LINES)):
            copy.write("".join(chunk))
    with PreparedCursor() as prepared:
        prepared.execute(_WRITE_KEYS, {"batches": ids, "first": first}, prepare=True)
    note_accepted(ids, counts)


def _lines_of(
    batch: Batch, plan: Plan, quotes: Quotes, priorities: dict[int, int], counts: Counter[tuple[int, int]]
) -> Iterator[str]:
    """A batch's messages in COPY's text format (PostgreSQL's documentation of COPY, File Formats)."""
    sender = batch.account_id
    state = Message.State.SCHEDULED if batch.send_at else Message.State.QUEUED
    before = (
        f"{batch.pk}\t{sender}\t{batch.payer_id}\t{batch.send_at or _NULL}\t{batch.valid_until or _NULL}"
        f"\t{batch.message_class}\t{priorities.get(sender, 0)}\t{state.value}\t{_field(batch.sender)}"
    )
    priced: dict[tuple[str, int], tuple[int, str]] = {}
    for recipient in plan.recipients:
        prefix, parts = recipient.price.prefix, recipient.parts
        if (prefix, parts) not in priced:
            priced[prefix, parts] = _price_of(quotes[sender, prefix], parts)
        quote_id, prices = priced[prefix, parts]
        counts[sender, quote_id] += 1
        text = _NULL if recipient.text is None else _field(recipient.text)
        yield (
            f"{before}\t{recipient.route_id}\t{quote_id}\t{recipient.number}\t{parts}\t{prices}"
            f"\t{_NULL if recipient.cost is None else recipient.cost}\t{text}\n"
        )


def _price_of(quote: Quote, parts: int) -> tuple[int, str]:
    """A message's quote; its price and what a paying parent bills for it, as two fields."""
    display = None if quote.display_price is None else quote.display_price * parts
    return quote.pk, f"{quote.unit_price * parts}\t{_NULL if display is None else display}"


def _field(value: Any) -> str:
    return _NULL if value is None else str(value).translate(_ESCAPES)


def copy_exclusions(batches: list[tuple[Batch, Plan]]) -> None:
    """Write with COPY who was left out of the batches, and why."""
    rows = [(batch.pk, row.value, row.reason, row.detail) for batch, plan in batches for row in plan.exclusions]
    if not rows:
        return
    with connection.cursor() as cursor, cursor.copy(_COPY_EXCLUSIONS) as copy:
        copy.write("".join("\t".join(map(_field, row)) + "\n" for row in rows))
