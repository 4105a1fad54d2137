"""What can go wrong with keywords; every message may be shown to the person who asked."""


class KeywordError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user.

    ``field`` is the field of the keyword's form that the sentence is about, "" for the whole form.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnfitWord(KeywordError):
    """No phone could send this as the first word of a message, or it is too long."""


class WordRefused(KeywordError):
    """The word is reserved, or another keyword of the number has it."""


class KeywordRefused(KeywordError):
    """The account may not have this keyword: not switched on, its limit is reached, or the number is not its own."""


class KeywordOver(KeywordError):
    """The keyword has ended; nothing about it can be changed."""
