"""The ledger's only writer: balanced, idempotent movements (docs/ledger.md; PRODUCT.md, money rule 8).

The database enforces what it means: balances move by entries only, a transaction balances in one currency, a wallet
cannot pass its floor, a key is used once, history stays. Wallets are locked last and in the order of their ids, so
movements cannot deadlock; no call leaves the process while they are locked.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import F

from accounts.models import Account, User
from accounts.services.accounts import get_platform
from billing.exceptions import BillingError, DuplicateMovement, InsufficientFunds
from billing.models import Hold, LedgerAccount, LedgerTransaction

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


@transaction.atomic
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
) -> LedgerTransaction:
    """Write one movement. ``key`` makes it happen once. Amounts of one ledger account are added up; zeros are left out.

    Raises DuplicateMovement (nothing written), InsufficientFunds (a wallet would pass its floor, nothing written),
    and ValueError for a movement that does not balance.
    """
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for posting in postings:
        sums[posting.ledger_account_id] += posting.amount
    entries = [(account, amount) for account, amount in sorted(sums.items()) if amount]
    if sum(amount for _, amount in entries) or len(entries) < 2:
        raise ValueError(f"movement {key} does not balance: {entries}")
    try:
        with transaction.atomic():
            header = LedgerTransaction.objects.create(
                kind=kind, idempotency_key=key, currency=currency, about=about, reference=reference,
                description=description, quantity=quantity, actor=actor,
            )  # fmt: skip
    except IntegrityError as error:
        raise DuplicateMovement(f"The movement {key} has been made already.") from error
    _insert_entries(header, entries)
    return header


def _insert_entries(header: LedgerTransaction, entries: list[tuple[int, Decimal]]) -> None:
    """Insert in the order of ledger accounts: that is the order in which the trigger locks them."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO billing_ledgerentry (transaction_id, ledger_account_id, amount)"
                " SELECT %s, a, m FROM unnest(%s::bigint[], %s::numeric[]) WITH ORDINALITY AS e(a, m, n) ORDER BY n",
                [header.pk, [account for account, _ in entries], [amount for _, amount in entries]],
            )
    except IntegrityError as error:
        if "wallet_floor" not in str(error):
            raise
        raise _insufficient(entries) from error


def _insufficient(entries: list[tuple[int, Decimal]]) -> InsufficientFunds:
    wallets = LedgerAccount.objects.in_bulk([account for account, _ in entries])
    for account, amount in entries:
        wallet = wallets[account]
        shortfall = -(wallet.balance + wallet.credit_limit + amount)
        if wallet.kind in (Kind.WALLET, Kind.HELD) and shortfall > 0:
            return InsufficientFunds(f"{shortfall.normalize():f} {wallet.currency} are missing.", shortfall)
    return InsufficientFunds("The balance does not cover this.")


# --- Holds: money set aside for a batch ----------------------------------------------------------------------------


@transaction.atomic
def hold(
    *, batch_id: UUID, account: Account, payer: Account, amount: Decimal, reference: str, quantity: int, actor: User | None
) -> Hold:
    """Set aside the whole price of a batch from its payer's wallet, or raise InsufficientFunds and write nothing."""
    if payer.currency != account.currency:
        raise ValueError("a branch of the tree has one currency")
    made = Hold.objects.create(
        batch_id=batch_id, account=account, payer=payer, currency=payer.currency, amount=amount
    )
    if amount:
        post(
            kind=TxKind.HOLD, key=f"hold:{batch_id}", currency=payer.currency, about=account, actor=actor,
            reference=reference, quantity=quantity,
            postings=[
                Posting(open_account(payer, Kind.WALLET).pk, -amount),
                Posting(open_account(payer, Kind.HELD).pk, amount),
            ],
        )  # fmt: skip
    return made


@dataclass
class Settlement:
    """What a chunk of one batch's messages settles: sums over the messages, in the payer's currency."""

    batch_id: UUID
    key: str
    reference: str
    captured: Decimal = Decimal(0)
    captured_count: int = 0
    released: Decimal = Decimal(0)
    released_count: int = 0
    # What each account above the payer earns of ``captured``; the rest is the platform's.
    earnings: dict[int, Decimal] | None = None


@dataclass(frozen=True)
class Settled:
    capture_id: int | None
    release_id: int | None


@transaction.atomic
def settle(settlements: list[Settlement]) -> dict[UUID, Settled]:
    """Capture and release parts of holds; returns the ledger transactions per batch (None = no money moved).

    One ledger transaction per chunk, batch and direction, never one per message. Raises DuplicateMovement when a
    key was settled before, and IntegrityError (hold_not_overspent) when more than what is held would be settled:
    both mean that the caller's books are wrong, and nothing is written.
    """
    holds = {
        found.batch_id: found
        for found in Hold.objects.filter(batch_id__in=[s.batch_id for s in settlements])
        .select_related("account", "payer")
        .order_by("pk")
        .select_for_update(of=("self",))
    }
    for one in settlements:
        Hold.objects.filter(pk=holds[one.batch_id].pk).update(
            captured=F("captured") + one.captured, released=F("released") + one.released
        )
    movements = [(one, holds[one.batch_id]) for one in settlements]
    movements.sort(key=lambda pair: (pair[1].payer_id, pair[1].pk))
    return {one.batch_id: Settled(_capture(one, hold), _release(one, hold)) for one, hold in movements}


def _capture(one: Settlement, hold: Hold) -> int | None:
    if not one.captured:
        return None
    earnings = one.earnings or {}
    owners = Account.objects.in_bulk(list(earnings))
    postings = [Posting(open_account(owners[pk], Kind.WALLET).pk, amount) for pk, amount in earnings.items()]
    postings.append(Posting(open_account(hold.payer, Kind.HELD).pk, -one.captured))
    revenue = one.captured - sum(earnings.values(), Decimal(0))
    postings.append(Posting(platform_account(Kind.REVENUE, hold.currency).pk, revenue))
    return post(
        kind=TxKind.CAPTURE, key=f"capture:{one.key}", currency=hold.currency, about=hold.account,
        reference=one.reference, quantity=one.captured_count, postings=postings,
    ).pk  # fmt: skip


def _release(one: Settlement, hold: Hold) -> int | None:
    if not one.released:
        return None
    return post(
        kind=TxKind.RELEASE, key=f"release:{one.key}", currency=hold.currency, about=hold.account,
        reference=one.reference, quantity=one.released_count,
        postings=[
            Posting(open_account(hold.payer, Kind.HELD).pk, -one.released),
            Posting(open_account(hold.payer, Kind.WALLET).pk, one.released),
        ],
    ).pk  # fmt: skip


# --- Money in ------------------------------------------------------------------------------------------------------


def credit_card_payment(*, account: Account, amount: Decimal, topup_code: str, actor: User | None) -> LedgerTransaction:
    """Credit a card payment that the gateway confirmed; once per top-up. Raises DuplicateMovement."""
    return post(
        kind=TxKind.TOPUP, key=f"topup:{topup_code}", currency=account.currency, about=account, actor=actor,
        reference=topup_code,
        postings=[
            Posting(platform_account(Kind.CARD, account.currency).pk, -amount),
            Posting(open_account(account, Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip


def manual_payment(*, account: Account, amount: Decimal, key: str, reason: str, actor: User | None) -> LedgerTransaction:
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
