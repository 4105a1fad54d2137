"""What a browser posts for seed 1's form."""

from typing import Any

# Every field of every section of the seed, with a method that uses all limits.
EVERY_FIELD = {
    "contact_name": "Ada Jones",
    "name": "Jones & Co",
    "mobile": "0412 345 678",
    "country": "AU",
    "time_zone": "Australia/Perth",
    "email": "Ada@Jones.example",
    "password": "Correct-horse-9",
    "payer": "client",
    "method": "card_variable",
    "fixed_topup": "",
    "daily_topup_limit": "250.50",
    "minimum_topup": "12.25",
    "sms_margin": "0.012345",
    "trial": "yes",
    "trial_ends_on": "2035-01-31",
    "trial_credit": "",
    "notification_limit": "",
    "notification_credits": "",
    "notification_email": "",
    "allocation": "own",
    "number_margin": "5.00",
    "keywords": "yes",
    "keyword_price": "9.95",
    "keyword_limit": "3",
}


def filled(**changes: Any) -> dict[str, Any]:
    """The whole form with some fields changed."""
    return EVERY_FIELD | changes
