"""Reads of batches and messages, scoped to the viewer's own account and the accounts below it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.http import Http404
from django.utils import timezone

from accounts.models import Account
from billing.models import CREDITS, BillingTerms, Hold
from billing.selectors import terms_of
from billing.statements import Period
from contacts.merge import has_fields
from messaging.batch_counts import counts_of
from messaging.keyset import Cursor, Page, find_keys
from messaging.message_keys import LAST, Wanted, find_message_keys
from messaging.models import Batch, Exclusion, Message, Preparation, time_of
from messaging.periods import uuid_bounds, uuid_floor

State = Message.State

# What people ask for, in the order in which a batch goes through them; ``tone`` as in the state badges.
GROUPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "waiting": ("Waiting", "waiting", (*Message.CANCELLABLE,)),
    "sending": ("Sending", "progress", (State.SENDING, State.UNKNOWN)),
    "sent": ("Sent", "sent", (State.SENT,)),
    "delivered": ("Delivered", "good", (State.DELIVERED,)),
    "failed": (
        "Failed", "bad", (State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.BLOCKED, State.FAILED),
    ),
    "cancelled": ("Cancelled", "neutral", (State.CANCELLED,)),
}  # fmt: skip
SHOWN_EXCLUSIONS = 200


class Sight:
    """What one account may see of others' messages: whose they are, and whose money."""

    def __init__(self, viewer: Account, find_terms: Callable[[], BillingTerms | None] | None = None) -> None:
        """``find_terms``: brings the viewer's terms where they are known already."""
        self.viewer = viewer
        self._find_terms = find_terms or (lambda: terms_of(viewer))

    @cached_property
    def _terms(self) -> BillingTerms | None:
        return self._find_terms()

    @property
    def shows_money(self) -> bool:
        """Whether the viewer's pages show prices at all (PRODUCT.md, money rule 3)."""
        return self._terms is not None and self._terms.shows_money

    @property
    def counts_credits(self) -> bool:
        """Whether the viewer's pages count SMS credits in place of money."""
        return self._terms is not None and self._terms.method == BillingTerms.Method.SMS_CREDITS

    @property
    def shows_amounts(self) -> bool:
        return self.shows_money or self.counts_credits

    @property
    def currency(self) -> str:
        """What the viewer's amounts are counted in: its money, or SMS credits."""
        return CREDITS if self.counts_credits else self.viewer.currency

    def sees_price(self, payer: Account, currency: str = "") -> bool:
        """Whether the viewer may see what ``payer`` paid: its own price and those below it, never one above.

        ``currency`` is that of the amount: who sends with credits sees credits, and no money.
        """
        if self.viewer.pk not in payer.path:
            return False
        return self.shows_money or (self.counts_credits and currency == CREDITS)

    @cached_property
    def clients(self) -> list[Account]:
        """Every account below the viewer, by name; empty for an account without clients."""
        return list(Account.objects.below(self.viewer).order_by("name", "pk"))

    def accounts(self, client_code: str = "") -> list[Account]:
        """The accounts that a list covers: all in sight, or of the chosen client its branch; 404 for another's."""
        everyone = [self.viewer, *self.clients]
        if not client_code:
            return everyone
        if client_code == self.viewer.code:
            return [self.viewer]
        chosen = next((client for client in self.clients if client.code == client_code), None)
        if chosen is None:
            raise Http404("No such client.")
        return [account for account in everyone if chosen.pk in account.path]


# --- One object --------------------------------------------------------------------------------------------------


def get_batch_for(viewer: Account, code: str) -> Batch:
    """A batch of the viewer or of an account below it; anything else is 404, as if it did not exist."""
    found = (
        Batch.objects.filter(code=code, account__path__contains=[viewer.pk])
        .select_related("account", "payer", "created_by")
        .first()
    )
    if found is None:
        raise Http404("No such batch.")
    return found


def get_message_for(viewer: Account, key: UUID) -> Message:
    """A message of the viewer or of an account below it; anything else is 404."""
    found = (
        Message.objects.filter(pk=key, account__path__contains=[viewer.pk])
        .select_related("account", "payer", "batch__created_by", "quote")
        .first()
    )
    if found is None:
        raise Http404("No such message.")
    return found


def find_preparation(account: Account, code: str) -> Preparation | None:
    """A large sending of the account itself that was not accepted yet, without its recipients until they are needed."""
    found = Preparation.objects.filter(account=account, code=code).defer("recipients")
    return found.select_related("account", "batch").first()


def preparation_of(batch: Batch) -> Preparation | None:
    """What was typed for a batch that is being prepared, was refused, or was cancelled before it was accepted."""
    return Preparation.objects.filter(batch=batch).defer("recipients", "preview").first()


# --- Lists -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """What a list is narrowed to; empty values do not narrow."""

    accounts: list[Account]
    period: Period | None = None
    states: tuple[str, ...] = ()
    recipient: str = ""
    batch: Batch | None = None
    settlement: int | None = None

    def conditions(self, viewer: Account) -> list[tuple[str, Any]]:
        """SQL conditions of batches with their values, in the viewer's time zone."""
        conditions: list[tuple[str, Any]] = []
        if self.period is not None:
            begin, end = uuid_bounds(self.period, viewer)
            conditions += [("id >= %s", begin), ("id < %s", end)]
        return conditions

    def messages(self, viewer: Account) -> Wanted:
        """Which messages, in the viewer's time zone."""
        low, high = uuid_bounds(self.period, viewer) if self.period is not None else (UUID(int=0), LAST)
        keys = [account.pk for account in self.accounts]
        return Wanted(keys, low, high, self.states, self.recipient, self.batch, self.settlement)


# What lists of batches show: making objects of all columns takes longer than finding them.
_LISTED = (
    "code", "state", "created_at", "text", "sender", "door", "accepted_at", "message_count", "excluded_count", "price",
    "currency", "account__name", "payer__path",
)  # fmt: skip


def page_of_batches(viewer: Account, chosen: Chosen, cursor: Cursor) -> Page:
    """Batches of the chosen accounts, newest first, with ``is_finished``: nothing more is expected of any message."""
    keys = find_keys("messaging_batch", [one.pk for one in chosen.accounts], chosen.conditions(viewer), cursor)
    batches = Batch.objects.filter(pk__in=keys.rows).select_related("account", "payer").only(*_LISTED).order_by("-pk")
    found = list(batches.annotate(is_finished=_is_finished(keys.rows)))
    return Page(found, keys.newer, keys.older)


def _is_finished(keys: Sequence[UUID]) -> Any:
    """Of batches with these keys. No message is older than its batch: that rules out earlier months' partitions."""
    open_states = [state for state in State if state not in Message.FINAL]
    earliest = uuid_floor(time_of(min(keys)) - timedelta(seconds=1)) if keys else UUID(int=0)
    waited_for = Message.objects.filter(batch=OuterRef("pk"), pk__gte=earliest, state__in=open_states)
    return ExpressionWrapper(
        Q(state=Batch.State.ACCEPTED, message_count__gt=0) & ~Exists(waited_for), output_field=BooleanField()
    )


# What templates/messaging/_message_table.html shows: making objects of all columns takes longer than finding them.
_SHOWN = (
    "recipient", "sender", "parts", "price", "state", "attempts", "tried_routes", "error_code", "sent_at",
    "account__name", "payer__path", "quote__currency",
)  # fmt: skip


def page_of_messages(viewer: Account, chosen: Chosen, cursor: Cursor) -> Page:
    """Messages of the chosen accounts, newest first."""
    keys = find_message_keys(chosen.messages(viewer), cursor)
    rows = _shown(Message.objects.filter(pk__in=keys.rows))
    return Page(list(rows.order_by("-pk")), keys.newer, keys.older)


def _shown(messages: QuerySet[Message]) -> QuerySet[Message]:
    return messages.select_related("account", "payer", "quote").only(*_SHOWN)


# --- A batch's page ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """One group of states in a batch: how many, and where its piece of the bar begins and how wide it is (0-100)."""

    name: str
    label: str
    tone: str
    count: int
    start: float
    width: float
    states: list[tuple[str, int]]  # the exact states of a group that has several


@dataclass(frozen=True)
class Progress:
    """How far a batch has come."""

    batch: Batch
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @cached_property
    def groups(self) -> dict[str, int]:
        return {name: sum(self.counts.get(state, 0) for state in states) for name, (_, _, states) in GROUPS.items()}

    @property
    def cancellable(self) -> int:
        return self.groups["waiting"]

    @property
    def done(self) -> int:
        """Messages of which nothing more is expected."""
        return sum(self.counts.get(state, 0) for state in Message.FINAL)

    @property
    def is_finished(self) -> bool:
        """Whether the batch was accepted and nothing more is expected of any message of it."""
        return self.batch.state == Batch.State.ACCEPTED and 0 < self.total == self.done

    @property
    def shares(self) -> list[Share]:
        """The pieces of the bar: what is decided stands first, so that the bar fills from the left."""
        shares, start = [], 0.0
        for name in ("delivered", "failed", "cancelled", "sent", "sending", "waiting"):
            label, tone, _ = GROUPS[name]
            width = 100 * self.groups[name] / self.total if self.total else 0.0
            count = self.groups[name]
            shares.append(Share(name, label, tone, count, round(start, 3), round(width, 3), self._states(name)))
            start += width
        return shares

    def _states(self, name: str) -> list[tuple[str, int]]:
        states = GROUPS[name][2]
        if len(states) == 1:
            return []
        return [(str(State(state).label), self.counts[state]) for state in states if self.counts.get(state)]

    @property
    def refresh_seconds(self) -> int:
        """How often the page asks again; 0 = it need not. Receipts that stay away are asked for less and less."""
        if self.batch.state == Batch.State.PREPARING:
            return 1
        if self.batch.state == Batch.State.REFUSED or self.done == self.total:
            return 0
        if self.groups["waiting"] or self.groups["sending"]:
            return 2
        age = timezone.now() - self.batch.created_at
        if age < timedelta(minutes=5):
            return 2
        return 30 if age < timedelta(hours=2) else 0


def progress_of(batch: Batch) -> Progress:
    """Counts of the batch's messages by state."""
    return progress_of_all([batch])[0]


def progress_of_all(batches: Sequence[Batch]) -> list[Progress]:
    """Of several batches, in a statement or two."""
    counts = counts_of(batches)
    return [Progress(batch, counts.get(batch.pk, {})) for batch in batches]


def newest_batches(accounts: list[Account], count: int) -> list[Batch]:
    """The last batches of the accounts, newest first."""
    keys = find_keys("messaging_batch", [one.pk for one in accounts], [], Cursor(), count).rows
    return list(Batch.objects.filter(pk__in=keys).select_related("account").order_by("-pk"))


def first_messages_of(batch: Batch) -> list[Message]:
    """The batch's first messages in the order of acceptance."""
    keys = find_message_keys(Wanted([batch.account_id], batch=batch), Cursor(after=batch.pk)).rows
    return list(_shown(Message.objects.filter(pk__in=keys)).order_by("pk"))


@dataclass(frozen=True)
class Excluded:
    """Recipients that were left out: how many for each reason, and the first of them."""

    counts: list[tuple[str, int]]
    first: list[Exclusion]
    total: int


def excluded_of(batch: Batch) -> Excluded:
    """Who was left out of the batch, and why."""
    rows = Exclusion.objects.filter(batch=batch)
    counts = rows.order_by("reason").values_list("reason").annotate(count=Count("*"))
    labelled = [(Exclusion.Reason(reason).label, count) for reason, count in counts]
    return Excluded(labelled, list(rows.order_by("pk")[:SHOWN_EXCLUSIONS]), sum(count for _, count in labelled))


def has_own_texts(batch: Batch) -> bool:
    """Whether recipients of the batch got texts that differ from what was written: its merge fields were filled in."""
    if not has_fields(batch.text):
        return False
    return Message.objects.filter(batch=batch, text__isnull=False).exists()


@dataclass(frozen=True)
class BatchMoney:
    """What a batch set aside and what became of it, in the payer's currency."""

    held: Decimal
    captured: Decimal
    released: Decimal
    currency: str
    payer: Account

    @property
    def open(self) -> Decimal:
        return self.held - self.captured - self.released


def money_of(batch: Batch, sight: Sight) -> BatchMoney | None:
    """The batch's money; None where the viewer may not see it or nothing was held."""
    if not sight.sees_price(batch.payer, batch.currency):
        return None
    hold = Hold.objects.filter(batch_id=batch.pk, is_subsidy=False).first()
    if hold is None:
        return None
    return BatchMoney(hold.amount, hold.captured, hold.released, hold.currency, batch.payer)


# --- SEND SMS ----------------------------------------------------------------------------------------------------


def pays_by_card(account: Account) -> bool:
    """Whether the account's terms let it add credit by card."""
    return BillingTerms.objects.filter(account=account, method__in=BillingTerms.CARD_METHODS).exists()


def recent_senders(account: Account) -> list[str]:
    """The senders of the account's last batches, latest first, each once."""
    last = Batch.objects.filter(account=account).order_by("-pk").values_list("sender", flat=True)[:50]
    return list(dict.fromkeys(last))[:5]
