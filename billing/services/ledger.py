"""The ledger's only writer: balanced, idempotent movements (docs/ledger.md; PRODUCT.md, money rule 8).

The database enforces what it means: balances move by entries only, a transaction balances in one currency, a wallet
cannot pass its floor, a key is used once, history stays. Wallets are locked last and in the order of their ids, so
movements cannot deadlock; no call leaves the process while they are locked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db import IntegrityError, connection

from accounts.models import Account, User
from accounts.prepared import fetch_prepared, one_statement
from accounts.services.accounts import get_platform
from billing.exceptions import BillingError
from billing.models import Hold, LedgerAccount, LedgerTransaction
from billing.services.refusals import Entries, explain

Kind = LedgerAccount.Kind
TxKind = LedgerTransaction.Kind


@dataclass(frozen=True)
class Posting:
    """One side of a movement: ``amount`` (positive = in, negative = out) of a ledger account."""

    ledger_account_id: int
    amount: Decimal


def open_account(owner: Account, kind: str, currency: str = "") -> LedgerAccount:
    """Return the owner's ledger account of that kind, made when missing; ``currency`` defaults to the owner's."""
    found, _ = LedgerAccount.objects.get_or_create(owner=owner, kind=kind, currency=currency or owner.currency)
    return found


def platform_account(kind: str, currency: str) -> LedgerAccount:
    """The platform's ledger account of that kind and currency (revenue, card, manual)."""
    return open_account(get_platform(), kind, currency)


# Headers and entries in one statement: the wallets are locked in it, so nothing but the commit comes after the locks.
# Entries go in by the order of ledger accounts, which is the order in which their trigger locks them.
_POST = """
    WITH movement AS MATERIALIZED (
        SELECT n, coalesce(id, nextval('billing_ledgertransaction_id_seq')) AS id, kind, key, currency, about_id,
               reference, description, quantity, actor_id
        FROM unnest(%(id)s::bigint[], %(kind)s::text[], %(key)s::text[], %(currency)s::text[], %(about_id)s::bigint[],
                    %(reference)s::text[], %(description)s::text[], %(quantity)s::integer[], %(actor_id)s::bigint[])
             WITH ORDINALITY
             AS m(id, kind, key, currency, about_id, reference, description, quantity, actor_id, n)),
    header AS (
        INSERT INTO billing_ledgertransaction
            (id, kind, idempotency_key, currency, about_id, reference, description, quantity, actor_id)
        SELECT id, kind, key, currency, about_id, reference, description, quantity, actor_id FROM movement RETURNING id)
    INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
    SELECT header.id, e.account, e.amount
    FROM unnest(%(movements)s::bigint[], %(accounts)s::bigint[], %(amounts)s::numeric[]) AS e(n, account, amount)
    JOIN movement USING (n) JOIN header ON header.id = movement.id
    ORDER BY e.account, header.id RETURNING transaction_id
"""
_RESERVE = "SELECT nextval('billing_ledgertransaction_id_seq') FROM generate_series(1, %(count)s::integer)"


@dataclass(frozen=True)
class Movement:
    """A ledger transaction to be written; without an ``id`` (``reserve_ids``) the database gives one."""

    kind: str
    key: str
    currency: str
    about_id: int
    reference: str = ""
    description: str = ""
    quantity: int | None = None
    actor_id: int | None = None
    id: int | None = None

    HEADER: ClassVar = (
        "id", "kind", "key", "currency", "about_id", "reference", "description", "quantity", "actor_id",
    )  # fmt: skip


def post(
    *,
    kind: str,
    key: str,
    currency: str,
    postings: Iterable[Posting],
    about: Account,
    reference: str = "",
    description: str = "",
    quantity: int | None = None,
    actor: User | None = None,
    spender: int | None = None,
) -> LedgerTransaction:
    """Write one movement. ``key`` makes it happen once. Amounts of one ledger account are added up; zeros are left out.

    ``spender``: the one ledger account whose state the actor may know of. Raises, with nothing written,
    DuplicateMovement, InsufficientFunds (a wallet would pass its floor), WalletFrozen, SubsidyMissing (either of the
    two, in another wallet than the spender's), and ValueError for a movement that does not balance.
    """
    actor_id = actor.pk if actor else None
    movement = Movement(str(kind), key, currency, about.pk, reference, description, quantity, actor_id)
    written = write_movements([(movement, added_up(key, postings))], key, spender)
    header = {
        "id": written, "kind": movement.kind, "idempotency_key": key, "currency": currency, "about_id": about.pk,
        "reference": reference, "description": description, "quantity": quantity, "actor_id": actor_id,
    }  # fmt: skip
    return LedgerTransaction.from_db(connection.alias, list(header), list(header.values()))


def added_up(key: str, postings: Iterable[Posting]) -> Entries:
    """One entry for each ledger account. Raises ValueError for a movement that does not balance."""
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for posting in postings:
        sums[posting.ledger_account_id] += posting.amount
    entries = [(account, amount) for account, amount in sorted(sums.items()) if amount]
    if sum(amount for _, amount in entries) or len(entries) < 2:
        raise ValueError(f"movement {key} does not balance: {entries}")
    return entries


def write_movements(movements: list[tuple[Movement, Entries]], key: str, spender: int | None = None) -> int:
    """Write movements, all or none; returns the id of one. ``key`` names them in errors. Raises as ``post``."""
    columns = {name: [getattr(movement, name) for movement, _ in movements] for name in Movement.HEADER}
    lines = [(n, *entry) for n, (_, entries) in enumerate(movements, 1) for entry in entries]
    numbers, accounts, amounts = (list(column) for column in zip(*lines, strict=True))
    try:
        with one_statement():
            rows = fetch_prepared(_POST, columns | {"movements": numbers, "accounts": accounts, "amounts": amounts})
    except IntegrityError as error:
        reason = explain(error, key, list(zip(accounts, amounts, strict=True)), spender)
        if reason is None:
            raise
        raise reason from error
    return int(rows[0][0])


def reserve_ids(count: int) -> list[int]:
    """Ids for movements that are written later in this transaction."""
    return [row[0] for row in fetch_prepared(_RESERVE, {"count": count})]


# --- Holds: money set aside for a batch ----------------------------------------------------------------------------


# Functions of billing/migrations/0019: what they check and write comes before the wallets are locked. They write
# nothing and return NULL where one of the ledger accounts is missing.
_HOLD_ONE = """
    SELECT billing_hold_one(
        %(batch)s::uuid, %(account)s::bigint, %(payer)s::bigint, %(currency)s::text, %(amount)s::numeric,
        %(reference)s::text, %(quantity)s::integer, %(actor)s::bigint)
"""
_HOLD = """
    SELECT billing_hold_many(
        %(key)s::text[], %(account_id)s::bigint[], %(currency)s::text[], %(reference)s::text[], %(quantity)s::integer[],
        %(actor_id)s::bigint[], %(places)s::integer[], %(batches)s::uuid[], %(owners)s::bigint[],
        %(amounts)s::numeric[], %(subsidies)s::boolean[])
"""


@dataclass(frozen=True)
class HoldOrder:
    """What a batch shall set aside: ``amount`` of the payer's, and every subsidy of it.

    ``currency`` is CREDITS where ``amount`` counts credits, else the branch's money. ``subsidies``: what accounts above
    the payer owe of the batch because they sell below their own price (account id -> amount above zero).
    """

    batch_id: UUID
    account: Account
    payer: Account
    amount: Decimal
    reference: str
    quantity: int
    actor: User | None
    currency: str = ""
    subsidies: Mapping[int, Decimal] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return self.currency or self.payer.currency

    def shares(self) -> list[tuple[int, Decimal]]:
        """(wallet's owner, amount) of each hold, the payer's first."""
        return [(self.payer.id, self.amount), *self.subsidies.items()]


def hold(one: HoldOrder) -> Hold:
    """Set aside the whole price of a batch, or write nothing. Raises as hold_all."""
    made = hold_all([one])
    names = ["id", "batch_id", "account_id", "payer_id", "currency", "amount"]
    return Hold.from_db(
        connection.alias, names, [made, one.batch_id, one.account.pk, one.payer.pk, one.unit, one.amount]
    )


def hold_all(orders: Sequence[HoldOrder], *, explains: bool = True) -> int:
    """Set aside what all these batches cost, or write nothing; returns the id of one of the payers' holds.

    Each batch has holds of its own; the batches of one sender, payer and person are one movement. Raises
    InsufficientFunds and WalletFrozen for a payer's wallet, and SubsidyMissing for one above it: of several orders this
    does not tell whose. Who will end its transaction anyway need not have that found out (``explains``): then it is an
    IntegrityError, and the hold needs no savepoint.
    """
    if any(one.payer.currency != one.account.currency for one in orders):
        raise ValueError("a branch of the tree has one currency")
    free = [one for one in orders if not one.amount]
    paid = [one for one in orders if one.amount]
    made = 0
    for one in free:
        made = Hold.objects.create(
            batch_id=one.batch_id, account=one.account, payer=one.payer, currency=one.unit, amount=one.amount
        ).pk
    if paid:
        found = _hold_at_once(paid, explains=explains)
        if found is None:  # a payer's first hold: its ledger accounts are still to be opened
            owners = [(owner, one.unit, owner == one.payer.pk) for one in paid for owner, _ in one.shares()]
            open_books({(pk, kind, unit) for pk, unit, is_payer in owners for kind in books_of_hold(is_payer)})
            found = _hold_at_once(paid, explains=explains)
        made = found or made
    return made


def books_of_hold(is_payer: bool) -> tuple[str, str]:
    """Which kinds of ledger accounts a hold moves: the payer's, or those of one who adds a subsidy."""
    return Kind.WALLET.value, Kind.HELD.value if is_payer else Kind.SUBSIDY.value


def _hold_at_once(orders: Sequence[HoldOrder], *, explains: bool) -> int | None:
    """Holds, headers and entries in one statement; returns the id of one of the payers' holds.

    None, with nothing written, when a ledger account is missing. Raises as hold_all.
    """
    query, values = _statement_of(orders)
    try:
        with one_statement() if explains else nullcontext():
            rows = fetch_prepared(query, values)
    except IntegrityError as error:
        if not explains:
            raise
        reason = _explain_hold(error, orders[0])
        if reason is None:
            raise
        raise reason from error
    return rows[0][0]


def _statement_of(orders: Sequence[HoldOrder]) -> tuple[str, dict[str, Any]]:
    """The statement that makes these holds, and its values."""
    first = orders[0]
    if len(orders) == 1 and not first.subsidies:
        return _HOLD_ONE, {
            "batch": first.batch_id, "account": first.account.pk, "payer": first.payer.pk, "currency": first.unit,
            "amount": first.amount, "reference": first.reference, "quantity": first.quantity,
            "actor": first.actor.pk if first.actor else None,
        }  # fmt: skip
    sides: defaultdict[tuple[int, int, str, int | None], list[HoldOrder]] = defaultdict(list)
    for one in orders:
        sides[one.account.id, one.payer.id, one.unit, one.actor.id if one.actor else None].append(one)
    shares = [
        (place, one.batch_id, owner, amount, owner != one.payer.id)
        for place, mine in enumerate(sides.values(), 1)
        for one in mine
        for owner, amount in one.shares()
    ]
    places, batches, owners, amounts, subsidies = (list(column) for column in zip(*shares, strict=True))
    return _HOLD, {
        "key": [key_of_hold([one.batch_id for one in mine]) for mine in sides.values()],
        "account_id": [account for account, *_ in sides], "currency": [unit for _, _, unit, _ in sides],
        "actor_id": [actor for *_, actor in sides],
        # The batch's code while the movement covers one batch; empty for several, as in settlements.
        "reference": [mine[0].reference if len(mine) == 1 else "" for mine in sides.values()],
        "quantity": [sum(one.quantity for one in mine) for mine in sides.values()],
        "places": places, "batches": batches, "owners": owners, "amounts": amounts, "subsidies": subsidies,
    }  # fmt: skip


def key_of_hold(batches: Sequence[UUID]) -> str:
    """The idempotency key of the movement that holds for these batches: the first one's id, and the last one's."""
    return ":".join(["hold", *map(str, sorted({min(batches), max(batches)}))])


def batches_of_hold(movement: LedgerTransaction) -> list[UUID]:
    """What the movement set money aside for."""
    first, *last = (UUID(part) for part in movement.idempotency_key.split(":")[1:])
    if not last:
        return [first]
    # Between these two lie others' batches of the same moment only.
    holds = Hold.objects.filter(batch_id__range=(first, *last), movement=movement)
    return [*holds.order_by("batch_id").values_list("batch_id", flat=True).distinct()]


def _explain_hold(error: IntegrityError, order: HoldOrder) -> BillingError | None:
    wallet = LedgerAccount.objects.get(owner=order.payer, kind=Kind.WALLET, currency=order.unit)
    spender = wallet.pk if order.subsidies else None
    return explain(error, key_of_hold([order.batch_id]), [(wallet.pk, -order.amount)], spender)


_LOCK_HOLDS = """
    SELECT batch_id, payer_id, account_id, currency FROM billing_hold
    WHERE batch_id = ANY(%(batches)s::uuid[]) ORDER BY id FOR UPDATE
"""
_MOVE_HOLDS = """
    UPDATE billing_hold h SET captured = captured + s.c, released = released + s.r
    FROM unnest(%(batches)s::uuid[], %(payers)s::bigint[], %(captured)s::numeric[], %(released)s::numeric[])
         AS s(b, p, c, r)
    WHERE h.batch_id = s.b AND h.payer_id = s.p RETURNING h.id
"""


def move_holds(
    moved: Sequence[tuple[UUID, int, Decimal, Decimal]],
) -> dict[tuple[UUID, int], tuple[int, str]]:
    """Count (batch, wallet's owner, captured, released) into the holds, locked in the order of their ids.

    Returns (batch, owner) -> (who sends, currency). Raises ValueError where there is no such hold, and IntegrityError
    (hold_not_overspent) for more than is held.
    """
    batches, payers, captured, released = (list(column) for column in zip(*moved, strict=True))
    rows = fetch_prepared(_LOCK_HOLDS, {"batches": batches})
    found = {(batch, payer): (account, currency) for batch, payer, account, currency in rows}
    if not found.keys() >= {row[:2] for row in moved}:
        raise ValueError("each settlement needs holds of its own")
    fetch_prepared(_MOVE_HOLDS, {"batches": batches, "payers": payers, "captured": captured, "released": released})
    return found


Books = dict[tuple[int, str, str], int]  # (owner's id, kind, currency) -> ledger account's id
_BOOKS = "SELECT owner_id, kind, currency, id FROM billing_ledgeraccount WHERE owner_id = ANY(%(owners)s::bigint[])"


def open_books(wanted: set[tuple[int, str, str]]) -> Books:
    """Find these ledger accounts in one query, and open what is missing in one order for everybody."""
    found = fetch_prepared(_BOOKS, {"owners": list({owner for owner, _, _ in wanted})})
    books = {(owner, kind, currency): pk for owner, kind, currency, pk in found}
    for owner, kind, currency in sorted(wanted - books.keys()):
        row, _ = LedgerAccount.objects.get_or_create(owner_id=owner, kind=kind, currency=currency)
        books[owner, kind, currency] = row.pk
    return {key: books[key] for key in wanted}


def lock_accounts(ledger_account_ids: Iterable[int]) -> None:
    """Lock ledger accounts in the order of their ids, as every movement does, until the transaction ends."""
    rows = LedgerAccount.objects.filter(pk__in=set(ledger_account_ids)).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk"))


# --- What else moves or stops a wallet ------------------------------------------------------------------------------


def set_frozen(account: Account, is_frozen: Callable[[], bool]) -> bool:
    """Freeze or free the account's wallet as ``is_frozen`` says once the wallet is locked; returns what it is now.

    Call it after the transaction's movements, so that the wallet is locked in their order.
    """
    wallet = LedgerAccount.objects.select_for_update(no_key=True).get(pk=open_account(account, Kind.WALLET).pk)
    wallet.is_frozen = is_frozen()
    wallet.save(update_fields=["is_frozen"])
    return wallet.is_frozen


def manual_payment(
    *, account: Account, amount: Decimal, key: str, reason: str, actor: User | None
) -> LedgerTransaction:
    """Book a payment received outside the portal (or, negative, a correction) with its reason. Raises as ``post``."""
    if not reason:
        raise BillingError("A manual payment or correction needs a reason.")
    return post(
        kind=TxKind.MANUAL, key=f"manual:{key}", currency=account.currency, about=account, actor=actor,
        description=reason,
        postings=[
            Posting(platform_account(Kind.MANUAL, account.currency).pk, -amount),
            Posting(open_account(account, Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip


def set_credit_limits(*, account: Account, credit: Decimal, overdraft: Decimal) -> bool:
    """How far below zero the account's wallet may go, for good and for a time; False when that is so already.

    Lowering what is used up leaves a debt: nothing can be spent until it is covered (docs/ledger.md).
    """
    wallet = open_account(account, Kind.WALLET)
    others = LedgerAccount.objects.filter(pk=wallet.pk).exclude(credit_limit=credit, overdraft_limit=overdraft)
    return others.update(credit_limit=credit, overdraft_limit=overdraft) == 1
