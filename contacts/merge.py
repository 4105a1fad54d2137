"""Merge fields: {first_name} in a text becomes the contact's own first name."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

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


class Person(NamedTuple):
    """What merge fields take of a contact, or of a number that is none."""

    number: str
    first_name: str = ""
    last_name: str = ""
    fields: Mapping[str, Any] = MappingProxyType({})


def render(text: str, contact: Contact | Person | None) -> str:
    """``text`` with the contact's values in place of its merge fields.

    {name|there} gives "there" where the contact has no such value; {name} gives nothing then. Without a contact (a
    number that the account does not know) every field is empty. A value is never read for fields again.
    """
    return _FIELD.sub(lambda match: (contact and _value(contact, match[1])) or match[2] or "", text)


def _value(contact: Contact | Person, name: str) -> str:
    """The contact's own value; a field with the name of a standard one is not seen."""
    if name in STANDARD:
        return str(getattr(contact, name))
    return str(contact.fields[name]) if name in contact.fields else ""
