"""Receipts that a carrier brings over HTTP: who may, what its fields are called, and storing them."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.http import QueryDict
from django.utils.crypto import constant_time_compare

from messaging.models import HttpConnector
from messaging.services.http_inbound import BadCall, at_path
from messaging.services.receipts import STORE_RECEIPTS
from messaging.services.texts import storable
from messaging.wakeups import RECEIPTS, wake

MOST_RECEIPTS = 10_000  # in one call
WORDS = ("DELIVRD", "UNDELIV", "EXPIRED", "DELETED", "REJECTD", "ACCEPTD", "ENROUTE")
ON_ITS_WAY = "ENROUTE"


class ReceiptRow(NamedTuple):
    """A receipt as it is stored."""

    carrier_id: str
    status: str
    error_code: str
    recipient: str
    raw: str


def find_connector(code: str, secret: str) -> HttpConnector | None:
    """The HTTP connector of the route with this code, if the secret is its own."""
    found = HttpConnector.objects.select_related("route").filter(route__code=code).first()
    known = found.receipt_secret if found else ""
    return found if known and constant_time_compare(secret, known) else None


def read_receipts(connector: HttpConnector, content_type: str, body: bytes, fields: QueryDict) -> list[ReceiptRow]:
    """The receipts that a call brings: JSON, a form, or parameters in the address. Raises BadCall."""
    if content_type == "application/json":
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadCall(f"The body is not valid JSON: {error}.") from error
        content = at_path(content, connector.receipt_list_field) if connector.receipt_list_field else content
        entries = content if isinstance(content, list) else [content]
    else:
        entries = [fields.dict()]
    if len(entries) > MOST_RECEIPTS:
        raise BadCall(f"The call has {len(entries):,} receipts; at most {MOST_RECEIPTS:,} are taken at once.")
    if not all(isinstance(entry, dict) for entry in entries):
        raise BadCall("Every receipt must be an object.")
    return [_read(connector, entry) for entry in entries]


@transaction.atomic
def take_receipts(connector: HttpConnector, rows: list[ReceiptRow]) -> None:
    """Store them; once this returns nothing is lost."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(STORE_RECEIPTS, [connector.route_id, *(list(column) for column in zip(*rows, strict=True))])
        transaction.on_commit(partial(wake, RECEIPTS))


def _read(connector: HttpConnector, entry: Mapping[str, Any]) -> ReceiptRow:
    carrier_id = _text(entry, connector.receipt_id_field)
    said = _text(entry, connector.receipt_status_field)
    for name, value in ((connector.receipt_id_field, carrier_id), (connector.receipt_status_field, said)):
        if not value:
            raise BadCall(f"{name} is missing.")
    if len(carrier_id) > 65:
        raise BadCall(f"{connector.receipt_id_field} has {len(carrier_id):,} characters; at most 65 are taken.")
    status = connector.receipt_statuses.get(said, said if said in WORDS else ON_ITS_WAY)
    recipient = _text(entry, connector.receipt_recipient_field).strip()[:20]
    return ReceiptRow(
        carrier_id, status, _text(entry, connector.receipt_error_field)[:20],
        f"+{recipient}" if recipient.isdigit() else recipient, storable(json.dumps(dict(entry), default=str))[:1000],
    )  # fmt: skip


def _text(entry: Mapping[str, Any], path: str) -> str:
    value = at_path(entry, path) if path else None
    return storable(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""
