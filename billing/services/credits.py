"""SMS credits: a parent buys them for a client and may take back what is not used (PRODUCT.md, money rule 3).

Credits are a currency of the ledger, so sending, holds and settling count them as they count money. A lot remembers
what one credit of a transfer cost each account up to the platform; taking back undoes that, lot by lot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from django.db import models, transaction

from accounts.codes import new_code
from accounts.countries import example_mobile
from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import BillingError, CreditPriceChanged, DuplicateMovement, InsufficientFunds, NotAllowed
from billing.models import CREDITS, BillingTerms, CreditLot, LedgerAccount, LedgerEntry, LedgerTransaction
from billing.selectors import credits_of, shows_money
from billing.services import credit_movements as movements
from billing.services.ledger import Books
from billing.services.pricing import PriceList, UnitPrice
from billing.services.trials import lock_terms
from billing.wording import credits_text, money_text

MOST_CREDITS = 10_000_000  # in one transfer
TxKind = LedgerTransaction.Kind


# --- Prices and lots -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CreditOffer:
    """What one credit costs now: the parent's payer's own price of a part to an ordinary mobile of the country."""

    payer: Account
    unit: UnitPrice
    currency: str

    @property
    def price(self) -> Decimal:
        """For one credit."""
        return self.unit.price

    def total(self, quantity: int) -> Decimal:
        """For ``quantity`` credits, exactly."""
        return self.unit.price * quantity


def offer_for(client: Account) -> CreditOffer:
    """What the client's parent pays for one credit now. Raises NotAllowed and NoPrice."""
    parent = client.parent
    if parent is None or parent.parent is None:
        raise NotAllowed("The platform transfers no SMS credits; only an account with clients can.")
    number = example_mobile(client.country)
    if not number:
        raise NotAllowed(f"{client.name} has no country with mobile numbers; choose its country with EDIT first.")
    prices = PriceList(parent)
    if prices.uses_credits:
        raise NotAllowed("You send with SMS credits yourself, so you have no price to transfer credits at.")
    return CreditOffer(prices.payer, prices.money_price_of(number), client.currency)


@dataclass(frozen=True)
class LotState:
    """A lot with how many of its credits are neither used, set aside for messages, nor taken back."""

    lot: CreditLot
    remaining: int

    @property
    def value(self) -> Decimal:
        """What taking all that remains back would return."""
        return self.lot.unit_price * self.remaining


def lots_of(client: Account) -> list[LotState]:
    """The client's lots, oldest first. What it used or has set aside was taken from the oldest ones."""
    lots = list(CreditLot.objects.filter(account=client).select_related("payer", "transaction").order_by("pk"))
    used = sum(lot.quantity - lot.taken_back for lot in lots) - int(credits_of(client).available)
    found = []
    for lot in lots:
        kept = lot.quantity - lot.taken_back
        eaten = min(kept, used)
        used -= eaten
        found.append(LotState(lot, kept - eaten))
    return found


@dataclass(frozen=True)
class Piece:
    """Credits to be taken back from one lot."""

    lot: CreditLot
    quantity: int

    @property
    def refund(self) -> Decimal:
        return self.lot.unit_price * self.quantity

    @property
    def chain(self) -> movements.Chain:
        return [(int(owner), Decimal(price)) for owner, price in self.lot.chain]


@dataclass(frozen=True)
class TakeBack:
    """What taking credits back brings: the pieces, oldest lot first."""

    pieces: list[Piece]
    currency: str

    @cached_property
    def quantity(self) -> int:
        return sum(piece.quantity for piece in self.pieces)

    @cached_property
    def refund(self) -> Decimal:
        """What goes back to those who paid."""
        return sum((piece.refund for piece in self.pieces), Decimal(0))


def plan_take_back(client: Account, quantity: int | None = None) -> TakeBack:
    """Which lots ``quantity`` credits (None: all unused) would come from. Raises InsufficientFunds and BillingError."""
    states = lots_of(client)
    unused = sum(state.remaining for state in states)
    wanted = unused if quantity is None else quantity
    if quantity is not None and quantity < 1:
        raise BillingError("Enter how many credits to take back: 1 or more.")
    if wanted > unused:
        raise InsufficientFunds(
            f"{client.name} has {credits_text(unused)} unused; {wanted:,} cannot be taken back. "
            "What is set aside for messages on their way stays until they are sent or given up.",
            Decimal(wanted - unused),
        )
    pieces = []
    for state in states:
        taken = min(state.remaining, wanted)
        wanted -= taken
        if taken:
            pieces.append(Piece(state.lot, taken))
    return TakeBack(pieces, client.currency)


# --- Transfers -----------------------------------------------------------------------------------------------------


def transfer_credits(
    *, client: Account, quantity: int, actor: User | None, expected_price: Decimal | None, idempotency_key: str
) -> CreditLot:
    """Buy ``quantity`` credits for the client from its parent's payer, whole or not at all.

    ``expected_price`` is the total that the person saw; another one is refused. The same key returns its first lot.
    Raises NotAllowed, NoPrice, CreditPriceChanged, InsufficientFunds (with the shortfall) and WalletFrozen.
    """
    key = f"{client.pk}:{idempotency_key}"
    earlier = _lot_of(key)
    if earlier is not None:
        return earlier
    try:
        return _transfer(client, quantity, actor, expected_price, key)
    except DuplicateMovement:
        found = _lot_of(key)
        if found is None:
            raise
        return found


def _lot_of(key: str) -> CreditLot | None:
    return CreditLot.objects.filter(transaction__idempotency_key=f"{TxKind.CREDITS}:{key}").first()


@transaction.atomic
def _transfer(
    client: Account, quantity: int, actor: User | None, expected_price: Decimal | None, key: str
) -> CreditLot:
    if not 1 <= quantity <= MOST_CREDITS:
        raise BillingError(f"{quantity:,} credits cannot be transferred; enter a number from 1 to {MOST_CREDITS:,}.")
    terms = BillingTerms.objects.select_for_update().get(account=client)
    # Its country, which they are bought for, stays from here on (billing/migrations/0022).
    client = Account.objects.select_for_update(of=("self",), no_key=True).select_related("parent").get(pk=client.pk)
    if terms.method != BillingTerms.Method.SMS_CREDITS:
        raise NotAllowed(f"{client.name} does not send with SMS credits; change its payment method with EDIT first.")
    offer = offer_for(client)
    _check_price(offer, quantity, expected_price)
    chain = list(offer.unit.chain)
    reference = new_code(12)  # this transfer's, also when it is taken back
    books = movements.lock_credits(client, [chain])
    moved = movements.move_credits(
        books=books, kind=TxKind.CREDITS, client=client, quantity=quantity, key=key, reference=reference, actor=actor
    )
    try:
        movements.pay_credits(
            books=books, kind=TxKind.CREDITS, client=client, chain=chain, quantity=quantity, key=key,
            reference=reference, actor=actor,
        )  # fmt: skip
    except InsufficientFunds as error:
        raise _not_enough(client, offer, quantity, error.shortfall) from error
    lot = CreditLot.objects.create(
        account=client, payer=offer.payer, quantity=quantity, currency=offer.currency, unit_price=offer.price,
        chain=[[owner, f"{price:.6f}"] for owner, price in chain], transaction=moved,
    )  # fmt: skip
    audit.record(
        account=client, actor=actor, action="credits.transferred", subject=reference, quantity=quantity,
        unit_price=f"{offer.price:.6f}",
    )  # fmt: skip
    return lot


def _check_price(offer: CreditOffer, quantity: int, expected: Decimal | None) -> None:
    now = offer.total(quantity)
    if expected is not None and expected != now:
        was, new = money_text(expected, offer.currency), money_text(now, offer.currency)
        raise CreditPriceChanged(f"The price has changed from {was} to {new} since you saw it. Check it again.")


def _not_enough(client: Account, offer: CreditOffer, quantity: int, shortfall: Decimal) -> InsufficientFunds:
    if client.parent is None or not shows_money(client.parent):
        return InsufficientFunds("Your provider's balance does not cover this transfer. Nothing was transferred.")
    price = offer.total(quantity)
    costs, has, lacks = (money_text(one, offer.currency) for one in (price, price - shortfall, shortfall))
    return InsufficientFunds(
        f"{credits_text(quantity)} cost {costs} and {has} are available: {lacks} are missing. Nothing was transferred.",
        shortfall,
    )


# --- Taking back ---------------------------------------------------------------------------------------------------


def take_back_credits(
    *, client: Account, quantity: int | None, actor: User | None, expected_refund: Decimal | None, idempotency_key: str
) -> TakeBack | None:
    """Take unused credits (None: all of them) back, oldest remaining lot first, each at what it was bought for.

    Who paid gets it back, and every account above gives back its margin. None when nothing was unused, or when the key
    was used before: it happened once. Raises InsufficientFunds, CreditPriceChanged and BillingError.
    """
    key = f"{client.pk}:{idempotency_key}"
    try:
        return _take_back(client, quantity, actor, expected_refund, key)
    except DuplicateMovement:
        return None


@transaction.atomic
def _take_back(
    client: Account, quantity: int | None, actor: User | None, expected_refund: Decimal | None, key: str
) -> TakeBack | None:
    if LedgerTransaction.objects.filter(idempotency_key=f"{TxKind.TAKEBACK}:{key}").exists():
        return None
    # First of all, as a transfer does: one that comes between reading the lots and locking would be missed.
    lock_terms(client.pk)
    books = movements.lock_credits(client, _chains_of(client))
    plan = plan_take_back(client, quantity)
    if expected_refund is not None and expected_refund != plan.refund:
        was, now = (money_text(amount, plan.currency) for amount in (expected_refund, plan.refund))
        raise CreditPriceChanged(f"{now} would come back now, not {was}: credits were used meanwhile. Check it again.")
    if not plan.pieces:
        return None
    movements.move_credits(
        books=books, kind=TxKind.TAKEBACK, client=client, quantity=plan.quantity, key=key,
        reference=plan.pieces[0].lot.transaction.reference, actor=actor,
    )  # fmt: skip
    for piece in plan.pieces:
        _return_piece(books, client, piece, key, actor)
    audit.record(
        account=client, actor=actor, action="credits.taken_back", subject=client.code, quantity=plan.quantity,
        refund=f"{plan.refund:.6f}",
    )  # fmt: skip
    return plan


def _chains_of(client: Account) -> Iterable[movements.Chain]:
    lots = CreditLot.objects.filter(account=client, taken_back__lt=models.F("quantity"))
    return [Piece(lot, 0).chain for lot in lots]


def _return_piece(books: Books, client: Account, piece: Piece, key: str, actor: User | None) -> None:
    CreditLot.objects.filter(pk=piece.lot.pk).update(taken_back=models.F("taken_back") + piece.quantity)
    movements.pay_credits(
        books=books, kind=TxKind.TAKEBACK, client=client, chain=piece.chain, quantity=piece.quantity,
        key=f"{key}:{piece.lot.pk}", reference=piece.lot.transaction.reference, actor=actor,
    )  # fmt: skip


def collect_stranded_credits() -> int:
    """Take back what came back to accounts that no longer send with credits; returns from how many accounts.

    Credits held for messages that were on their way when the method was changed return here when one is not sent.
    """
    stranded = LedgerAccount.objects.filter(kind=LedgerAccount.Kind.WALLET, currency=CREDITS, balance__gt=0).exclude(
        owner__billing_terms__method=BillingTerms.Method.SMS_CREDITS
    )
    return sum(_collect(owner_id) for owner_id in stranded.values_list("owner_id", flat=True))


@transaction.atomic
def _collect(owner_id: int) -> bool:
    terms = BillingTerms.objects.select_for_update(of=("self",)).select_related("account").get(account=owner_id)
    if terms.method == BillingTerms.Method.SMS_CREDITS:
        return False
    return take_back_unused(client=terms.account, actor=None) is not None


def take_back_unused(*, client: Account, actor: User | None, expected_refund: Decimal | None = None) -> TakeBack | None:
    """Take all unused credits back; None without any. Raises CreditPriceChanged."""
    last = LedgerEntry.objects.filter(
        ledger_account__owner=client, ledger_account__kind=LedgerAccount.Kind.WALLET, ledger_account__currency=CREDITS
    ).order_by("-pk")  # fmt: skip
    key = f"unused:{last.values_list('pk', flat=True).first() or 0}"
    return take_back_credits(
        client=client, quantity=None, actor=actor, expected_refund=expected_refund, idempotency_key=key
    )
