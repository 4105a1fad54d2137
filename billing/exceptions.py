"""What can go wrong with money; every message may be shown to the person who asked."""

from decimal import Decimal


class BillingError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user."""


class InsufficientFunds(BillingError):
    """A wallet would pass its floor. ``shortfall`` is what is missing, in the wallet's currency."""

    def __init__(self, message: str, shortfall: Decimal = Decimal(0)) -> None:
        super().__init__(message)
        self.shortfall = shortfall


class SubsidyMissing(BillingError):
    """An account above the payer sells below its own price and cannot cover the difference: it is not named."""

    def __init__(self) -> None:
        super().__init__("This cannot be done at the moment. Ask whoever manages your account.")


class WalletFrozen(BillingError):
    """A card payment is disputed: nothing can be spent until the bank has decided."""


class DuplicateMovement(BillingError):
    """A movement with this idempotency key is in the ledger already; nothing was written."""


class NoPrice(BillingError):
    """No rate matches the destination: refused, never free (PRODUCT.md)."""


class NotLocal(BillingError):
    """SMS credits send to numbers of the account's own country only (seed 1, step 4)."""


class NotAllowed(BillingError):
    """The account's billing terms do not offer this."""


class TopUpRefused(BillingError):
    """The amount is not one that the account may add now."""


class TrialRefused(BillingError):
    """A trial, or its credit, cannot be set this way."""


class LiveForGood(TrialRefused):
    """The account has paid, so it goes on no trial any more."""


class MoneyStranded(BillingError):
    """The change would leave money where its owner can neither see nor spend it."""


class CreditPriceChanged(BillingError):
    """What credits cost, or bring back, is no longer what the person saw."""


class TermsChanged(BillingError):
    """Who pays for the account has changed since the prices were read."""


class ServiceRefused(BillingError):
    """The account cannot have a number or keyword now; the sentence says why."""


class PriceChanged(BillingError):
    """What the service costs is no longer what the person saw."""


class SubscriptionOver(BillingError):
    """The number or keyword was given up, or taken away, before."""
