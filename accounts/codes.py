"""Public codes: what stands in URLs and on receipts in place of database keys."""

import secrets

# No 0/O, 1/I/L, U: codes are read out over the phone.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_code(length: int = 10) -> str:
    """Return a random code of ``length`` characters (10 characters = 49 bits; uniqueness is the column's job)."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
