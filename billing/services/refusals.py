"""Why the database refused a movement, in the room's own words."""

from decimal import Decimal

from django.db import IntegrityError

from billing.exceptions import BillingError, DuplicateMovement, InsufficientFunds, SubsidyMissing, WalletFrozen
from billing.models import LedgerAccount

Kind = LedgerAccount.Kind

Entries = list[tuple[int, Decimal]]  # (ledger account's id, amount), by the order of ids


def explain(error: IntegrityError, key: str, entries: Entries, spender: int | None = None) -> BillingError | None:
    """What the database refused, in the room's own words; None where it has none."""
    text = str(error)
    if "idempotency_key" in text:
        return DuplicateMovement(f"The movement {key} has been made already.")
    if "wallet_frozen" in text:
        if spender and not LedgerAccount.objects.filter(pk=spender, is_frozen=True).exists():
            return SubsidyMissing()
        return WalletFrozen("Nothing can be spent while a card payment is disputed.")
    return _insufficient(entries, spender) if "wallet_floor" in text else None


def _insufficient(entries: Entries, spender: int | None) -> BillingError:
    wallets = LedgerAccount.objects.in_bulk([account for account, _ in entries])
    for account, amount in entries:
        wallet = wallets[account]
        shortfall = -(wallet.balance + wallet.credit_limit + wallet.overdraft_limit + amount)
        if spender in (None, account) and wallet.kind in (Kind.WALLET, Kind.HELD) and amount < 0 and shortfall > 0:
            return InsufficientFunds(f"{shortfall.normalize():f} {wallet.currency} are missing.", shortfall)
    return SubsidyMissing() if spender else InsufficientFunds("The balance does not cover this.")
