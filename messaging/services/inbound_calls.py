"""Posting inbound messages to customers' servers: signed, retried with back-off, a round of many at once.

A round takes actions on lease: their next try is moved on before anything is posted, so a worker that dies in between
only delays them. The answer may get lost after the server has acted, so a call can come twice; both carry the same
``X-Relay-Id``, by which the server tells.

Whoever answers slowly holds up a place of a round for ten seconds, and an account has a few places only.
"""

import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from keywords.actions import signing_secret
from messaging.models import InboundAction, InboundMessage
from messaging.services.inbound_actions import Outcome, record
from messaging.services.outgoing_http import NotDelivered, post
from messaging.services.plans import pin_plans

log = structlog.get_logger(__name__)

ROUND = 32  # calls at once
PER_ACCOUNT = 8  # of them at most for one account
LEASE_SECONDS = 60
MAX_ATTEMPTS = 14
FIRST_RETRY_SECONDS = 10.0  # then 20, 40, …, an hour at most: about five hours in all
LONGEST_RETRY_SECONDS = 3600.0

State = InboundAction.State

_TAKE = """
    WITH RECURSIVE due AS (
        (SELECT account_id FROM messaging_inboundaction
         WHERE state = 'waiting' AND kind = 'forward_url' ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT a.account_id FROM messaging_inboundaction a
                WHERE a.state = 'waiting' AND a.kind = 'forward_url' AND a.account_id > d.account_id
                ORDER BY a.account_id LIMIT 1)
        FROM due d WHERE d.account_id IS NOT NULL
    ), turns AS MATERIALIZED (SELECT account_id FROM due WHERE account_id IS NOT NULL ORDER BY random()),
    picked AS MATERIALIZED (
        SELECT one.id FROM turns CROSS JOIN LATERAL (
            SELECT id FROM messaging_inboundaction
            WHERE account_id = turns.account_id AND state = 'waiting' AND kind = 'forward_url'
              AND next_try_at <= statement_timestamp()
            ORDER BY next_try_at LIMIT %s FOR UPDATE SKIP LOCKED) AS one
        LIMIT %s)
    UPDATE messaging_inboundaction a SET next_try_at = statement_timestamp() + %s * interval '1 second'
    FROM picked WHERE a.id = picked.id
    RETURNING a.id
"""


@dataclass(frozen=True)
class Call:
    """One post, ready to go."""

    action: InboundAction
    url: str
    body: bytes
    secret: str


def make_calls() -> int:
    """Make one round of the calls that are due; returns how many were made."""
    calls = _prepare(_take())
    if not calls:
        return 0
    with ThreadPoolExecutor(max_workers=len(calls)) as threads:
        outcomes = dict(zip((call.action.pk for call in calls), threads.map(make_call, calls), strict=True))
    with transaction.atomic(), connection.cursor() as cursor:
        record(cursor, outcomes)
    return len(calls)


def make_call(call: Call) -> Outcome:
    """Post one message; touches no database, so that it can run in a thread."""
    moment = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Relay-Inbound/1",
        "X-Relay-Id": str(call.action.pk),
        "X-Relay-Timestamp": moment,
        "X-Relay-Signature": sign(call.secret, moment, call.body),
    }
    try:
        post(call.url, call.body, headers)
    except NotDelivered as error:
        return _after_failure(call.action, str(error))
    except Exception as error:
        log.exception("inbound_call.failed", action=call.action.pk, detail=str(error))
        return _after_failure(call.action, "Something went wrong on our side.")
    return Outcome(State.DONE)


def sign(secret: str, moment: str, body: bytes) -> str:
    """HMAC-SHA256 in hexadecimal of the timestamp (seconds since 1970, as text), a full stop and the body."""
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()


@transaction.atomic
def _take() -> list[InboundAction]:
    with connection.cursor() as cursor:
        pin_plans(cursor)
        cursor.execute(_TAKE, [PER_ACCOUNT, ROUND, LEASE_SECONDS])
        ids = [row[0] for row in cursor.fetchall()]
    return list(InboundAction.objects.filter(pk__in=ids).order_by("pk"))


def _prepare(actions: list[InboundAction]) -> list[Call]:
    """Build what is posted; actions whose message or secret is gone end here."""
    messages = InboundMessage.objects.select_related("number", "conversation", "keyword").in_bulk(
        {action.message_id for action in actions}
    )
    calls, gone = [], {}
    for action in actions:
        message = messages.get(action.message_id)
        if message is None or message.number is None:
            gone[action.pk] = Outcome(State.FAILED, "Its message is not kept any more.")
            continue
        secret = signing_secret(keyword=message.keyword, number=message.number)
        if secret:
            calls.append(Call(action, action.target, body_of(message), secret))
        else:
            gone[action.pk] = Outcome(State.SKIPPED, "The URL's signing secret was removed, so nothing is posted.")
    if gone:
        with transaction.atomic(), connection.cursor() as cursor:
            record(cursor, gone)
    return calls


def body_of(message: InboundMessage) -> bytes:
    """What a customer's server gets to read about an inbound message, as JSON."""
    conversation = message.conversation
    values = {
        "event": "inbound",
        "message": str(message.pk),
        "received_at": message.received_at.isoformat(),
        "from": message.sender,
        "to": message.recipient,
        "text": message.text,
        "parts": message.parts,
        "missing_parts": message.missing,
        "keyword": message.keyword.word if message.keyword else "",
        "opt": message.consent,
        "conversation": conversation.code if conversation else "",
    }
    return json.dumps(values, ensure_ascii=False).encode()


def _after_failure(action: InboundAction, error: str) -> Outcome:
    if action.attempts + 1 >= MAX_ATTEMPTS:
        return Outcome(State.FAILED, f"Given up after {MAX_ATTEMPTS} attempts. {error}")
    return Outcome(State.WAITING, error, delay=min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**action.attempts))
