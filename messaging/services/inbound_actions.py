"""Doing what inbound messages set off: an outbox of rows, done in turns of one account (docs/message-way.md).

A turn is one transaction: what it does and the rows that say so are committed together, so each action is done once
whatever dies. Nothing here leaves the machine: replies and forwards to mobiles are accepted as batches, mails go to the
mail outbox. Calls to customers' servers are made elsewhere (messaging/services/inbound_calls.py).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import prefetch_related_objects
from django.utils import timezone

from accounts.models import Account
from accounts.services.mail import queue_mail
from contacts.models import ContactList
from contacts.services.lists import add_to_list
from messaging.exceptions import PriceChanged, SendingError
from messaging.models import Batch, InboundAction, InboundMessage
from messaging.reply_addresses import reply_address
from messaging.services.acceptance import accept_singles
from messaging.services.inbound_texts import TextAction, Texting
from messaging.services.plans import join_by_hash, pin_plans

log = structlog.get_logger(__name__)

TURN = 500
LOCK_SPACE = 0x494E4241  # "INBA": the first key of the advisory locks of accounts' turns
MAX_ATTEMPTS = 8
FIRST_RETRY_SECONDS = 15.0  # then 30, 60, …: half an hour in all

Kind = InboundAction.Kind
State = InboundAction.State

# Walks from one account to the next on the index inbound_action_due.
_DUE_ACCOUNTS = """
    WITH RECURSIVE due AS (
        (SELECT account_id FROM messaging_inboundaction
         WHERE state = 'waiting' AND NOT kind = 'forward_url' ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT a.account_id FROM messaging_inboundaction a
                WHERE a.state = 'waiting' AND NOT a.kind = 'forward_url' AND a.account_id > d.account_id
                ORDER BY a.account_id LIMIT 1)
        FROM due d WHERE d.account_id IS NOT NULL
    )
    SELECT d.account_id FROM due d
    WHERE EXISTS (SELECT FROM messaging_inboundaction a
                  WHERE a.account_id = d.account_id AND a.state = 'waiting' AND NOT a.kind = 'forward_url'
                    AND a.next_try_at <= statement_timestamp())
    ORDER BY random()
"""
_LOCK = "SELECT pg_try_advisory_xact_lock(%s, %s)"
_PICK = """
    SELECT id FROM messaging_inboundaction
    WHERE account_id = %s AND state = 'waiting' AND NOT kind = 'forward_url' AND next_try_at <= statement_timestamp()
    ORDER BY next_try_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
RECORD = """
    UPDATE messaging_inboundaction a SET
        state = r.state, attempts = a.attempts + 1, error = r.error, batch_id = coalesce(r.batch_id, a.batch_id),
        next_try_at = statement_timestamp() + r.delay * interval '1 second',
        done_at = CASE WHEN r.state <> 'waiting' THEN statement_timestamp() END
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(errors)s::text[], %(batches)s::uuid[], %(delays)s::float8[])
        AS r(id, state, error, batch_id, delay)
    WHERE a.id = ANY(%(ids)s::bigint[]) AND a.id = r.id
"""


@dataclass(frozen=True)
class Outcome:
    """What became of an action; one that stays ``waiting`` is tried again after ``delay`` seconds."""

    state: str
    error: str = ""
    batch_id: UUID | None = None
    delay: float = 0.0


def do_waiting(limit: int, seconds: float = 20.0) -> int:
    """Do what is due, about ``limit`` actions at most, for about so many seconds; accounts take turns."""
    total, until = 0, time.monotonic() + seconds
    while total < limit and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(_DUE_ACCOUNTS)
            accounts = [row[0] for row in cursor.fetchall()]
        done = sum(do_turn(account_id) for account_id in accounts)
        total += done
        if not done:
            break
    return total


@transaction.atomic
def do_turn(account_id: int) -> int:
    """Do up to TURN due actions of an account; returns how many were looked at, 0 while another worker does."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [LOCK_SPACE, account_id])
        if not cursor.fetchone()[0]:
            return 0
        pin_plans(cursor)
        cursor.execute(_PICK, [account_id, TURN])
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return 0
        actions = list(InboundAction.objects.filter(pk__in=ids).order_by("pk"))
        messages = _load_messages(actions)
        outcomes = _Turn(Account.objects.get(pk=account_id), messages).do(actions)
        record(cursor, outcomes)
    return len(outcomes)


def _load_messages(actions: list[InboundAction]) -> dict[UUID, InboundMessage]:
    """The actions' messages by their ids, with the numbers that they came to: a few, which many share."""
    messages = InboundMessage.objects.in_bulk({action.message_id for action in actions})
    prefetch_related_objects(list(messages.values()), "number")
    mailed = {one.message_id for one in actions if one.kind == Kind.FORWARD_EMAIL} & messages.keys()
    prefetch_related_objects([messages[pk] for pk in mailed], "conversation", "keyword")
    return messages


def record(cursor: CursorWrapper, outcomes: dict[int, Outcome]) -> None:
    """Write what became of actions, by their ids; within the caller's transaction."""
    if not outcomes:
        return
    values: dict[str, Any] = {
        "ids": list(outcomes),
        "states": [one.state for one in outcomes.values()],
        "errors": [one.error[:300] for one in outcomes.values()],
        "batches": [one.batch_id for one in outcomes.values()],
        "delays": [one.delay for one in outcomes.values()],
    }
    pin_plans(cursor)
    join_by_hash(cursor)
    cursor.execute(RECORD, values)


def try_again(action: InboundAction, error: str) -> Outcome:
    """The outcome of a failed attempt: another one after a while, or the end of them."""
    if action.attempts + 1 >= MAX_ATTEMPTS:
        return Outcome(State.FAILED, f"Given up after {MAX_ATTEMPTS} attempts. {error}")
    return Outcome(State.WAITING, error, delay=FIRST_RETRY_SECONDS * 2**action.attempts)


def retry_actions(ids: Iterable[int]) -> int:
    """Have failed actions tried again now, as a person wishes; returns how many."""
    failed = InboundAction.objects.filter(pk__in=list(ids), state=State.FAILED)
    return failed.update(state=State.WAITING, attempts=0, error="", next_try_at=timezone.now(), done_at=None)


class _Turn:
    """The actions of one account that are done in one transaction."""

    def __init__(self, account: Account, messages: dict[UUID, InboundMessage]) -> None:
        self._account = account
        self._messages = messages
        self._outcomes: dict[int, Outcome] = {}

    def do(self, actions: list[InboundAction]) -> dict[int, Outcome]:
        """What became of each action by its id."""
        doers: dict[str, Callable[[InboundAction, InboundMessage], Outcome]] = {
            Kind.ADD_TO_LIST: self._add_to_list,
            Kind.FORWARD_EMAIL: self._forward_email,
        }
        texts = []
        for action in actions:
            message = self._messages.get(action.message_id)
            if message is None or message.number_id is None or message.conversation_id is None:
                self._outcomes[action.pk] = Outcome(State.FAILED, "Its message is not kept any more.")
            elif action.kind in doers:
                self._attempt(action, message, doers[action.kind])
            else:
                texts.append(TextAction(action, message))
        self._send(texts)
        return self._outcomes

    def _attempt(
        self, action: InboundAction, message: InboundMessage, doer: Callable[[InboundAction, InboundMessage], Outcome]
    ) -> None:
        """One that fails is tried again by itself and spoils no other of the turn."""
        try:
            with transaction.atomic():
                self._outcomes[action.pk] = doer(action, message)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("inbound_action.failed", action=action.pk, kind=action.kind, detail=str(error))
            self._outcomes[action.pk] = try_again(action, "Something went wrong on our side.")

    def _add_to_list(self, action: InboundAction, message: InboundMessage) -> Outcome:
        found = ContactList.objects.filter(account=self._account, code=action.target).first()
        if found is None:
            return Outcome(State.SKIPPED, "The list is not there any more.")
        is_new = add_to_list(contact_list=found, number=message.sender, source=action.payload.get("source", ""))
        return Outcome(State.DONE, "" if is_new else "Was on the list already.")

    def _forward_email(self, action: InboundAction, message: InboundMessage) -> Outcome:
        assert message.conversation is not None  # noqa: S101  (looked at in ``do``)
        address = reply_address(message.conversation)
        queue_mail(
            key=f"inbound-action-{action.pk}", to=action.target, template="messaging/mail/forwarded",
            account=self._account, reply_to=address,
            context={"message": message, "conversation": message.conversation, "can_reply": bool(address)},
        )  # fmt: skip
        return Outcome(State.DONE)

    def _send(self, texts: list[TextAction]) -> None:
        texting = Texting(self._account, texts)
        for refused, words in texting.left_out():
            self._outcomes[refused.action.pk] = Outcome(State.SKIPPED, words)
        for failed, words in texting.impossible():
            self._outcomes[failed.action.pk] = Outcome(State.FAILED, words)
        fit = texting.fit()
        for one, answer in zip(fit, self._accept(texting, fit), strict=True):
            self._outcomes[one.action.pk] = _outcome_of(one.action, answer)

    def _accept(self, texting: Texting, texts: list[TextAction]) -> list[Batch | Exception]:
        """Accept texts together; where something breaks, each by itself, so that it spoils no other."""
        try:
            with transaction.atomic():
                return [*accept_singles([texting.single(one) for one in texts])]
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            if len(texts) == 1:
                log.exception("inbound_action.failed", action=texts[0].action.pk, detail=str(error))
                return [error]
        return [answer for one in texts for answer in self._accept(texting, [one])]


def _outcome_of(action: InboundAction, answer: Batch | Exception) -> Outcome:
    """What is refused for good is shown, for trying again would not change it."""
    if isinstance(answer, Batch):
        return Outcome(State.DONE, batch_id=answer.pk)
    if isinstance(answer, PriceChanged):
        return try_again(action, str(answer))
    if isinstance(answer, SendingError):
        return Outcome(State.FAILED, str(answer))
    return try_again(action, "Something went wrong on our side.")
