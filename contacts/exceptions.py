"""What can go wrong with contacts; every message may be shown to the person who asked."""


class ContactsError(Exception):
    """Base of the room's errors; ``str(error)`` is a sentence for the user, ``field`` what in the form it is about."""

    field = ""


class BadNumber(ContactsError):
    """Not a number in E.164 form: a short code or a sender's name cannot be a contact, nor opt out."""

    field = "number"


class NameTaken(ContactsError):
    """The account has another list of this name."""

    field = "name"
