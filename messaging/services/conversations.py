"""What people do in the inbox: reply, take a conversation on, and mark it read."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Account, Membership, User
from accounts.services import audit
from messaging.exceptions import SendingError, SendingNotAllowed
from messaging.models import Batch, Conversation, Exclusion, InboundMessage
from messaging.services.acceptance import accept_batch
from messaging.services.planning import Plan, check_text, plan_batch
from smpp.text import segment
from virtual_numbers.models import VirtualNumber
from virtual_numbers.selectors import lease_of

LONGEST_LAST_TEXT = 160  # characters (Conversation.last_text)


@dataclass(frozen=True)
class ReplyTerms:
    """Whether a reply to the phone can be sent now, and for how much.

    ``refusal`` is the reason in words why not, "" where it can. ``unit_price`` is one part's, in ``currency``; None for
    an account that sees no amounts.
    """

    refusal: str = ""
    unit_price: Decimal | None = None
    currency: str = ""


def reply_terms(conversation: Conversation) -> ReplyTerms:
    """What a reply from the conversation's number would be subject to; asks the very planning that sending uses."""
    refusal = _number_refusal(conversation.account, conversation.number)
    if refusal:
        return ReplyTerms(refusal)
    try:
        # Any text does: the price of a part and every other reason to refuse are the same for all.
        plan = _plan(conversation, "x")
    except SendingError as error:
        return ReplyTerms(str(error))
    if not plan.recipients:
        return ReplyTerms(_exclusion_refusal(conversation, plan))
    if not plan.shows_amounts:
        return ReplyTerms()
    return ReplyTerms("", plan.recipients[0].price.price, plan.currency)


def _plan(conversation: Conversation, text: str) -> Plan:
    return plan_batch(
        account=conversation.account, sender=conversation.number.number, text=text, recipients=[conversation.phone]
    )


def _number_refusal(account: Account, number: VirtualNumber) -> str:
    """Why the account cannot send from its number; "" when it can."""
    lease = lease_of(number)
    if lease is None or lease.holder != account:
        return f"The number {number.number} is no longer yours, so nothing can be sent from it."
    if not lease.subscription.works:
        return f"The number {number.number} is suspended until its rental is paid, so nothing can be sent from it."
    if VirtualNumber.Capability.SMS_OUT not in number.capabilities:
        return f"The number {number.number} only receives; nothing can be sent from it."
    return ""


def _exclusion_refusal(conversation: Conversation, plan: Plan) -> str:
    reason = plan.exclusions[0]
    if reason.reason == Exclusion.Reason.OPTED_OUT:
        return f"{conversation.phone} has opted out, so nothing may be sent to it."
    if reason.reason == Exclusion.Reason.INVALID:
        return f"{conversation.phone} cannot be replied to: it is no mobile number."
    return f"{conversation.phone} cannot be replied to. {reason.detail}"


def reply(*, conversation: Conversation, text: str, key: str, unit_price: Decimal | None, actor: User | None) -> Batch:
    """Send ``text`` from the conversation's number to its phone, as one batch of one message.

    ``unit_price`` is the price of a part that the person saw (None where they see none); another one is refused.
    The same ``key`` (32 characters) sends once, however often it comes. What was typed is sent as it is, braces too.

    Raises SendingError: what accept_batch raises, and SendingNotAllowed when the number is not theirs to send from.
    """
    account, phone = conversation.account, conversation.phone
    refusal = _number_refusal(account, conversation.number)
    if refusal:
        raise SendingNotAllowed(refusal)
    text = check_text(text)
    batch = accept_batch(
        account=account,
        sender=conversation.number.number,
        text=text,
        recipients=[phone],
        door=Batch.Door.WEB,
        actor=actor,
        idempotency_key=f"reply-{conversation.code}-{key}",
        expected_price=None if unit_price is None else unit_price * segment(text).parts,
    )
    Conversation.objects.filter(pk=conversation.pk).update(last_text=text[:LONGEST_LAST_TEXT], last_at=timezone.now())
    return batch


@transaction.atomic
def mark_read(*, conversation: Conversation, newest: UUID | None) -> None:
    """What came up to the inbound message ``newest``, the last that the person saw, is read; the rest stays unread."""
    # The lock first: a message that is just arriving has either been counted in ``unread`` or waits for this to end.
    locked = Conversation.objects.select_for_update().get(pk=conversation.pk)
    later = InboundMessage.objects.filter(conversation=conversation)
    unread = 0 if newest is None else min(later.filter(pk__gt=newest).count(), locked.unread)
    if unread != locked.unread:
        Conversation.objects.filter(pk=conversation.pk).update(unread=unread)


def mark_unread(*, conversation: Conversation) -> None:
    """Let the conversation stand out again, for whoever looks next."""
    Conversation.objects.filter(pk=conversation.pk, unread=0).update(unread=1)


def assignable_users(account: Account) -> list[User]:
    """Who may be given a conversation: the account's people, by name."""
    members = Membership.objects.filter(account=account, user__is_active=True).select_related("user")
    return sorted((member.user for member in members), key=lambda user: (str(user).lower(), user.pk))


@transaction.atomic
def assign(*, conversation: Conversation, user: User | None, actor: User | None) -> None:
    """Give the conversation to one of the account's people (assignable_users), or to nobody."""
    changed = Conversation.objects.filter(pk=conversation.pk).exclude(assigned_to=user).update(assigned_to=user)
    if changed:
        audit.record(
            account=conversation.account, actor=actor, action="conversation.assigned", subject=conversation.code,
            user=user.pk if user else None,
        )  # fmt: skip
