"""Clients that send with SMS credits, for tests."""

import uuid
from decimal import Decimal

from billing.models import BillingTerms, CreditLot
from billing.services.credits import TakeBack, take_back_credits, transfer_credits
from tests.cast import Member, make_member


def make_credits_client(parent: Member, name: str = "Client", country: str = "AU") -> Member:
    """A client that sends with credits, without any."""
    return make_member(parent.account, name, country=country, terms={"method": BillingTerms.Method.SMS_CREDITS})


def give(member: Member, quantity: int, *, key: str = "", expected: Decimal | None = None) -> CreditLot:
    """Transfer credits to the member from its parent."""
    return transfer_credits(
        client=member.account, quantity=quantity, actor=None, expected_price=expected,
        idempotency_key=key or uuid.uuid4().hex,
    )  # fmt: skip


def take(member: Member, quantity: int, *, key: str = "", expected: Decimal | None = None) -> TakeBack | None:
    """Take credits back from the member."""
    return take_back_credits(
        client=member.account, quantity=quantity, actor=None, expected_refund=expected,
        idempotency_key=key or uuid.uuid4().hex,
    )  # fmt: skip
