"""What an accepted batch leaves in the database, written in sets: its own row, its messages, and who was left out."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
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
from messaging.services.dispatching import AT_ONCE, RELEASED_CHANNEL, STOCK_SECONDS
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
    row |= {f"{name}_id": row[name] and row[name].id for name in _RELATIONS}
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
    "COPY messaging_message (batch_id, account_id, payer_id, not_before, valid_until, message_class, priority, sender,"
    " route_id, quote_id, recipient, parts, price, display_price, cost, text, state, released_at) FROM STDIN"
)
# The key after which those of the messages lie, what the senders' terms say of them, this moment, and the routes that
# are free for those that need not queue.
_BEFORE = """
    SELECT uuidv7(), (SELECT json_object_agg(account_id, priority) FROM messaging_sendingterms
                      WHERE account_id = ANY(%(senders)s::bigint[])), now()::text,
        messaging_release_at_once(%(routes)s::bigint[], %(classes)s::smallint[], %(counts)s::integer[],
                                  %(stock)s::float8, %(channel)s::text, %(mark)s::text)
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


def copy_messages(batches: list[tuple[Batch, Plan]], quotes: Quotes, hurried: Collection[str] = ()) -> set[int]:
    """Write all messages with COPY, and their keys; ids are made by the database, in the order of the recipients.

    Messages of ``hurried`` batches (their codes) are released at once where nobody waits for their route and its stock
    has room for all of them, as a dispatcher would do now. Returns on which routes the others have to be dispatched.
    """
    before, ids = _Before(batches, hurried), [batch.pk for batch, _ in batches]
    lines = (line for batch, plan in batches for line in before.lines_of(batch, plan, quotes))
    with connection.cursor() as cursor, cursor.copy(_COPY_MESSAGES) as copy:
        while chunk := list(islice(lines, _LINES)):
            copy.write("".join(chunk))
    with PreparedCursor() as prepared:
        prepared.execute(_WRITE_KEYS, {"batches": ids, "first": before.first}, prepare=True)
    note_accepted(ids, before.counts)
    return before.waited_for


class _Roads:
    """Over which routes ``hurried`` batches go, how many messages, and the least urgent of each."""

    def __init__(self, batches: list[tuple[Batch, Plan]], hurried: Collection[str]) -> None:
        self._counts, self._classes = Counter[int](), dict[int, int]()
        for batch, plan in batches:
            if batch.code in hurried:
                for recipient in plan.recipients:
                    route = recipient.route_id
                    self._counts[route] += 1
                    self._classes[route] = max(batch.message_class, self._classes.get(route, 0))

    def values(self) -> dict[str, Any]:
        """What _BEFORE asks for."""
        return {
            "routes": list(self._counts), "counts": list(self._counts.values()),
            "classes": [self._classes[route] for route in self._counts],
            "stock": STOCK_SECONDS, "channel": RELEASED_CHANNEL, "mark": AT_ONCE,
        }  # fmt: skip


class _Before:
    """What stands before messages are written, and what is learnt while their lines are made."""

    def __init__(self, batches: list[tuple[Batch, Plan]], hurried: Collection[str]) -> None:
        values = _Roads(batches, hurried).values() | {"senders": list({batch.account_id for batch, _ in batches})}
        [(self.first, terms, now, free)] = fetch_prepared(_BEFORE, values)
        self._priorities = {int(account): priority for account, priority in (terms or {}).items()}
        self._hurried, self._free = hurried, set[int](free)
        self._released = f"{Message.State.RELEASED.value}\t{now}"
        self.counts, self.waited_for = Counter[tuple[int, int]](), set[int]()

    def lines_of(self, batch: Batch, plan: Plan, quotes: Quotes) -> Iterator[str]:
        """A batch's messages in COPY's text format (PostgreSQL's documentation of COPY, File Formats)."""
        sender = batch.account_id
        waits = f"{Message.State.SCHEDULED.value if batch.send_at else Message.State.QUEUED.value}\t{_NULL}"
        free = self._free if batch.code in self._hurried else ()
        start = (
            f"{batch.pk}\t{sender}\t{batch.payer_id}\t{batch.send_at or _NULL}\t{batch.valid_until or _NULL}"
            f"\t{batch.message_class}\t{self._priorities.get(sender, 0)}\t{_field(batch.sender)}"
        )
        priced: dict[tuple[str, int], tuple[int, str]] = {}
        for recipient in plan.recipients:
            prefix, parts, route = recipient.price.prefix, recipient.parts, recipient.route_id
            if (prefix, parts) not in priced:
                priced[prefix, parts] = _price_of(quotes[sender, prefix], parts)
            quote_id, prices = priced[prefix, parts]
            self.counts[sender, quote_id] += 1
            text = _NULL if recipient.text is None else _field(recipient.text)
            if route in free:
                state = self._released
            else:
                state = waits
                self.waited_for.add(route)
            yield (
                f"{start}\t{route}\t{quote_id}\t{recipient.number}\t{parts}\t{prices}"
                f"\t{_NULL if recipient.cost is None else recipient.cost}\t{text}\t{state}\n"
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
