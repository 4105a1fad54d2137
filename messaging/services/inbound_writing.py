"""Writing inbound messages: whose they are, their conversations, and what they set off as rows of an outbox.

Called within the transaction that handles their parts (messaging/services/inbound.py). Whoever asks to be sent nothing
more is opted out in it, so nothing that is accepted after can reach them. Everything else is done later, by
messaging/services/inbound_actions.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from accounts.codes import new_code
from contacts.services.opt_outs import opt_in, opt_out
from keywords.actions import InboundText, PlannedAction, plan_many
from keywords.matching import Match, match_many
from messaging.models import InboundAction
from messaging.services.inbound_assembly import Arrived
from messaging.services.inbound_routing import Address, Destination, find_destinations, read_phone

Kind = InboundAction.Kind
CONSENT = (Kind.OPT_OUT, Kind.OPT_IN)
LAST_TEXT = 160  # characters of Conversation.last_text

# In one order for everybody, so that two routes that bring messages of one conversation never wait for each other.
_CONVERSE = """
    INSERT INTO messaging_conversation AS c
        (code, account_id, number_id, phone, unread, last_text, last_inbound_at, last_at)
    SELECT one.code, one.account_id, one.number_id, one.phone, one.unread, one.last_text, %(now)s, %(now)s
    FROM unnest(%(codes)s::text[], %(accounts)s::bigint[], %(numbers)s::bigint[], %(phones)s::text[],
                %(unread)s::int[], %(texts)s::text[])
        AS one(code, account_id, number_id, phone, unread, last_text)
    ON CONFLICT (account_id, number_id, phone) DO UPDATE SET
        unread = c.unread + EXCLUDED.unread, last_text = EXCLUDED.last_text,
        last_inbound_at = EXCLUDED.last_inbound_at, last_at = EXCLUDED.last_at
    RETURNING c.id, c.account_id, c.number_id, c.phone, c.xmax = 0
"""
_USED_KEYWORDS = """
    SELECT one.conversation_id, one.keyword_id
    FROM unnest(%s::bigint[], %s::bigint[]) AS one(conversation_id, keyword_id)
    WHERE EXISTS (SELECT FROM messaging_inboundmessage m
                  WHERE m.conversation_id = one.conversation_id AND m.keyword_id = one.keyword_id)
"""
_MESSAGES = """
    INSERT INTO messaging_inboundmessage
        (id, route_id, account_id, number_id, conversation_id, keyword_id, sender, recipient, text, parts, missing,
         consent)
    SELECT one.id, %s, one.account_id, one.number_id, one.conversation_id, one.keyword_id, one.sender, one.recipient,
           one.text, one.parts, one.missing, one.consent
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[],
                %s::smallint[], %s::smallint[], %s::text[])
        AS one(id, account_id, number_id, conversation_id, keyword_id, sender, recipient, text, parts, missing, consent)
"""
_ACTIONS = """
    INSERT INTO messaging_inboundaction
        (message_id, account_id, kind, target, payload, state, attempts, next_try_at, error, created_at, done_at)
    SELECT one.message_id, one.account_id, one.kind, one.target, one.payload::jsonb, one.state, 0, %(now)s, one.error,
           %(now)s, CASE WHEN one.state <> 'waiting' THEN %(now)s END
    FROM unnest(%(messages)s::uuid[], %(accounts)s::bigint[], %(kinds)s::text[], %(targets)s::text[],
                %(payloads)s::text[], %(states)s::text[], %(errors)s::text[])
        AS one(message_id, account_id, kind, target, payload, state, error)
    ON CONFLICT (message_id, kind, target) DO NOTHING
"""


@dataclass
class Draft:
    """A message on its way into the tables; ``destination`` None or without a holder = nobody's, kept for staff."""

    arrived: Arrived
    phone: str
    text: str
    destination: Destination | None
    conversation_id: int | None = None
    is_new: bool = False  # the conversation began with this message
    match: Match = field(default_factory=Match)
    actions: list[PlannedAction] = field(default_factory=list)
    consent: str = ""

    @property
    def id(self) -> UUID:
        return self.arrived.first.id

    @property
    def account_id(self) -> int | None:
        holder = self.destination.holder if self.destination else None
        return holder.pk if holder else None

    @property
    def number_id(self) -> int | None:
        return self.destination.number.pk if self.destination else None

    @property
    def keyword_id(self) -> int | None:
        return self.match.keyword.pk if self.match.keyword else None


@dataclass
class Delivered:
    """What was written: how many messages, and which kinds of actions wait to be done."""

    messages: int
    kinds: set[str]


def write_messages(cursor: CursorWrapper, route_id: int, arrived: Sequence[Arrived], now: datetime) -> Delivered:
    """Write what arrived on a route, oldest first, and carry out what it says about opting out and in."""
    if not arrived:
        return Delivered(0, set())
    drafts = _draft(route_id, arrived)
    held = [draft for draft in drafts if draft.account_id is not None]
    if held:
        _converse(cursor, held, now)
        _plan(cursor, held, now)
    rows = _action_rows(held, _carry_out_consent(held))
    _insert_messages(cursor, route_id, drafts)
    if rows:
        _insert_actions(cursor, rows, now)
    return Delivered(len(drafts), {row[2] for row in rows if row[5] == InboundAction.State.WAITING})


def _draft(route_id: int, arrived: Sequence[Arrived]) -> list[Draft]:
    addresses = {one.first.id: Address(one.first.recipient, route_id) for one in arrived}
    destinations = find_destinations(set(addresses.values()))
    drafts = []
    for one in arrived:
        destination = destinations.get(addresses[one.first.id])
        phone = read_phone(one.first.sender, destination.number.country if destination else "")
        drafts.append(Draft(one, phone, one.text, destination))
    return drafts


# --- Conversations -------------------------------------------------------------------------------------------------


def _converse(cursor: CursorWrapper, drafts: list[Draft], now: datetime) -> None:
    """Find or begin each message's conversation and count it as unread."""
    by_key: dict[tuple[int, int, str], list[Draft]] = {}
    for draft in drafts:
        by_key.setdefault((draft.account_id or 0, draft.number_id or 0, draft.phone), []).append(draft)
    keys = sorted(by_key)
    values: dict[str, Any] = {
        "codes": [new_code() for _ in keys],
        "accounts": [account for account, _, _ in keys],
        "numbers": [number for _, number, _ in keys],
        "phones": [phone for _, _, phone in keys],
        "unread": [len(by_key[key]) for key in keys],
        "texts": [by_key[key][-1].text[:LAST_TEXT] for key in keys],
        "now": now,
    }
    cursor.execute(_CONVERSE, values)
    for conversation_id, account_id, number_id, phone, is_new in cursor.fetchall():
        drafts_of = by_key[account_id, number_id, phone]
        drafts_of[0].is_new = is_new
        for draft in drafts_of:
            draft.conversation_id = conversation_id


# --- What it sets off ----------------------------------------------------------------------------------------------


def _plan(cursor: CursorWrapper, drafts: list[Draft], now: datetime) -> None:
    """Find each message's keyword and plan its actions."""
    matches = match_many([(draft.number_id or 0, draft.text) for draft in drafts], now)
    for draft, found in zip(drafts, matches, strict=True):
        draft.match = found
    used = _used_keywords(cursor, drafts)
    texts = []
    for draft in drafts:
        # A first-time sender is one who is new to the keyword, or without a keyword to the number.
        key = draft.conversation_id or 0, draft.keyword_id or 0
        is_first = key not in used if draft.keyword_id else draft.is_new
        used.add(key)
        texts.append(_inbound_text(draft, is_first))
    for draft, actions in zip(drafts, plan_many(texts), strict=True):
        draft.actions = actions


def _inbound_text(draft: Draft, is_first: bool) -> InboundText:
    destination = draft.destination
    assert destination is not None and destination.holder is not None  # noqa: S101, PT018  (drafts that are held)
    return InboundText(destination.holder, destination.number, draft.phone, draft.text, is_first, draft.match)


def _used_keywords(cursor: CursorWrapper, drafts: list[Draft]) -> set[tuple[int, int]]:
    """(conversation, keyword): which phones have used which of these keywords before."""
    wanted = sorted({(draft.conversation_id or 0, draft.keyword_id) for draft in drafts if draft.keyword_id})
    if not wanted:
        return set()
    conversations, keywords = zip(*wanted, strict=True)
    cursor.execute(_USED_KEYWORDS, [list(conversations), list(keywords)])
    return {(conversation_id, keyword_id) for conversation_id, keyword_id in cursor.fetchall()}


def _carry_out_consent(drafts: list[Draft]) -> dict[UUID, bool]:
    """Opt out and in at once; returns for each message that asked whether it changed anything.

    Account by account, for an opt-out waits for the account's lock: in one order nobody waits in a circle. Within an
    account in the order of arrival, so that the last word counts.
    """
    changed: dict[UUID, bool] = {}
    asking = [(draft, action) for draft in drafts for action in draft.actions if action.kind in CONSENT]
    for draft, action in sorted(asking, key=lambda pair: (pair[0].account_id or 0, pair[0].id)):
        destination = draft.destination
        if destination is None or destination.holder is None:
            continue
        if action.kind == Kind.OPT_OUT:
            changed[draft.id] = opt_out(account=destination.holder, number=draft.phone, **action.payload)
        else:
            changed[draft.id] = opt_in(account=destination.holder, number=draft.phone, **action.payload)
        draft.consent = action.kind
    return changed


# --- Rows ----------------------------------------------------------------------------------------------------------

ActionRow = tuple[UUID, int, str, str, str, str, str]


def _action_rows(drafts: list[Draft], changed: dict[UUID, bool]) -> list[ActionRow]:
    rows: list[ActionRow] = []
    for draft in drafts:
        for action in draft.actions:
            state, error = _state_of(action, changed.get(draft.id))
            payload = json.dumps(action.payload)
            rows.append((draft.id, draft.account_id or 0, action.kind, action.target[:400], payload, state, error))
    return rows


def _state_of(action: PlannedAction, changed: bool | None) -> tuple[str, str]:
    """Consent is carried out already; all else waits, but who was opted out before gets no second confirmation."""
    if action.payload.get("confirms_opt_out") and not changed:
        return InboundAction.State.SKIPPED, "Opting out was confirmed before."
    if action.kind not in CONSENT:
        return InboundAction.State.WAITING, ""
    if changed:
        return InboundAction.State.DONE, ""
    words = "Was opted out already." if action.kind == Kind.OPT_OUT else "Was not opted out."
    return InboundAction.State.SKIPPED, words


def _insert_messages(cursor: CursorWrapper, route_id: int, drafts: list[Draft]) -> None:
    rows = [
        (
            draft.id, draft.account_id, draft.number_id, draft.conversation_id, draft.keyword_id, draft.phone,
            draft.destination.number.number if draft.destination else draft.arrived.first.recipient, draft.text,
            draft.arrived.total, draft.arrived.missing, draft.consent,
        )
        for draft in drafts
    ]  # fmt: skip
    cursor.execute(_MESSAGES, [route_id, *(list(column) for column in zip(*rows, strict=True))])


def _insert_actions(cursor: CursorWrapper, rows: list[ActionRow], now: datetime) -> None:
    names = ("messages", "accounts", "kinds", "targets", "payloads", "states", "errors")
    columns: dict[str, Any] = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    cursor.execute(_ACTIONS, columns | {"now": now})
