"""Public codes: what stands in URLs and on receipts in place of database keys."""

import secrets

from django.db import models

# No 0/O, 1/I/L, U: codes are read out over the phone.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [second + first for first in ALPHABET for second in ALPHABET]


def new_code(length: int = 10) -> str:
    """Return a random code of ``length`` characters (10 characters = 49 bits; uniqueness is the column's job)."""
    # Eight octets more than a code needs: no code is likelier than another by more than 1 in 10^19.
    drawn, pairs = int.from_bytes(secrets.token_bytes(length + 8)), []
    for _ in range((length + 1) // 2):
        drawn, index = divmod(drawn, len(_PAIRS))
        pairs.append(_PAIRS[index])
    return "".join(pairs)[:length]


class UuidV7(models.Func):
    """PostgreSQL 18's time-ordered UUID: keys sort by the moment at which they were made."""

    function = "uuidv7"
    template = "%(function)s()"
    output_field = models.UUIDField()
