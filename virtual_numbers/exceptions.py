"""What can go wrong with numbers; every message may be shown to the person who asked."""


class NumberError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user."""


class NumberBusy(NumberError):
    """The number's state does not allow this; nothing was changed."""


class ImportRefused(NumberError):
    """An uploaded list cannot be taken into the inventory as it was shown."""


class NumberTaken(NumberError):
    """The number is not, or no longer, on offer to this account."""


class LeaseOver(NumberError):
    """The number was released before."""


class NotAllocatable(NumberError):
    """The number cannot be given to, or taken back from, that client."""


class LeasingNotOffered(NumberError):
    """The account has the numbers that its parent gives it, and leases none itself (seed 1, step 5)."""
