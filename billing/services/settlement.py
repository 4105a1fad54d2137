"""Settling holds: what a chunk of messages takes of them and gives back, as few movements as can tell it.

One movement for each sending account, payer, currency and direction, never one for each message. The wallets of
parents are the hottest of all, so they are locked by the chunk's last statement.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts.services.accounts import get_platform
from billing.services.ledger import (
    Books,
    Entries,
    Kind,
    Movement,
    Posting,
    TxKind,
    added_up,
    books_of_hold,
    move_holds,
    open_books,
    reserve_ids,
    write_movements,
)


@dataclass
class Settlement:
    """What a chunk of messages settles of one batch's holds: sums over these messages, in the payer's currency."""

    batch_id: UUID
    payer_id: int
    reference: str
    captured: Decimal = Decimal(0)
    captured_count: int = 0
    released: Decimal = Decimal(0)
    released_count: int = 0
    # What each account above the payer earns of ``captured``; the rest is the platform's.
    earnings: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    # What each account above that sells below its own price pays, or gets back of what it set aside.
    subsidies: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    subsidies_released: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def holds(self) -> Iterator[tuple[UUID, int, Decimal, Decimal]]:
        """(batch, wallet's owner, captured, released) of each of its holds."""
        yield self.batch_id, self.payer_id, self.captured, self.released
        for owner in sorted({*self.subsidies, *self.subsidies_released}):
            yield self.batch_id, owner, self.subsidies[owner], self.subsidies_released[owner]


@dataclass(frozen=True)
class Settled:
    """The ledger transactions that settled a batch's part of the chunk; None where no money moved."""

    capture_id: int | None
    release_id: int | None


@dataclass(frozen=True)
class _Side:
    """Whose messages are settled, from whose wallet, in which currency: a batch's own, as terms may change."""

    account_id: int
    payer_id: int
    currency: str


_Groups = dict[_Side, list[Settlement]]


@transaction.atomic(savepoint=False)
def settle(
    *, key: str, settlements: list[Settlement], stamp: Callable[[dict[UUID, Settled]], None] | None = None
) -> dict[UUID, Settled]:
    """Capture and release parts of holds, one ledger transaction per sending account, payer and direction.

    ``key`` names the chunk and makes it happen once. ``stamp`` is called with the result before a wallet is locked:
    writing it to the messages takes longest, and nobody who pays from these wallets shall wait for that.
    Raises DuplicateMovement when it happened before, and IntegrityError (hold_not_overspent) when more than what is
    held would be settled: both mean that the caller's books are wrong, and nothing is written. A transaction in which
    this is called has to end with that, or to go back to a savepoint of its caller's.
    """
    held = move_holds([row for one in settlements for row in one.holds()])
    groups: _Groups = {}
    for one in settlements:
        account_id, currency = held[one.batch_id, one.payer_id]
        groups.setdefault(_Side(account_id, one.payer_id, currency), []).append(one)
    ids = iter(reserve_ids(2 * len(groups)))
    made = {side: _settled(group, next(ids), next(ids)) for side, group in groups.items()}
    settled = {one.batch_id: made[side] for side, group in groups.items() for one in group}
    if stamp:
        stamp(settled)
    movements = list(_movements(key, groups, made))
    if movements:
        write_movements(movements, key)
    return settled


def _settled(group: list[Settlement], capture_id: int, release_id: int) -> Settled:
    return Settled(
        capture_id if any(one.captured for one in group) else None,
        release_id if any(one.released for one in group) else None,
    )


def _movements(key: str, groups: _Groups, made: dict[_Side, Settled]) -> Iterator[tuple[Movement, Entries]]:
    platform = get_platform().pk
    books = open_books(_books_of(groups, platform))
    for side, group in groups.items():
        for kind, identifier in ((TxKind.CAPTURE, made[side].capture_id), (TxKind.RELEASE, made[side].release_id)):
            if identifier is None:
                continue
            is_capture = kind == TxKind.CAPTURE
            postings = _captured(side, group, books, platform) if is_capture else _released(side, group, books)
            references = {one.reference for one in group}
            movement = Movement(
                kind=kind.value, key=f"{kind.value}:{side.account_id}:{side.payer_id}:{side.currency}:{key}",
                currency=side.currency, about_id=side.account_id, id=identifier,
                # The batch's code while the chunk covers one batch; empty for several.
                reference=references.pop() if len(references) == 1 else "",
                quantity=sum(one.captured_count if is_capture else one.released_count for one in group),
            )  # fmt: skip
            yield movement, added_up(movement.key, postings)


def _books_of(groups: _Groups, platform: int) -> set[tuple[int, str, str]]:
    """Every ledger account that the chunk moves."""
    wanted: set[tuple[int, str, str]] = set()
    for side, group in groups.items():
        currency = side.currency
        wanted |= {(side.payer_id, kind, currency) for kind in books_of_hold(is_payer=True)}
        wanted |= {(platform, Kind.REVENUE.value, currency)}
        wanted |= {(pk, Kind.WALLET.value, currency) for one in group for pk in one.earnings}
        subsidised = {pk for one in group for pk in (*one.subsidies, *one.subsidies_released)}
        wanted |= {(pk, kind, currency) for pk in subsidised for kind in books_of_hold(is_payer=False)}
    return wanted


def _captured(side: _Side, group: list[Settlement], books: Books, platform: int) -> Iterator[Posting]:
    """From what is held, and from the subsidies, to those who earn; the rest is the platform's."""
    revenue = captured = sum((one.captured for one in group), Decimal(0))
    yield Posting(books[side.payer_id, Kind.HELD, side.currency], -captured)
    for one in group:
        for owner, amount in one.subsidies.items():
            revenue += amount
            yield Posting(books[owner, Kind.SUBSIDY, side.currency], -amount)
        for owner, amount in one.earnings.items():
            revenue -= amount
            yield Posting(books[owner, Kind.WALLET, side.currency], amount)
    yield Posting(books[platform, Kind.REVENUE, side.currency], revenue)


def _released(side: _Side, group: list[Settlement], books: Books) -> Iterator[Posting]:
    """From what is held, and from the subsidies, back to the wallets that it came from."""
    back = [(side.payer_id, Kind.HELD, one.released) for one in group]
    back += [(owner, Kind.SUBSIDY, amount) for one in group for owner, amount in one.subsidies_released.items()]
    for owner, kind, amount in back:
        yield Posting(books[owner, kind, side.currency], -amount)
        yield Posting(books[owner, Kind.WALLET, side.currency], amount)
