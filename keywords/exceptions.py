"""What can go wrong with keywords; every message may be shown to the person who asked."""


class KeywordError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user."""


class UnfitWord(KeywordError):
    """No phone could send this as the first word of a message, or it is too long."""
