"""Accepting a batch: everything that was promised is written, and its money held, in one transaction, or nothing is."""

from decimal import Decimal
from functools import partial
from typing import Unpack

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import InsufficientFunds, SubsidyMissing, TermsChanged, WalletFrozen
from billing.models import Quote
from billing.services import ledger
from billing.services.recharges import RECHARGE
from billing.wording import money_text
from contacts.services.opt_outs import hold_still
from messaging.exceptions import NotEnoughMoney, NothingToSend, PriceChanged, SendingNotAllowed
from messaging.models import Batch, Message, MessageClass
from messaging.services.batch_plan import Plan
from messaging.services.planning import Sending, plan_batch
from messaging.wakeups import DISPATCH, wake

_COPY_MESSAGES = (
    "COPY messaging_message (batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts, price,"
    " display_price, text, message_class, priority, state) FROM STDIN"
)
STOPPED = "Sending is stopped for this account. Ask whoever manages it."  # the reason is another account's affair
_COPY_EXCLUSIONS = "COPY messaging_exclusion (batch_id, value, reason, detail) FROM STDIN"


def accept_batch(
    *,
    account: Account,
    actor: User | None,
    door: str,
    message_class: int = MessageClass.BULK,
    idempotency_key: str = "",
    expected_price: Decimal | None = None,
    **sending: Unpack[Sending],
) -> Batch:
    """Accept a text to many recipients: hold its whole price and queue its messages, or refuse and write nothing.

    The same non-empty ``idempotency_key`` (up to 64 characters) of an account returns its first batch, however often
    and however many at once it comes. ``expected_price`` is the total that the person saw; another one is refused, so
    that nobody pays more than was shown. ``sending`` is what plan_batch takes: sender, text, recipients and the rest.

    Whoever opted out before the batch is accepted is left out of it: opt-outs of the account wait meanwhile.

    Raises SendingError: what plan_batch raises, NothingToSend, PriceChanged, NotEnoughMoney, and SendingNotAllowed
    while the payer's wallet is frozen or an account above cannot cover its margin below zero.
    """
    earlier = _find_batch(account, idempotency_key)
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            hold_still(account)
            plan = plan_batch(account=account, **sending)
            _check_plan(plan, expected_price)
            return _pay_and_write(plan, actor, door, message_class, idempotency_key)
    except IntegrityError as error:
        # Another request with this key came first and has committed: one_batch_a_key waited for it.
        earlier = _find_batch(account, idempotency_key)
        if earlier is None or "one_batch_a_key" not in str(error):
            raise
        return earlier


def _pay_and_write(plan: Plan, actor: User | None, door: str, message_class: int, idempotency_key: str) -> Batch:
    """Write the batch, or say in the words of this room why its price cannot be held."""
    try:
        return _write_batch(plan, actor=actor, door=door, message_class=message_class, idempotency_key=idempotency_key)
    except InsufficientFunds as error:
        raise _not_enough(plan, error.shortfall) from error
    except WalletFrozen as error:
        raise _frozen(plan, error) from error
    except SubsidyMissing as error:
        raise SendingNotAllowed(STOPPED) from error
    except TermsChanged as error:
        raise PriceChanged(str(error)) from error


def _find_batch(account: Account, idempotency_key: str) -> Batch | None:
    if not idempotency_key:
        return None
    return Batch.objects.filter(account=account, idempotency_key=idempotency_key).first()


def _check_plan(plan: Plan, expected_price: Decimal | None) -> None:
    if not plan.recipients:
        count = len(plan.exclusions)
        raise NothingToSend(
            f"None of the {count:,} recipients can be sent to."
            if count > 1
            else f"{plan.exclusions[0].value} cannot be sent to: {plan.exclusions[0].detail}"
        )
    if expected_price is None or expected_price == plan.total:
        return
    if not plan.shows_amounts:
        raise PriceChanged("What this batch costs has changed meanwhile. Check the preview again.")
    was, now = money_text(expected_price, plan.currency), money_text(plan.total, plan.currency)
    raise PriceChanged(f"The price has changed from {was} to {now} since the preview. Check it again.")


def _not_enough(plan: Plan, shortfall: Decimal) -> NotEnoughMoney:
    if not plan.shows_amounts:
        return NotEnoughMoney("Your provider's balance does not cover this batch. Ask whoever manages your account.")
    price, available = plan.total, plan.total - shortfall
    costs, has, lacks = (money_text(amount, plan.currency) for amount in (price, available, shortfall))
    needs, advice = "costs", "Add credit or send to fewer people."
    if plan.shows_credits:
        needs, advice = "needs", "Ask whoever manages your account for more, or send to fewer people."
    return NotEnoughMoney(
        f"This batch {needs} {costs} and {has} are available: {lacks} are missing. {advice}",
        price=price,
        available=available,
        shortfall=shortfall,
    )


def _frozen(plan: Plan, error: WalletFrozen) -> SendingNotAllowed:
    """The payer's dispute is its own affair: who does not pay is told no reason."""
    own = plan.payer == plan.account
    return SendingNotAllowed(str(error) if own else STOPPED)


@transaction.atomic
def _write_batch(plan: Plan, *, actor: User | None, door: str, message_class: int, idempotency_key: str) -> Batch:
    now = timezone.now()
    # First of all: a second request with the same key waits here until this one has ended.
    batch = Batch.objects.create(
        account=plan.account, payer=plan.payer, created_by=actor, door=door, state=Batch.State.ACCEPTED,
        sender=plan.sender, text=plan.text, encoding=plan.encoding, message_class=message_class,
        idempotency_key=idempotency_key, message_count=plan.message_count, excluded_count=len(plan.exclusions),
        part_count=plan.part_count, currency=plan.currency, price=plan.total, created_at=now, accepted_at=now,
    )  # fmt: skip
    # In one order for everybody: two batches of an account that save the same new quotes must not wait for each other.
    prices = {recipient.price.prefix: recipient.price for recipient in plan.recipients}
    quotes = plan.prices.save_quotes([prices[prefix] for prefix in sorted(prices)])
    _copy_messages(batch, plan, quotes)
    _copy_exclusions(batch, plan)
    audit.record(account=plan.account, actor=actor, action="batch.accepted", subject=batch.code)
    ledger.hold(
        batch_id=batch.pk, account=plan.account, payer=plan.payer, amount=plan.total, reference=batch.code,
        quantity=plan.message_count, actor=actor, currency=plan.currency, subsidies=plan.subsidies,
    )  # fmt: skip
    plan.prices.check_payer()
    if plan.prices.payer_terms.pays_by_card:
        transaction.on_commit(partial(wake, RECHARGE, plan.payer.pk))
    for route_id in sorted({recipient.route_id for recipient in plan.recipients}):
        transaction.on_commit(partial(wake, DISPATCH, route_id))
    return batch


def _copy_messages(batch: Batch, plan: Plan, quotes: dict[str, Quote]) -> None:
    """Write all messages with COPY; ids are made by the database, in the order of the recipients."""
    before = (batch.pk, batch.account_id, batch.payer_id)
    after = (batch.message_class, 0, Message.State.QUEUED.value)
    priced: dict[tuple[str, int], tuple[int, Decimal, Decimal | None]] = {}
    with connection.cursor() as cursor, cursor.copy(_COPY_MESSAGES) as copy:
        for recipient in plan.recipients:
            prefix, parts = recipient.price.prefix, recipient.parts
            if (prefix, parts) not in priced:
                priced[prefix, parts] = _price_of(quotes[prefix], parts)
            quote_id, price, display = priced[prefix, parts]
            copy.write_row((
                *before, recipient.route_id, quote_id, recipient.number, batch.sender, parts, price, display,
                recipient.text, *after,
            ))  # fmt: skip


def _price_of(quote: Quote, parts: int) -> tuple[int, Decimal, Decimal | None]:
    """A message's quote, its price and what a paying parent bills for it."""
    display = None if quote.display_price is None else quote.display_price * parts
    return quote.pk, quote.unit_price * parts, display


def _copy_exclusions(batch: Batch, plan: Plan) -> None:
    if not plan.exclusions:
        return
    with connection.cursor() as cursor, cursor.copy(_COPY_EXCLUSIONS) as copy:
        for row in plan.exclusions:
            copy.write_row((batch.pk, row.value, row.reason, row.detail))
