"""Merge fields: {first_name} in a text becomes the contact's own first name."""

import re

from contacts.models import Contact

STANDARD = ("first_name", "last_name", "number")
# {name} or {name|what stands there when the contact has none}; any other brace is text.
_FIELD = re.compile(r"\{([a-z][a-z0-9_]{0,39})(?:\|([^{}|]*))?\}")


def names_in(text: str) -> list[str]:
    """The merge fields that ``text`` uses, each once, in order."""
    return list(dict.fromkeys(match[1] for match in _FIELD.finditer(text)))


def has_fields(text: str) -> bool:
    """Whether the text may differ from contact to contact."""
    return _FIELD.search(text) is not None


def without_fields(text: str) -> str:
    """The text with nothing in place of its merge fields: what it has at least."""
    return _FIELD.sub("", text)


def render(text: str, contact: Contact | None) -> str:
    """``text`` with the contact's values in place of its merge fields.

    {name|there} gives "there" where the contact has no such value; {name} gives nothing then. Without a contact (a
    number that the account does not know) every field is empty. A value is never read for fields again.
    """
    values = values_of(contact) if contact is not None else {}
    return _FIELD.sub(lambda match: values.get(match[1]) or match[2] or "", text)


def values_of(contact: Contact) -> dict[str, str]:
    """All merge fields of a contact by name."""
    others = {name: str(value) for name, value in contact.fields.items()}
    return others | {name: getattr(contact, name) for name in STANDARD}
