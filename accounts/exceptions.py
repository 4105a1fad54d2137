"""What can go wrong with accounts; every message may be shown to the person who asked."""


class AccountError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user."""


class CurrencyMismatch(AccountError):
    """A child must have its reseller's currency (PRODUCT.md, money rule 1)."""


class ChildrenNotAllowed(AccountError):
    """The parent has no right to add clients."""


class EmailTaken(AccountError):
    """The e-mail or login name already belongs to a user of the portal."""


class CountryInUse(AccountError):
    """Something that the account has was bought for its country."""


class WrongState(AccountError):
    """The account is not in the state that the action expects."""
