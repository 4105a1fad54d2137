"""Credentials of others, encrypted where they are kept: a copy of the database opens no carrier.

Fernet (AES-128-CBC with HMAC-SHA256) with the keys of CREDENTIAL_KEYS. The first one encrypts and all of them decrypt,
so that a new key is put before the old one, and the old one goes when everything has been saved again
(`manage.py rotate_credentials`).
"""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class CannotDecrypt(Exception):
    """None of CREDENTIAL_KEYS made this."""


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """``text`` as it is kept; nothing stays nothing."""
    return _cipher(tuple(settings.CREDENTIAL_KEYS)).encrypt(text.encode()).decode() if text else ""


def decrypt(kept: str) -> str:
    """What ``encrypt`` was given. Raises CannotDecrypt."""
    if not kept:
        return ""
    try:
        return _cipher(tuple(settings.CREDENTIAL_KEYS)).decrypt(kept.encode()).decode()
    except InvalidToken as error:
        raise CannotDecrypt("A credential was encrypted with a key that CREDENTIAL_KEYS does not have.") from error


class EncryptedField(models.TextField):
    """Text that is encrypted in its column and plain in Python; it cannot be searched for."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way into the database."""
        return value if value is None else encrypt(str(value))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt on the way out. Raises CannotDecrypt."""
        return value if value is None else decrypt(value)

    def get_lookup(self, lookup_name: str) -> Any:
        """The same text is encrypted differently each time, so nothing would ever be found."""
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise TypeError(f"{self.name} is encrypted and cannot be searched for.")
