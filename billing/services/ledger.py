"""The ledger's only writer: balanced, idempotent movements (docs/ledger.md; PRODUCT.md, money rule 8).

The database enforces what it means: balances move by entries only, a transaction balances in one currency, a wallet
cannot pass its floor, a key is used once, history stays. Wallets are locked last and in the order of their ids, so
movements cannot deadlock; no call leaves the process while they are locked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from accounts.models import Account, User
from accounts.services.accounts import get_platform
from billing.exceptions import BillingError, DuplicateMovement, InsufficientFunds, SubsidyMissing, WalletFrozen
from billing.models import Hold, LedgerAccount, LedgerTransaction
from billing.prepared import fetch_prepared, one_statement

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


# Header and entries in one statement: the wallets are locked in it, so nothing but the commit comes after the lock.
# Entries go in by the order of ledger accounts, which is the order in which their trigger locks them.
_POST = """
    WITH header AS (
        INSERT INTO billing_ledgertransaction
            (kind, idempotency_key, currency, about_id, reference, description, quantity, actor_id)
        VALUES (%s::text, %s::text, %s::text, %s, %s::text, %s::text, %s, %s) RETURNING id)
    INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
    SELECT header.id, e.a, e.m FROM header, unnest(%s::bigint[], %s::numeric[]) WITH ORDINALITY AS e(a, m, n)
    ORDER BY e.n RETURNING transaction_id
"""


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
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for posting in postings:
        sums[posting.ledger_account_id] += posting.amount
    entries = [(account, amount) for account, amount in sorted(sums.items()) if amount]
    if sum(amount for _, amount in entries) or len(entries) < 2:
        raise ValueError(f"movement {key} does not balance: {entries}")
    header: dict[str, Any] = {
        "kind": str(kind), "idempotency_key": key, "currency": currency, "about_id": about.pk, "reference": reference,
        "description": description, "quantity": quantity, "actor_id": actor.pk if actor else None,
    }  # fmt: skip
    columns: list[Any] = [[account for account, _ in entries], [amount for _, amount in entries]]
    try:
        with one_statement():
            rows = fetch_prepared(_POST, [*header.values(), *columns])
    except IntegrityError as error:
        reason = _explain(error, key, entries, spender)
        if reason is None:
            raise
        raise reason from error
    return LedgerTransaction.from_db(connection.alias, ["id", *header], [rows[0][0], *header.values()])


def _explain(
    error: IntegrityError, key: str, entries: list[tuple[int, Decimal]], spender: int | None = None
) -> BillingError | None:
    """What the database refused, in the room's own words; None where it has none."""
    text = str(error)
    if "idempotency_key" in text:
        return DuplicateMovement(f"The movement {key} has been made already.")
    if "wallet_frozen" in text:
        if spender and not LedgerAccount.objects.filter(pk=spender, is_frozen=True).exists():
            return SubsidyMissing()
        return WalletFrozen("Nothing can be spent while a card payment is disputed.")
    return _insufficient(entries, spender) if "wallet_floor" in text else None


def _insufficient(entries: list[tuple[int, Decimal]], spender: int | None) -> BillingError:
    wallets = LedgerAccount.objects.in_bulk([account for account, _ in entries])
    for account, amount in entries:
        wallet = wallets[account]
        shortfall = -(wallet.balance + wallet.credit_limit + wallet.overdraft_limit + amount)
        if spender in (None, account) and wallet.kind in (Kind.WALLET, Kind.HELD) and amount < 0 and shortfall > 0:
            return InsufficientFunds(f"{shortfall.normalize():f} {wallet.currency} are missing.", shortfall)
    return SubsidyMissing() if spender else InsufficientFunds("The balance does not cover this.")


# --- Holds: money set aside for a batch ----------------------------------------------------------------------------


# As _POST, with the holds' own rows: a hot wallet is locked for no longer than its last step and the commit.
_HOLD = """
    WITH shares AS (
        SELECT owner_id, amount, owner_id <> %(payer)s AS is_subsidy
        FROM unnest(%(owners)s::bigint[], %(amounts)s::numeric[]) AS s(owner_id, amount)),
    books AS MATERIALIZED (
        SELECT a.id, CASE a.kind WHEN 'wallet' THEN -s.amount ELSE s.amount END AS amount
        FROM shares s JOIN billing_ledgeraccount a ON a.owner_id = s.owner_id AND a.currency = %(currency)s::text
            AND a.kind IN ('wallet', CASE WHEN s.is_subsidy THEN 'subsidy' ELSE 'held' END)),
    opened AS (SELECT FROM books HAVING count(*) = 2 * cardinality(%(owners)s::bigint[])),
    made AS (
        INSERT INTO billing_hold
            (batch_id, account_id, payer_id, currency, amount, is_subsidy, captured, released, created_at)
        SELECT %(batch)s, %(about)s, owner_id, %(currency)s::text, amount, is_subsidy, 0, 0, now() FROM shares, opened
        RETURNING id, is_subsidy),
    header AS (
        INSERT INTO billing_ledgertransaction
            (kind, idempotency_key, currency, about_id, reference, description, quantity, actor_id)
        SELECT 'hold', %(key)s::text, %(currency)s::text, %(about)s, %(reference)s::text, '', %(quantity)s::integer,
               %(actor)s::bigint
        FROM opened RETURNING id)
    INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)
    SELECT header.id, books.id, books.amount FROM header, books ORDER BY books.id
    RETURNING (SELECT id FROM made WHERE NOT is_subsidy)
"""


def hold(
    *,
    batch_id: UUID,
    account: Account,
    payer: Account,
    amount: Decimal,
    reference: str,
    quantity: int,
    actor: User | None,
    currency: str = "",
    subsidies: Mapping[int, Decimal] = MappingProxyType({}),
) -> Hold:
    """Set aside the whole price of a batch in its payer's wallet, and every subsidy of it, or write nothing.

    ``currency`` is CREDITS where ``amount`` counts credits, else the branch's money. ``subsidies``: what accounts above
    the payer owe of the batch because they sell below their own price (account id -> amount above zero).
    Raises InsufficientFunds and WalletFrozen for the payer's wallet, SubsidyMissing for one above.
    """
    if payer.currency != account.currency:
        raise ValueError("a branch of the tree has one currency")
    currency = currency or payer.currency
    if not amount:
        return Hold.objects.create(batch_id=batch_id, account=account, payer=payer, currency=currency, amount=amount)
    owners = [payer.pk, *subsidies]
    values: dict[str, Any] = {
        "batch": batch_id, "about": account.pk, "payer": payer.pk, "currency": currency, "reference": reference,
        "owners": owners, "amounts": [amount, *subsidies.values()],
        "quantity": quantity, "actor": actor.pk if actor else None, "key": f"hold:{batch_id}",
    }  # fmt: skip
    made = _hold_at_once(values)
    if made is None:  # the payer's first hold: its ledger accounts are still to be opened
        _open_books({(pk, kind, currency) for pk in owners for kind in _books_of_hold(pk == payer.pk)})
        made = _hold_at_once(values)
    names = ["id", "batch_id", "account_id", "payer_id", "currency", "amount"]
    return Hold.from_db(connection.alias, names, [made, batch_id, account.pk, payer.pk, currency, amount])


def _books_of_hold(is_payer: bool) -> tuple[str, str]:
    return Kind.WALLET.value, Kind.HELD.value if is_payer else Kind.SUBSIDY.value


def _hold_at_once(values: dict[str, Any]) -> int | None:
    """Holds, header and entries in one statement; returns the payer's hold's id.

    None, with nothing written, when a ledger account is missing. Raises as ``hold``.
    """
    try:
        with one_statement():
            rows = fetch_prepared(_HOLD, values)
    except IntegrityError as error:
        wallet = LedgerAccount.objects.get(owner=values["payer"], kind=Kind.WALLET, currency=values["currency"])
        spender = wallet.pk if len(values["owners"]) > 1 else None
        reason = _explain(error, values["key"], [(wallet.pk, -values["amounts"][0])], spender)
        if reason is None:
            raise
        raise reason from error
    return int(rows[0][0]) if rows else None


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


@transaction.atomic
def settle(*, key: str, settlements: list[Settlement]) -> dict[UUID, Settled]:
    """Capture and release parts of holds, one ledger transaction per sending account, payer and direction.

    ``key`` names the chunk and makes it happen once. Raises DuplicateMovement when it happened before, and
    IntegrityError (hold_not_overspent) when more than what is held would be settled: both mean that the caller's
    books are wrong, and nothing is written.
    """
    holds = _move_holds(settlements)
    # An account's terms may have changed between two of its batches, so payer and currency are a batch's own.
    groups: defaultdict[_Side, list[Settlement]] = defaultdict(list)
    for one in settlements:
        found = holds[one.batch_id, one.payer_id]
        groups[_Side(found.account, found.payer, found.currency)].append(one)
    books = _lock_books(groups)
    settled: dict[UUID, Settled] = {}
    for side, group in groups.items():
        ids = Settled(_capture(key, side, group, books), _release(key, side, group, books))
        settled |= {one.batch_id: ids for one in group}
    return settled


@dataclass(frozen=True)
class _Side:
    """Whose messages are settled, from whose wallet, in which currency."""

    account: Account
    payer: Account
    currency: str

    def key(self, chunk: str) -> str:
        return f"{self.account.pk}:{self.payer.pk}:{self.currency}:{chunk}"


def _move_holds(settlements: list[Settlement]) -> dict[tuple[UUID, int], Hold]:
    """Lock the batches' holds in the order of their keys and count the settled sums in."""
    moved = [row for one in settlements for row in one.holds()]
    batch_ids = [one.batch_id for one in settlements]
    holds = Hold.objects.filter(batch_id__in=batch_ids).order_by("pk").select_for_update(of=("self",))
    found = {(hold.batch_id, hold.payer_id): hold for hold in holds.select_related("account", "payer")}
    if not found.keys() >= {row[:2] for row in moved}:
        raise ValueError("each settlement needs holds of its own")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_hold h SET captured = captured + s.c, released = released + s.r"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::numeric[], %s::numeric[]) AS s(b, p, c, r)"
            " WHERE h.batch_id = s.b AND h.payer_id = s.p",
            [list(column) for column in zip(*moved, strict=True)],
        )
    return found


Books = dict[tuple[int, str, str], int]  # (owner's id, kind, currency) -> ledger account's id
PLATFORM = 0  # stands for the platform's id in Books


def _lock_books(groups: Mapping[_Side, list[Settlement]]) -> Books:
    """Lock every ledger account that the chunk moves, once and in the order of ids, before the first entry."""
    platform = get_platform()
    wanted: set[tuple[int, str, str]] = set()
    for side, group in groups.items():
        currency = side.currency
        wanted |= {(side.payer.pk, Kind.WALLET.value, currency), (side.payer.pk, Kind.HELD.value, currency)}
        wanted |= {(platform.pk, Kind.REVENUE.value, currency)}
        wanted |= {(pk, Kind.WALLET.value, currency) for one in group for pk in one.earnings}
        subsidised = {pk for one in group for pk in (*one.subsidies, *one.subsidies_released)}
        wanted |= {(pk, kind, currency) for pk in subsidised for kind in _books_of_hold(is_payer=False)}
    books = _open_books(wanted)
    lock_accounts(books.values())
    return books | {
        (PLATFORM, kind, currency): pk for (owner, kind, currency), pk in books.items() if owner == platform.pk
    }


def _open_books(wanted: set[tuple[int, str, str]]) -> Books:
    """Find these ledger accounts in one query, and open what is missing in one order for everybody."""
    rows = LedgerAccount.objects.filter(owner__in={owner for owner, _, _ in wanted})
    books = {(row.owner_id, row.kind, row.currency): row.pk for row in rows}
    for owner, kind, currency in sorted(wanted - books.keys()):
        found, _ = LedgerAccount.objects.get_or_create(owner_id=owner, kind=kind, currency=currency)
        books[owner, kind, currency] = found.pk
    return {key: books[key] for key in wanted}


def lock_accounts(ledger_account_ids: Iterable[int]) -> None:
    """Lock ledger accounts in the order of their ids, as every movement does, until the transaction ends."""
    rows = LedgerAccount.objects.filter(pk__in=set(ledger_account_ids)).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk"))


def _capture(key: str, side: _Side, group: list[Settlement], books: Books) -> int | None:
    captured = sum((one.captured for one in group), Decimal(0))
    if not captured:
        return None
    earned = [(pk, amount) for one in group for pk, amount in one.earnings.items()]
    subsidies = [(pk, amount) for one in group for pk, amount in one.subsidies.items()]
    revenue = captured + sum((amount for _, amount in subsidies), Decimal(0))
    revenue -= sum((amount for _, amount in earned), Decimal(0))
    return post(
        kind=TxKind.CAPTURE, key=f"capture:{side.key(key)}", currency=side.currency, about=side.account,
        reference=_common_reference(group), quantity=sum(one.captured_count for one in group),
        postings=[
            Posting(books[side.payer.pk, Kind.HELD, side.currency], -captured),
            *(Posting(books[pk, Kind.SUBSIDY, side.currency], -amount) for pk, amount in subsidies),
            *(Posting(books[pk, Kind.WALLET, side.currency], amount) for pk, amount in earned),
            Posting(books[PLATFORM, Kind.REVENUE, side.currency], revenue),
        ],
    ).pk  # fmt: skip


def _release(key: str, side: _Side, group: list[Settlement], books: Books) -> int | None:
    released = sum((one.released for one in group), Decimal(0))
    if not released:
        return None
    back = [(side.payer.pk, Kind.HELD, released)]
    back += [(pk, Kind.SUBSIDY, amount) for one in group for pk, amount in one.subsidies_released.items()]
    return post(
        kind=TxKind.RELEASE, key=f"release:{side.key(key)}", currency=side.currency, about=side.account,
        reference=_common_reference(group), quantity=sum(one.released_count for one in group),
        postings=[
            posting
            for owner, kind, amount in back
            for posting in (
                Posting(books[owner, kind, side.currency], -amount),
                Posting(books[owner, Kind.WALLET, side.currency], amount),
            )
        ],
    ).pk  # fmt: skip


def _common_reference(group: list[Settlement]) -> str:
    """The batch's code while the chunk covers one batch; empty for several."""
    references = {one.reference for one in group}
    return references.pop() if len(references) == 1 else ""


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


def postpaid_topup(*, account: Account, amount: Decimal, month: date) -> LedgerTransaction:
    """Add an invoiced account's monthly amount; once per month (its 1st names it). Raises DuplicateMovement."""
    return post(
        kind=TxKind.POSTPAID, key=f"postpaid:{account.code}:{month:%Y-%m}", currency=account.currency, about=account,
        description=f"{month:%B %Y}",
        postings=[
            Posting(platform_account(Kind.MANUAL, account.currency).pk, -amount),
            Posting(open_account(account, Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip


def grant_trial(
    *, account: Account, giver: Account, amount: Decimal, total: Decimal, actor: User | None
) -> LedgerTransaction:
    """Give trial credit out of ``giver``'s wallet, the platform's out of its revenue; once per ``total`` given so far.

    Raises DuplicateMovement, InsufficientFunds and WalletFrozen.
    """
    source = Kind.REVENUE if giver.is_platform else Kind.WALLET
    return post(
        kind=TxKind.TRIAL, key=f"trial:{account.code}:{total:.6f}", currency=account.currency, about=account,
        actor=actor,
        postings=[
            Posting(open_account(giver, source, account.currency).pk, -amount),
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
