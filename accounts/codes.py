"""Public codes: what stands in URLs and on receipts in place of database keys."""

import secrets

from django.db import models

# No 0/O, 1/I/L, U: codes are read out over the phone.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_code(length: int = 10) -> str:
    """Return a random code of ``length`` characters (10 characters = 49 bits; uniqueness is the column's job)."""
    drawn, letters = secrets.randbelow(len(ALPHABET) ** length), []
    for _ in range(length):
        drawn, index = divmod(drawn, len(ALPHABET))
        letters.append(ALPHABET[index])
    return "".join(letters)


class UuidV7(models.Func):
    """PostgreSQL 18's time-ordered UUID: keys sort by the moment at which they were made."""

    function = "uuidv7"
    template = "%(function)s()"
    output_field = models.UUIDField()
