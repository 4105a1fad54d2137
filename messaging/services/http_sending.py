"""What is asked of a carrier over HTTP, and what its answers mean. Nothing here talks to anybody."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

from smpp.text import segment

PLACEHOLDERS = (
    "recipient", "digits", "sender", "text", "id", "parts", "coding", "username", "password", "receipt_url",
)  # fmt: skip
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
REGEX = "re:"  # begins a rule that is a regular expression; others are paths into JSON
LONGEST_ANSWER = 64 * 1024  # octets that are read of an answer
# Statuses that speak of us or of the address and not of the message: it is tried again, here or on another route.
_OF_THE_CONNECTION = frozenset({401, 403, 404, 405, 407})


@dataclass(frozen=True)
class HttpLine:
    """How to reach and treat one carrier over HTTP (messaging.models.HttpConnector)."""

    url: str
    headers: str = field(repr=False)
    password: str = field(repr=False)
    receipt_url: str = field(repr=False)
    method: str
    body: str
    parameters: str  # JSON
    username: str
    uses_basic_auth: bool
    window: int
    timeout_seconds: int
    success_path: str
    success_values: str
    id_path: str
    error_path: str
    retry_codes: str
    retry_statuses: str


class Outgoing(NamedTuple):
    """A message as a template sees it."""

    id: str
    recipient: str
    sender: str
    text: str


class Request(NamedTuple):
    """One request, ready to be written."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


class Meaning(StrEnum):
    """What an answer says of its message."""

    TAKEN = "taken"
    REFUSED = "refused"
    LATER = "later"
    BUSY = "busy"  # later, and go slower
    UNCLEAR = "unclear"


class Answer(NamedTuple):
    """The carrier's word; ``code`` and ``reason`` of a refusal."""

    meaning: Meaning
    carrier_id: str = ""
    code: str = ""
    reason: str = ""


def build_request(line: HttpLine, message: Outgoing) -> Request:
    """The request that asks the carrier to send this message."""
    values = _values(line, message)
    parameters = _fill(_parsed(line.parameters), values)
    headers = {name: _fill(value, values) for name, value in read_headers(line.headers).items()}
    if line.uses_basic_auth:
        token = base64.b64encode(f"{line.username}:{line.password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    if line.body == "json":
        body = json.dumps(parameters, ensure_ascii=False).encode()
        return Request(line.method, line.url, headers | {"Content-Type": "application/json"}, body)
    encoded = urlencode(parameters)
    if line.body == "form":
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(line.method, line.url, headers | kind, encoded.encode())
    joint = "&" if "?" in line.url else "?"
    return Request(line.method, f"{line.url}{joint}{encoded}", headers, None)


def unknown_placeholders(template: Any) -> list[str]:
    """Words in braces that mean nothing here, in order."""
    return [name for name in _PLACEHOLDER.findall(json.dumps(template)) if name not in PLACEHOLDERS]


def read_headers(text: str) -> dict[str, str]:
    """Headers written one a line. Raises ValueError naming the line that is none."""
    headers = {}
    for row in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = row.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII):
            raise ValueError(f"“{row[:40]}” is no header; write Name: value.")
        headers[name] = value.strip()
    return headers


def read_answer(line: HttpLine, status: int, body: bytes, message_id: str) -> Answer:
    """What an answer means for its message. What cannot be understood after the carrier had it stays unclear."""
    text = body[:LONGEST_ANSWER].decode("utf-8", "replace")
    code = _found(line.error_path, text)[:20]
    if status in _numbers(line.retry_statuses):
        return Answer(Meaning.BUSY, code=code or f"HTTP {status}", reason="The carrier was too busy.")
    if code and code in _words(line.retry_codes):
        return Answer(Meaning.BUSY, code=code, reason="The carrier was too busy.")
    if 300 <= status < 400 or status in _OF_THE_CONNECTION:
        return Answer(Meaning.LATER, code=f"HTTP {status}", reason="The carrier did not accept messages.")
    if 400 <= status < 500:
        return Answer(Meaning.REFUSED, code=code or f"HTTP {status}", reason="The carrier refused the message.")
    if not 200 <= status < 300:
        return Answer(Meaning.UNCLEAR)
    return _read_success(line, text, code, message_id)


def _read_success(line: HttpLine, text: str, code: str, message_id: str) -> Answer:
    said = _found(line.success_path, text)
    if line.success_path:
        wanted = _words(line.success_values)
        if said and wanted and said not in wanted:
            return Answer(Meaning.REFUSED, code=code or said[:20], reason="The carrier refused the message.")
        if not said:
            known = Answer(Meaning.REFUSED, code=code, reason="The carrier refused the message.")
            return known if code else Answer(Meaning.UNCLEAR)
    carrier_id = _found(line.id_path, text) if line.id_path else message_id
    return Answer(Meaning.TAKEN, carrier_id[:65].replace("\0", ""))


def _values(line: HttpLine, message: Outgoing) -> dict[str, str]:
    segments = segment(message.text)
    return {
        "recipient": message.recipient, "digits": message.recipient.removeprefix("+"), "sender": message.sender,
        "text": message.text, "id": message.id, "parts": str(segments.parts),
        "coding": "0" if segments.encoding == "GSM-7" else "2", "username": line.username, "password": line.password,
        "receipt_url": line.receipt_url,
    }  # fmt: skip


def _fill(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its placeholders replaced, in all texts of it; what a value contains is not looked at again."""
    if isinstance(template, str):
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
    if isinstance(template, dict):
        return {key: _fill(value, values) for key, value in template.items()}
    return [_fill(value, values) for value in template] if isinstance(template, list) else template


@lru_cache(maxsize=64)
def _parsed(template: str) -> Any:
    return json.loads(template)


@lru_cache(maxsize=64)
def _words(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


@lru_cache(maxsize=64)
def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in _words(text))


def _found(rule: str, text: str) -> str:
    """What a rule finds in an answer; empty when it finds nothing."""
    if not rule:
        return ""
    if rule.startswith(REGEX):
        found = re.search(rule.removeprefix(REGEX), text)
        return (found[1] if found.re.groups else found[0]) or "" if found else ""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for name in rule.split("."):
        if isinstance(content, list) and name.isdecimal() and int(name) < len(content):
            content = content[int(name)]
        else:
            content = content.get(name) if isinstance(content, dict) else None
    return str(content) if isinstance(content, str | int | float) else ""
