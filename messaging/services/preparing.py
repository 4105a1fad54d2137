"""Large sendings are checked and accepted by workers, so that nobody waits for an answer.

The request stores what was typed. A worker makes the preview of it and, once a person has confirmed that, accepts the
batch. All of a worker's work is one transaction, under a lock of the account that ends with the worker's connection:
killed at any moment it leaves nothing behind, and whoever comes next begins again from the start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import structlog
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Account, User
from contacts.selectors import lists_of
from messaging.exceptions import BadValidity, GaveUp, ListGone, NotEnoughMoney, NotPreparing, SendingError
from messaging.models import Batch, Preparation
from messaging.preparing_progress import note
from messaging.preview import preview_of, to_json
from messaging.services.acceptance import accept_prepared, batch_of_key
from messaging.services.conditions import Conditions
from messaging.services.planning import Planner, Sending, check_active, check_trial, typed_sending
from messaging.services.scheduling import make_schedule
from messaging.wakeups import PREPARE, wake

log = structlog.get_logger(__name__)

LARGE = 2_000  # recipients from which on a sending is prepared by a worker
KEPT = timedelta(days=7)  # for which what was typed and not accepted can be edited
MOST_ATTEMPTS = 5  # of workers that die or fail, 2, 4, 8 … seconds apart
LOCK_SPACE = 0x50524550  # "PREP": the first key of the advisory locks of accounts whose preparation is being worked on

State = Preparation.State

# One of each account, in no order: an account's many stand in each other's way alone.
_WAITING = """
    SELECT id, account_id FROM (
        SELECT DISTINCT ON (account_id) id, account_id FROM messaging_preparation
        WHERE state IN ('checking', 'accepting') AND retry_at <= statement_timestamp() ORDER BY account_id, id) one
    ORDER BY random()
"""
_BEGIN = """
    UPDATE messaging_preparation
    SET attempts = attempts + 1, retry_at = statement_timestamp() + 2 ^ attempts * interval '2 seconds'
    WHERE id = %s AND state IN ('checking', 'accepting') AND retry_at <= statement_timestamp()
"""


@dataclass(frozen=True)
class Typed:
    """A form as it was sent: recipients, codes of lists, and the other fields by name."""

    recipients: str
    lists: list[str]
    fields: dict[str, str]


@dataclass(frozen=True)
class Confirmed:
    """What a person confirmed: sender and text as they will be sent, the price that was shown, and when to send."""

    sender: str
    text: str
    expected_price: Decimal | None
    send_at: datetime | None
    valid_until: datetime | None


# --- What a request does -------------------------------------------------------------------------------------------


@transaction.atomic
def start_check(*, account: Account, actor: User, typed: Typed) -> Preparation:
    """Store what was typed and have a worker make its preview."""
    preparation = _store(account, actor, typed, State.CHECKING)
    transaction.on_commit(partial(wake, PREPARE))
    return preparation


@transaction.atomic
def check_again(preparation: Preparation) -> None:
    """Have a worker make the preview anew; nothing happens while the batch is being accepted."""
    again = Preparation.objects.filter(pk=preparation.pk, state__in=(State.CHECKED, State.ENDED), batch=None)
    if again.update(state=State.CHECKING, preview=None, refusal="", attempts=0, retry_at=timezone.now()):
        transaction.on_commit(partial(wake, PREPARE))


def send_unchecked(*, account: Account, actor: User, typed: Typed, key: str, confirmed: Confirmed) -> Batch:
    """Store what was typed and have it accepted under an idempotency ``key``, whose first batch is always the answer.

    Raises what ``start_accepting`` raises.
    """
    try:
        with transaction.atomic():
            preparation = _store(account, actor, typed, State.CHECKED)
            return start_accepting(preparation=preparation, actor=actor, confirmed=confirmed, key=key)
    except IntegrityError as error:
        earlier = batch_of_key(account, key)
        if earlier is None or "one_batch_a_key" not in str(error):
            raise
        return earlier


def _store(account: Account, actor: User, typed: Typed, state: str) -> Preparation:
    return Preparation.objects.create(
        account=account, created_by=actor, state=state,
        recipients=typed.recipients, lists=typed.lists, typed=typed.fields,
    )  # fmt: skip


def start_accepting(*, preparation: Preparation, actor: User, confirmed: Confirmed, key: str = "") -> Batch:
    """Make the batch of a checked preparation and have a worker accept it; asked again, the same batch is the answer.

    Everything is checked again when it is accepted; refused at once is only what needs no look at the recipients.
    Raises SendingError: AccountSuspended, TrialExpired, SendingNotAllowed, and what make_schedule raises.
    """
    account, key = preparation.account, key or preparation.code
    schedule = make_schedule(confirmed.send_at, confirmed.valid_until)
    check_active(account)
    prices = Conditions(account).prices
    check_trial(account, prices)
    with transaction.atomic():
        locked = Preparation.objects.select_for_update().defer("recipients").filter(pk=preparation.pk).first()
        if locked is None or locked.batch_id is not None:  # a second click, after the first was accepted or before
            return Batch.objects.get(account=account, idempotency_key=key)
        locked.batch = Batch.objects.create(
            account=account, payer=prices.payer, created_by=actor, door=Batch.Door.WEB, state=Batch.State.PREPARING,
            sender=confirmed.sender, text=confirmed.text, idempotency_key=key, currency=prices.currency,
            send_at=schedule.send_at, valid_until=schedule.valid_until,
        )  # fmt: skip
        locked.state, locked.expected_price = State.ACCEPTING, confirmed.expected_price
        locked.attempts, locked.retry_at = 0, timezone.now()
        locked.save(update_fields=["batch", "state", "expected_price", "attempts", "retry_at"])
        transaction.on_commit(partial(wake, PREPARE))
    return locked.batch


# --- What a worker does --------------------------------------------------------------------------------------------


def prepare_next() -> bool:
    """Check, or accept, one that nobody is at, of an account its oldest; False when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waiting = cursor.fetchall()
    for preparation_id, account_id in waiting:
        with _alone(account_id) as is_alone:
            if is_alone and _begin(preparation_id):
                _work(preparation_id)
                return True
    return False


@contextmanager
def _alone(account_id: int) -> Iterator[bool]:
    """Keep other workers from the account's preparations; False while one is at them. Ends with the connection, too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SPACE, account_id])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_SPACE, account_id])


def _begin(preparation_id: int) -> bool:
    """Count an attempt, which stays counted when the worker dies; False when there is nothing to do any more."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, [preparation_id])
        return bool(cursor.rowcount == 1)


def _work(preparation_id: int) -> None:
    try:
        with transaction.atomic():
            found = Preparation.objects.select_for_update(of=("self",)).select_related("account")
            preparation = found.filter(pk=preparation_id, state__in=Preparation.WORKING).first()
            if preparation is None:
                return
            if preparation.attempts > MOST_ATTEMPTS:
                log.error("preparing.given_up", preparation=preparation.code)
                raise GaveUp("This could not be prepared, for a reason of ours. Nothing was sent: try it again later.")
            _accept(preparation) if preparation.batch_id else _check(preparation)
    except SendingError as error:
        _end(preparation_id, error)


def _check(preparation: Preparation) -> None:
    """Make the preview."""
    planner, sending = _planner(preparation), _sending(preparation)
    planner.read_ahead(sending["recipients"], sending["lists"])
    preparation.preview = to_json(preview_of(planner.plan(**sending)))
    preparation.state = State.CHECKED
    preparation.save(update_fields=["preview", "state"])


def _accept(preparation: Preparation) -> None:
    """Accept the batch and forget what was typed."""
    batch = Batch.objects.select_related("account", "created_by").get(preparation=preparation)
    if batch.valid_until is not None and batch.valid_until <= timezone.now():
        raise BadValidity("It was to be sent by a time that has passed meanwhile. Choose a later one.")
    planner, sending = _planner(preparation), _sending(preparation)
    planner.read_ahead(sending["recipients"], sending["lists"])
    accept_prepared(batch=batch, planner=planner, expected_price=preparation.expected_price, **sending)
    preparation.delete()


def _planner(preparation: Preparation) -> Planner:
    """A planner that notes how far it has come, and stops when the batch is cancelled."""
    before = 0

    def report(done: int, total: int) -> None:
        nonlocal before
        note(preparation, before + done, total)
        before += total if done == total else 0
        batch = preparation.batch_id
        if batch is not None and not Batch.objects.filter(pk=batch, state=Batch.State.PREPARING).exists():
            raise NotPreparing("The batch was cancelled before it was accepted.")

    return Planner(preparation.account, report=report)


def _sending(preparation: Preparation) -> Sending:
    account, typed = preparation.account, preparation.typed
    lists = list(lists_of(account).filter(code__in=preparation.lists))
    if len(lists) != len(set(preparation.lists)):
        raise ListGone("One of the lists is gone; choose among those that are left.")
    return typed_sending(
        account, sender=typed["sender"], text=typed["text"], recipients=preparation.recipients, lists=lists
    )


@transaction.atomic
def _end(preparation_id: int, error: SendingError) -> None:
    """Say why nothing was sent; what was typed stays. A batch that was cancelled stays so."""
    found = Preparation.objects.select_for_update().defer("recipients").filter(pk=preparation_id)
    preparation = found.filter(state__in=Preparation.WORKING).first()
    if preparation is None:
        return
    refusal = "" if isinstance(error, NotPreparing) else str(error)[:300]
    if preparation.batch_id is not None:
        refused = Batch.objects.filter(pk=preparation.batch_id, state=Batch.State.PREPARING)
        refused.update(state=Batch.State.REFUSED, refusal=refusal)
    preparation.state, preparation.refusal, preparation.refused_field = State.ENDED, refusal, error.field
    preparation.lacks_money = isinstance(error, NotEnoughMoney)
    preparation.save(update_fields=["state", "refusal", "refused_field", "lacks_money"])


def forget_old(now: datetime) -> int:
    """Delete what was typed KEPT ago and never accepted; returns how many."""
    old = Preparation.objects.filter(created_at__lt=now - KEPT).exclude(state__in=Preparation.WORKING)
    return old.delete()[0]
