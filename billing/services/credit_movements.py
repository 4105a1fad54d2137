"""The ledger's movements of SMS credits: bought from the payer's wallet, counted in the client's."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

from accounts.models import Account, User
from billing.models import CREDITS, LedgerTransaction
from billing.services.ledger import (
    Books,
    Kind,
    Posting,
    TxKind,
    lock_accounts,
    open_account,
    platform_account,
    post,
)

PLATFORM = 0  # stands for the platform's id in Books
# (account id, its own price) from the platform's client down to the payer, as Quote.chain.
Chain = list[tuple[int, Decimal]]


def lock_credits(client: Account, chains: Iterable[Chain]) -> Books:
    """Lock whatever moves when credits of these price chains are transferred or taken back, in the order of ids.

    What is read of the wallets afterwards stays true until the transaction ends.
    """
    books: Books = {
        (client.pk, Kind.WALLET, CREDITS): open_account(client, Kind.WALLET, CREDITS).pk,
        (PLATFORM, Kind.ISSUED, CREDITS): platform_account(Kind.ISSUED, CREDITS).pk,
        (PLATFORM, Kind.REVENUE, client.currency): platform_account(Kind.REVENUE, client.currency).pk,
    }
    for owner in Account.objects.filter(pk__in={pk for chain in chains for pk, _ in chain}):
        books[owner.pk, Kind.WALLET, client.currency] = open_account(owner, Kind.WALLET, client.currency).pk
    lock_accounts(books.values())
    return books


def move_credits(
    *, books: Books, kind: str, client: Account, quantity: int, key: str, reference: str, actor: User | None
) -> LedgerTransaction:
    """Give the client ``quantity`` credits (kind credits) or take them from it (kind takeback); no money moves.

    Raises DuplicateMovement, and InsufficientFunds when the client has fewer.
    """
    given = Decimal(quantity if kind == TxKind.CREDITS else -quantity)
    return post(
        kind=kind, key=f"{kind}:{key}", currency=CREDITS, about=client, reference=reference, actor=actor,
        postings=[
            Posting(books[client.pk, Kind.WALLET, CREDITS], given),
            Posting(books[PLATFORM, Kind.ISSUED, CREDITS], -given),
        ],
    )  # fmt: skip


def pay_credits(
    *, books: Books, kind: str, client: Account, chain: Chain, quantity: int, key: str, reference: str,
    actor: User | None,
) -> LedgerTransaction | None:  # fmt: skip
    """Charge the chain's payer for credits (kind credits), or give it back what it paid (kind takeback).

    Every account above it earns, or gives back, its margin (pays it where it is below zero), the platform the rest.
    None when they cost nothing. Raises InsufficientFunds and WalletFrozen for the payer's wallet, SubsidyMissing for
    one above, and DuplicateMovement.
    """
    times = quantity if kind == TxKind.CREDITS else -quantity
    payer, price = chain[-1]
    if not price:
        return None
    currency = client.currency
    postings = [Posting(books[payer, Kind.WALLET, currency], -price * times)]
    postings.append(Posting(books[PLATFORM, Kind.REVENUE, currency], chain[0][1] * times))
    for (owner, own), (_, below) in pairwise(chain):
        postings.append(Posting(books[owner, Kind.WALLET, currency], (below - own) * times))
    return post(
        kind=kind, key=f"{kind}-price:{key}", currency=currency, about=client, reference=reference, actor=actor,
        description=f"{quantity:,} SMS credits", postings=postings, spender=books[payer, Kind.WALLET, currency],
    )  # fmt: skip
