"""Seed 1's two questions, who pays and how, and which fields each answer needs."""

from django.db import models

from billing.models import BillingTerms

Method = BillingTerms.Method


class Payer(models.TextChoices):
    """Who pays for a client, in the words of the parent that fills in the form."""

    PARENT = "parent", "I Pay"
    CLIENT = "client", "Client Pays"


METHODS_OF: dict[Payer, tuple[Method, ...]] = {
    Payer.PARENT: BillingTerms.PARENT_PAYS,
    Payer.CLIENT: BillingTerms.CARD_METHODS,
}

_OF_CARDS = frozenset(
    {
        "daily_topup_limit", "sms_margin", "trial", "trial_ends_on", "trial_credit", "notification_limit",
        "notification_email",
    }
)  # fmt: skip
# Which fields of the form a method uses; what it does not use is neither checked nor stored.
FIELDS_OF: dict[str, frozenset[str]] = {
    Method.BILL_TO_PARENT: frozenset(),
    Method.SMS_CREDITS: frozenset({"notification_credits", "notification_email"}),
    Method.CARD_FIXED: _OF_CARDS | {"fixed_topup"},
    Method.CARD_VARIABLE: _OF_CARDS | {"minimum_topup"},
}
METHOD_FIELDS = frozenset[str]().union(*FIELDS_OF.values())


def payer_of(method: str) -> Payer:
    """Who pays under a method (an invoice goes to the client)."""
    return Payer.PARENT if method in BillingTerms.PARENT_PAYS else Payer.CLIENT


def methods_offered(sees_money: bool) -> dict[Payer, tuple[Method, ...]]:
    """Which methods a parent may choose.

    A parent that sees no money itself, as its own parent pays, has no wallet that could earn or transfer anything:
    its clients' activity can only go the way of its own.
    """
    return METHODS_OF if sees_money else {Payer.PARENT: (Method.BILL_TO_PARENT,)}
