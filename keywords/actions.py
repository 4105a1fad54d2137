"""What an inbound message sets off: planned here, for the pipeline that does it and for the tester that only shows it.

A keyword that takes the message decides; without one, the settings of its number do. Reserved words come before both:

- opt out (STOP): the sender is opted out, and whoever is forwarded to hears of it. Nothing is sent to the sender
  but one confirmation, where settings.OPT_OUT_CONFIRMATION has a text, and it goes on no list.
- opt in (START): the sender is opted in again; then the number's settings, as for any message.
- help: the number's settings, but asking for help puts nobody on a list.

Senders that are no E.164 number (a name, a short code) are forwarded, never answered, listed or opted out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts.models import Account
from contacts.merge import has_fields, render
from contacts.models import Contact, OptOut
from keywords.matching import Match, match
from keywords.models import Keyword
from keywords.reserved import HELP, OPT_IN, OPT_OUT
from virtual_numbers.models import InboundActions, NumberSettings, VirtualNumber

LONGEST_DETAIL = 160  # characters (contacts.OptOut.detail)
LONGEST_SOURCE = 60  # characters (contacts.ListMember.source)


@dataclass(frozen=True)
class PlannedAction:
    """One thing to do; kinds are those of messaging.InboundAction. What target and payload hold:

    - opt_out: payload source (contacts.OptOut.Source) and detail; the sender is opted out
    - opt_in: payload reason
    - add_to_list: target = code of the list, payload source
    - reply: payload text, merge fields filled in; confirms_opt_out where it is the one that an opt-out gets
    - forward_email, forward_url: target = address
    - forward_mobile: target = number, payload text
    """

    kind: str
    target: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InboundText:
    """A message to plan for. ``is_first``: its sender has not written to this keyword (or number) before."""

    holder: Account
    number: VirtualNumber
    sender: str
    text: str
    is_first: bool
    match: Match


def plan_actions(
    *, holder: Account, number: VirtualNumber, text: str, sender: str, is_first: bool, now: datetime
) -> list[PlannedAction]:
    """The actions that one message sets off, in the order in which they are to be done."""
    return plan_many([InboundText(holder, number, sender, text, is_first, match(number, text, now))])[0]


def plan_many(messages: Sequence[InboundText]) -> list[list[PlannedAction]]:
    """The actions of each message, in the messages' order; two queries however many there are."""
    contacts = _contacts_of(messages)
    number_settings = _settings_of(messages)
    return [
        _plan(
            message,
            message.match.keyword or number_settings.get((message.number.pk, message.holder.pk)),
            contacts.get((message.holder.pk, message.sender)),
        )
        for message in messages
    ]


def _contacts_of(messages: Sequence[InboundText]) -> dict[tuple[int, str], Contact]:
    found = Contact.objects.filter(
        account__in={message.holder.pk for message in messages}, number__in={message.sender for message in messages}
    )
    return {(contact.account_id, contact.number): contact for contact in found}


def _settings_of(messages: Sequence[InboundText]) -> dict[tuple[int, int], NumberSettings]:
    """(number, holder): what the holder set for the numbers of messages that no keyword takes."""
    numbers = {message.number.pk for message in messages if message.match.keyword is None}
    found = NumberSettings.objects.filter(lease__number__in=numbers, lease__ended_at=None)
    rows = found.select_related("lease", "contact_list") if numbers else []
    return {(one.lease.number_id, one.lease.holder_id): one for one in rows}


def _plan(message: InboundText, rules: InboundActions | None, contact: Contact | None) -> list[PlannedAction]:
    reserved, can_answer = message.match.reserved, is_phone(message.sender)
    actions: list[PlannedAction] = []
    if can_answer:
        actions += _consent(message)
        actions += _confirmation() if reserved == OPT_OUT else []
    if rules is None:
        return actions
    stops = any(action.kind == "opt_out" for action in actions) or reserved == OPT_OUT
    if can_answer and not stops:
        actions += _listing(message, rules) if reserved != HELP else []
        actions += _reply(message, rules, contact)
    return actions + _forwards(message, rules)


def is_phone(sender: str) -> bool:
    """Whether the sender is a number in international form, which can be answered."""
    return sender.startswith("+") and sender[1:].isascii() and sender[1:].isdigit() and len(sender) <= 16


def _consent(message: InboundText) -> list[PlannedAction]:
    """Opting out or in, by a reserved word or by what the keyword is for."""
    keyword, detail = message.match.keyword, message.text[:LONGEST_DETAIL]
    wants = message.match.reserved or (keyword.opt_out_behaviour if keyword else "")
    source = OptOut.Source.KEYWORD if keyword else OptOut.Source.REPLY
    if wants == OPT_OUT:
        return [PlannedAction("opt_out", payload={"source": source.value, "detail": detail})]
    if wants == OPT_IN:
        return [PlannedAction("opt_in", payload={"reason": detail})]
    return []


def _confirmation() -> list[PlannedAction]:
    """The one text to whoever said STOP; a keyword that opts out is the account's own idea and confirms nothing."""
    text = settings.OPT_OUT_CONFIRMATION
    return [PlannedAction("reply", payload={"text": text, "confirms_opt_out": True})] if text else []


def _listing(message: InboundText, rules: InboundActions) -> list[PlannedAction]:
    if rules.contact_list is None:
        return []
    return [PlannedAction("add_to_list", rules.contact_list.code, {"source": source_of(message)[:LONGEST_SOURCE]})]


def source_of(message: InboundText) -> str:
    """Where the message came in, as lists and forwards name it: "keyword JOIN", "+61 …"."""
    keyword = message.match.keyword
    return f"keyword {keyword.word}" if keyword else message.number.number


def _reply(message: InboundText, rules: InboundActions, contact: Contact | None) -> list[PlannedAction]:
    template = rules.first_reply if message.is_first else rules.later_reply
    if has_fields(template):
        # Of a stranger the number is known; the code is of no use here and takes long to make.
        template = render(template, contact or Contact(code="", number=message.sender))
    text = template.strip()
    return [PlannedAction("reply", payload={"text": text})] if text else []


def _forwards(message: InboundText, rules: InboundActions) -> list[PlannedAction]:
    actions = [PlannedAction("forward_email", address) for address in dict.fromkeys(rules.forward_emails)]
    text = f"{message.sender} to {source_of(message)}: {message.text}"
    actions += [
        PlannedAction("forward_mobile", mobile, {"text": text})
        for mobile in dict.fromkeys(rules.forward_mobiles)
        if mobile not in (message.sender, message.number.number)
    ]
    if rules.forward_url:
        actions.append(PlannedAction("forward_url", rules.forward_url))
    return actions


def signing_secret(*, keyword: Keyword | None, number: VirtualNumber) -> str:
    """What signs a webhook now: the keyword's secret, or that of the number's settings; "" when neither is left."""
    if keyword is not None:
        return keyword.webhook_secret
    found = NumberSettings.objects.filter(lease__number=number, lease__ended_at=None).first()
    return found.webhook_secret if found else ""
