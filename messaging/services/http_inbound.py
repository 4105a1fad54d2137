"""Inbound messages that a carrier posts over HTTP: who may, what its fields are called, and storing them."""

import json
import secrets
from collections.abc import Mapping
from functools import partial
from secrets import token_hex
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils.crypto import constant_time_compare, salted_hmac

from messaging.models import HttpInbound
from messaging.services.inbound_parts import MAX_ADDRESS, PartRow, make_part, store_parts
from messaging.services.texts import storable
from messaging.wakeups import INBOUND, wake

MOST_MESSAGES = 1_000  # in one call
LONGEST_TEXT = 39_015  # characters: 255 parts of 153
LEAST_SECRET = 20  # characters


class BadCall(Exception):
    """The carrier's call cannot be read; ``str(error)`` says to its people which field, and why."""


def hash_secret(secret: str) -> str:
    """What is stored of a secret: keyed with SECRET_KEY, so that a copy of the table opens nothing."""
    return salted_hmac("messaging.http_inbound", secret, algorithm="sha256").hexdigest()


def new_secret() -> str:
    """A secret fit to stand in a URL."""
    return secrets.token_urlsafe(24)


def find_webhook(code: str, secret: str) -> HttpInbound | None:
    """The webhook of the route with this code, if it is switched on and the secret is its own."""
    found = HttpInbound.objects.select_related("route").filter(route__code=code, is_enabled=True).first()
    known = found.secret_hash if found else ""
    return found if constant_time_compare(hash_secret(secret), known) and found and known else None


def read_call(webhook: HttpInbound, content_type: str, body: bytes, form: QueryDict) -> list[PartRow]:
    """The parts that a call brings, as JSON or as a form. Raises BadCall."""
    if content_type == "application/json":
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadCall(f"The body is not valid JSON: {error}.") from error
        entries = _entries(content, webhook.list_field)
    else:
        entries = [form.dict()]
    if len(entries) > MOST_MESSAGES:
        raise BadCall(f"The call has {len(entries):,} messages; at most {MOST_MESSAGES:,} are taken at once.")
    session = token_hex(6)
    return [_read(webhook, entry, session) for entry in entries]


@transaction.atomic
def take_call(webhook: HttpInbound, parts: list[PartRow]) -> None:
    """Store what a call brought; once this returns nothing of it is lost."""
    if parts:
        store_parts(webhook.route_id, parts)
        transaction.on_commit(partial(wake, INBOUND))


def _entries(content: Any, list_field: str) -> list[Mapping[str, Any]]:
    if list_field:
        content = at_path(content, list_field)
        if not isinstance(content, list):
            raise BadCall(f"{list_field} is missing or no list.")
    entries = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) for entry in entries):
        raise BadCall("Every message must be a JSON object.")
    return entries


def at_path(content: Any, path: str) -> Any:
    """What stands at a dotted path; None where there is nothing. A whole name with dots in it comes first."""
    if isinstance(content, dict) and path in content:
        return content[path]
    for name in path.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _text(entry: Mapping[str, Any], path: str, limit: int) -> str:
    value = at_path(entry, path)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadCall(f"{path} is {'missing' if value is None else 'neither text nor a number'}.")
    text = storable(str(value))
    if len(text) > limit:
        raise BadCall(f"{path} has {len(text):,} characters; at most {limit:,} are taken.")
    return text


def _address(entry: Mapping[str, Any], path: str) -> str:
    # Forms bring "+61…" as " 61…" where a carrier has not encoded the plus sign.
    address = _text(entry, path, 60).strip()
    if not address or len(address) > MAX_ADDRESS:
        raise BadCall(f"{path} is {'empty' if not address else f'{address}, longer than {MAX_ADDRESS} characters'}.")
    return address


def _count(entry: Mapping[str, Any], path: str) -> int:
    text = _text(entry, path, 10).strip()
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 255):
        raise BadCall(f"{path} is {text!r}; it must be a number from 1 to 255.")
    return int(text)


def _read(webhook: HttpInbound, entry: Mapping[str, Any], session: str) -> PartRow:
    reference, total, sequence = "", 1, 1
    if webhook.reference_field and at_path(entry, webhook.total_field) not in (None, "", 0, 1, "0", "1"):
        reference = _text(entry, webhook.reference_field, 20)
        total, sequence = _count(entry, webhook.total_field), _count(entry, webhook.sequence_field)
        if sequence > total:
            raise BadCall(f"{webhook.sequence_field} is {sequence} of {total} parts.")
    carrier_id = ""
    if webhook.id_field and at_path(entry, webhook.id_field) is not None:
        carrier_id = _text(entry, webhook.id_field, 200)
    return make_part(
        webhook.route_id, _address(entry, webhook.sender_field), _address(entry, webhook.recipient_field),
        _text(entry, webhook.text_field, LONGEST_TEXT), session=session, reference=reference, total=total,
        sequence=sequence, carrier_id=carrier_id,
    )  # fmt: skip
