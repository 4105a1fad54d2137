"""What can go wrong with sending; every message may be shown to the person who asked."""

from decimal import Decimal


class SendingError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user, ``field`` what in the form it is about."""

    field = ""


class BadSender(SendingError):
    """The sender is neither a number nor a name that handsets can show."""

    field = "sender"


class BadText(SendingError):
    """The text is empty."""

    field = "text"


class TextTooLong(SendingError):
    """The text needs more parts than one message may have."""

    field = "text"


class TooManyRecipients(SendingError):
    """More recipients than one batch may have through this door."""

    field = "recipients"


class NothingToSend(SendingError):
    """No recipient is left to send to."""

    field = "recipients"


class AccountSuspended(SendingError):
    """The account, or one above it, is not active."""


class TrialExpired(SendingError):
    """The trial ran out and nothing was paid since (PRODUCT.md, money rule 7)."""


class SendingNotAllowed(SendingError):
    """The account's billing terms do not let it send."""


class NotEnoughMoney(SendingError):
    """The payer's balance does not cover the batch.

    ``price``, ``available`` and ``shortfall`` are in the payer's currency, and None for an account that may not see
    money (PRODUCT.md, money rule 3).
    """

    def __init__(
        self,
        message: str,
        *,
        price: Decimal | None = None,
        available: Decimal | None = None,
        shortfall: Decimal | None = None,
    ) -> None:
        super().__init__(message)
        self.price = price
        self.available = available
        self.shortfall = shortfall


class BadSchedule(SendingError):
    """The time of sending has passed, or is too far ahead."""

    field = "send_at"


class BadValidity(SendingError):
    """The messages would end before they are sent, or wait for too long."""

    field = "valid_for"


class PriceChanged(SendingError):
    """The batch costs another amount than the preview showed; nothing was sent."""


class NotCancellable(SendingError):
    """Nothing of the batch waits any more."""


class NotReschedulable(SendingError):
    """The batch has begun, or never waited for a time."""


class NotPreparing(SendingError):
    """The batch was cancelled while its recipients were prepared."""


class ListGone(SendingError):
    """A list was deleted after it had been chosen."""

    field = "lists"


class GaveUp(SendingError):
    """Workers died or failed over the same preparation again and again."""
