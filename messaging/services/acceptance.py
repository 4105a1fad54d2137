"""Accepting a batch: everything that was promised is written, and its money held, in one transaction, or nothing is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Unpack

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import BillingError, InsufficientFunds, SubsidyMissing, TermsChanged, WalletFrozen
from billing.selectors import spendable_of
from billing.services import ledger
from billing.services.ledger import HoldOrder
from billing.services.pricing import PriceList, UnitPrice, check_payers
from billing.services.recharges import RECHARGE, due_among
from billing.wording import money_text
from contacts.selectors import opted_out_pairs
from contacts.services.opt_outs import hold_still
from messaging.exceptions import (
    NotEnoughMoney,
    NothingToSend,
    NotPreparing,
    PriceChanged,
    SendingError,
    SendingNotAllowed,
)
from messaging.models import Batch, MessageClass
from messaging.services.batch_plan import Plan
from messaging.services.batch_rows import Quotes, copy_exclusions, copy_messages, make_row, write_rows
from messaging.services.conditions import kept_conditions
from messaging.services.planning import Planner, Sending, plan_batch
from messaging.services.scheduling import Schedule, make_schedule
from messaging.wakeups import DISPATCH, wake

STOPPED = "Sending is stopped for this account. Ask whoever manages it."  # the reason is another account's affair


def accept_batch(
    *,
    account: Account,
    actor: User | None,
    door: str,
    message_class: int = MessageClass.BULK,
    idempotency_key: str = "",
    expected_price: Decimal | None = None,
    send_at: datetime | None = None,
    valid_until: datetime | None = None,
    **sending: Unpack[Sending],
) -> Batch:
    """Accept a text to many recipients: hold its whole price and queue its messages, or refuse and write nothing.

    The same non-empty ``idempotency_key`` (up to 64 characters) of an account returns its first batch, however often
    and however many at once it comes. ``expected_price`` is the total that the person saw; another one is refused, so
    that nobody pays more than was shown. ``sending`` is what plan_batch takes: sender, text, recipients and the rest.

    With ``send_at`` the messages wait for that moment, their price held; past ``valid_until`` (the default is
    VALIDITY_HOURS after the time of sending) they are not sent any more and their hold is released.

    Whoever opted out before the batch is accepted is left out of it: opt-outs of the account wait meanwhile.

    Raises SendingError: what plan_batch and make_schedule raise, NothingToSend, PriceChanged, NotEnoughMoney, and
    SendingNotAllowed while the payer's wallet is frozen or an account above cannot cover its margin below zero.
    """
    earlier = batch_of_key(account, idempotency_key)
    if earlier is not None:
        return earlier
    schedule = make_schedule(send_at, valid_until)
    try:
        with transaction.atomic():
            hold_still(account)
            plan = plan_batch(account=account, **sending)
            _check_plan(plan, expected_price)
            return _pay_and_write(_Order(plan, actor, door, message_class, idempotency_key, schedule))
    except IntegrityError as error:
        # Another request with this key came first and has committed: one_batch_a_key waited for it.
        earlier = batch_of_key(account, idempotency_key)
        if earlier is None or "one_batch_a_key" not in str(error):
            raise
        return earlier


@transaction.atomic
def accept_prepared(
    *, batch: Batch, planner: Planner, expected_price: Decimal | None, **sending: Unpack[Sending]
) -> Batch:
    """Accept a batch that is being prepared, as accept_batch accepts a new one; its schedule is its own.

    ``planner`` is of the batch's account and may have read the numbers ahead. Raises what accept_batch raises, and
    NotPreparing when the batch was cancelled meanwhile.
    """
    hold_still(batch.account)
    plan = planner.plan(**sending)
    _check_plan(plan, expected_price)
    schedule = Schedule(batch.send_at, batch.valid_until)
    order = _Order(
        plan, batch.created_by, batch.door, batch.message_class, batch.idempotency_key, schedule, prepared=batch
    )
    return _pay_and_write(order)


@dataclass(frozen=True)
class _Order:
    """A plan that is to become a batch: a new one, or the one that was ``prepared`` for it."""

    plan: Plan
    actor: User | None
    door: str
    message_class: int
    idempotency_key: str
    schedule: Schedule
    prepared: Batch | None = None
    hurries: bool = False  # see copy_messages


def _pay_and_write(order: _Order) -> Batch:
    """Write the batch, or say in the words of this room why its price cannot be held."""
    plan = order.plan
    try:
        return _write_batches([order])[0]
    except InsufficientFunds as error:
        raise _not_enough(plan, error.shortfall) from error
    except WalletFrozen as error:
        raise _frozen(plan, error) from error
    except SubsidyMissing as error:
        raise SendingNotAllowed(STOPPED) from error
    except TermsChanged as error:
        raise PriceChanged(str(error)) from error


@dataclass(frozen=True)
class Single:
    """A message to one recipient that came through a program's door, with a text of its own."""

    account: Account
    actor: User | None
    door: str
    sender: str
    text: str
    recipient: str
    message_class: int = MessageClass.TRANSACTIONAL
    idempotency_key: str = ""
    confirms_opt_out: bool = False  # see Planner.plan


def accept_singles(singles: Sequence[Single]) -> list[Batch | SendingError]:
    """Accept single messages together: the answer to each is the batch, or the error, that accept_batch would give.

    Each is a batch of its own with a hold of its own. What one of them is refused for touches no other: what its
    payer's wallet does not cover is left out, and where the database refuses something even so (a wallet or a key that
    another process used at that moment), halves are tried by themselves, down to the one that it is.
    """
    answers: dict[int, Batch | SendingError] = {}
    try:
        with transaction.atomic():
            _accept_together(singles, answers)
    except (BillingError, IntegrityError):
        if len(singles) == 1:
            return [_accept_alone(singles[0])]
        middle = len(singles) // 2
        return accept_singles(singles[:middle]) + accept_singles(singles[middle:])
    return [answers[n] if n in answers else _accept_alone(single) for n, single in enumerate(singles)]


def _accept_together(singles: Sequence[Single], answers: dict[int, Batch | SendingError]) -> None:
    """Fill in the answers; a key that comes twice is answered for its first message only, and what has to be accepted
    alone is not answered."""
    numbered = sorted(enumerate(singles), key=lambda item: (item[1].account.id, item[0]))
    accounts = {single.account.id: single.account for _, single in numbered}
    hold_still(*accounts.values())
    conditions_of = kept_conditions.look()
    earlier = _find_batches(singles)
    orders: dict[int, _Order] = {}
    conditions = {account_id: conditions_of(account) for account_id, account in accounts.items()}
    planners = {account_id: Planner(account, conditions[account_id]) for account_id, account in accounts.items()}
    _look_up_opt_outs(planners, singles)
    schedule = make_schedule()
    for account_id, group in groupby(numbered, key=lambda item: item[1].account.id):
        mine, planner = list(group), planners[account_id]
        seen: set[str] = set()
        for n, single in mine:
            key = single.idempotency_key
            if (account_id, key) in earlier:
                answers[n] = earlier[account_id, key]
            elif key not in seen:
                planned = _plan_single(planner, single, schedule, hurries=not conditions[account_id].has_limits)
                if isinstance(planned, SendingError):
                    answers[n] = planned
                else:
                    orders[n] = planned
                seen |= {key} - {""}
    covered = _covered(orders, answers)
    if covered:
        answers |= dict(zip(covered, _write_batches(list(covered.values())), strict=True))


def _covered(orders: dict[int, _Order], answers: dict[int, Batch | SendingError]) -> dict[int, _Order]:
    """Those that their payers' wallets cover at this moment, one after the other; the others are refused.

    Nobody's messages are tried again because another has no money. What is covered may yet be refused by its hold, and
    what a frozen wallet would pay, or one that is not opened yet, is left to that, alone.
    """
    wallets = {n: _wallet_of(order) for n, order in orders.items()}
    left = spendable_of(set(wallets.values())) if orders else {}
    covered: dict[int, _Order] = {}
    for n, order in orders.items():
        wallet, price = wallets[n], order.plan.total
        if wallet not in left:
            continue
        if price > left[wallet]:
            answers[n] = _not_enough(order.plan, price - left[wallet])
        else:
            left[wallet] -= price
            covered[n] = order
    return covered


def _wallet_of(order: _Order) -> tuple[int, str]:
    return order.plan.payer.id, order.plan.currency


def _look_up_opt_outs(planners: dict[int, Planner], singles: Sequence[Single]) -> None:
    recipients: defaultdict[int, list[str]] = defaultdict(list)
    for single in singles:
        recipients[single.account.id].append(single.recipient)
    numbers = {account_id: planners[account_id].numbers_in(typed) for account_id, typed in recipients.items()}
    opted_out = opted_out_pairs([(account_id, number) for account_id, found in numbers.items() for number in found])
    for account_id, found in numbers.items():
        planners[account_id].note_opted_out(found, opted_out)


def _plan_single(planner: Planner, single: Single, schedule: Schedule, *, hurries: bool) -> "_Order | SendingError":
    try:
        plan = planner.plan(
            sender=single.sender, text=single.text, recipients=[single.recipient],
            confirms_opt_out=single.confirms_opt_out,
        )  # fmt: skip
        _check_plan(plan, None)
    except SendingError as error:
        return error
    return _Order(
        plan, single.actor, single.door, single.message_class, single.idempotency_key, schedule, hurries=hurries
    )


def _accept_alone(single: Single) -> Batch | SendingError:
    try:
        return accept_batch(
            account=single.account, actor=single.actor, door=single.door, sender=single.sender, text=single.text,
            recipients=[single.recipient], message_class=single.message_class, idempotency_key=single.idempotency_key,
            confirms_opt_out=single.confirms_opt_out,
        )  # fmt: skip
    except SendingError as error:
        return error


def _find_batches(singles: Sequence[Single]) -> dict[tuple[int, str], Batch]:
    """Batches that were accepted before under the singles' keys, by account and key."""
    keys = {single.idempotency_key for single in singles} - {""}
    if not keys:
        return {}
    accounts = {single.account.pk for single in singles}
    found = Batch.objects.filter(account__in=accounts, idempotency_key__in=keys)
    return {(batch.account_id, batch.idempotency_key): batch for batch in found}


def batch_of_key(account: Account, idempotency_key: str) -> Batch | None:
    """The account's batch under an idempotency key; None for an empty key."""
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


def _write_batches(orders: list[_Order]) -> list[Batch]:
    """Write these batches, in the order of their accounts, and hold their prices.

    All or nothing is its caller's: what this raises has to end the transaction. Of several orders the database's own
    IntegrityError may say that one is refused.
    """
    # First of all: a second request with the same key waits here until this one has ended.
    now = timezone.now()
    if (prepared := orders[0].prepared) is not None:  # which comes alone
        batches = [_fill(prepared, orders[0], now)]
    else:
        batches = [_batch_of(order, now) for order in orders]
        # In one order for everybody: two groups with the same keys must not wait for each other.
        write_rows(sorted(batches, key=attrgetter("account_id", "idempotency_key")))
    written = list(zip(batches, [order.plan for order in orders], strict=True))
    quotes = _save_quotes([order.plan for order in orders])
    hurried = {one.code for order, one in zip(orders, batches, strict=True) if order.hurries}
    routes = copy_messages(written, quotes, hurried)
    copy_exclusions(written)
    deeds = [(order.plan.account, order.actor, one.code) for order, one in zip(orders, batches, strict=True)]
    audit.record_all("batch.accepted", deeds)
    ledger.hold_all([
        HoldOrder(
            batch_id=one.pk, account=plan.account, payer=plan.payer, amount=plan.total, reference=one.code,
            quantity=plan.message_count, actor=one.created_by, currency=plan.currency, subsidies=plan.subsidies,
        )
        for one, plan in written
    ], explains=len(written) == 1)  # fmt: skip
    price_lists = {id(plan.prices): plan.prices for _, plan in written}.values()
    check_payers(price_lists)
    payers = {prices.payer.pk for prices in price_lists if prices.payer_terms.pays_by_card}
    transaction.on_commit(partial(_wake_workers, payers, routes), robust=True)
    return batches


def _wake_workers(payers: set[int], routes: set[int]) -> None:
    """Hint at the new messages, and at the ``payers`` whose card is to be charged by now."""
    for route_id in sorted(routes):
        wake(DISPATCH, route_id)
    for payer_id in due_among(payers) if payers else ():
        wake(RECHARGE, payer_id)


def _batch_of(order: _Order, now: datetime) -> Batch:
    plan = order.plan
    return make_row(
        account=plan.account, payer=plan.payer, created_by=order.actor, door=order.door, state=Batch.State.ACCEPTED,
        sender=plan.sender, text=plan.text, encoding=plan.encoding, message_class=order.message_class,
        idempotency_key=order.idempotency_key, message_count=plan.message_count, excluded_count=len(plan.exclusions),
        part_count=plan.part_count, currency=plan.currency, price=plan.total, created_at=now, accepted_at=now,
        send_at=order.schedule.send_at, valid_until=order.schedule.valid_until,
    )  # fmt: skip


_FILLED = (
    "payer", "state", "sender", "text", "encoding", "message_count", "excluded_count", "part_count", "currency",
    "price", "accepted_at",
)  # fmt: skip


def _fill(prepared: Batch, order: _Order, now: datetime) -> Batch:
    """Make the batch that was prepared the order's. Raises NotPreparing when it is not being prepared any more."""
    batch = _batch_of(order, now)
    batch.pk, batch.code, batch.created_at = prepared.pk, prepared.code, prepared.created_at
    waiting = Batch.objects.filter(pk=batch.pk, state=Batch.State.PREPARING)
    if waiting.update(**{name: getattr(batch, name) for name in _FILLED}) != 1:
        raise NotPreparing("The batch was cancelled before it was accepted.")
    return batch


def _save_quotes(plans: list[Plan]) -> Quotes:
    found: Quotes = {}
    lists: dict[int, tuple[PriceList, dict[str, UnitPrice]]] = {}
    for plan in plans:
        _, mine = lists.setdefault(id(plan.prices), (plan.prices, {}))
        mine.update({one.price.prefix: one.price for one in plan.recipients})
    for prices, mine in lists.values():
        # In one order for everybody: two batches of an account that save the same new quotes must not wait for each
        # other.
        quotes = prices.save_quotes([mine[prefix] for prefix in sorted(mine)])
        found |= {(prices.account.pk, prefix): quote for prefix, quote in quotes.items()}
    return found
