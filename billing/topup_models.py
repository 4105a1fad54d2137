"""Payments by card, and what the card gateway tells of them. Registered by billing/models.py."""

from typing import Any

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account, User
from billing.models import LedgerTransaction, MoneyField


class TopUp(models.Model):
    """One attempt to add money by card."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting for payment"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"
        CANCELLED = "cancelled", "Cancelled"
        DISPUTED = "disputed", "Needs attention"

    class Way(models.TextChoices):
        CHECKOUT = "checkout", "Payment page"
        SAVED_CARD = "saved_card", "Saved card"
        RECHARGE = "recharge", "Automatic recharge"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="topups")
    amount = MoneyField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    way = models.CharField(max_length=10, choices=Way.choices, default=Way.CHECKOUT)
    # The customer agreed to have the card kept that pays this (way: payment page).
    saves_card = models.BooleanField(default=False)
    # The card that is charged (other ways).
    saved_card = models.ForeignKey("billing.SavedCard", models.PROTECT, null=True, blank=True, related_name="+")
    # The bank takes days to say whether it pays; the payment page is over, the top-up is still open.
    is_processing = models.BooleanField(default=False)
    refunded = MoneyField(default=0, help_text="Given back to the card so far.")
    session_id = models.CharField(max_length=200, blank=True)
    checkout_url = models.TextField(blank=True)
    payment_intent = models.CharField(max_length=200, blank=True)
    card = models.CharField(max_length=40, blank=True, help_text="Brand and last four digits, where the gateway tells.")
    error = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    transaction = models.OneToOneField(LedgerTransaction, models.PROTECT, null=True, blank=True, related_name="topup")

    class Meta:
        indexes = [models.Index(fields=["account", "-created_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["session_id"], condition=~models.Q(session_id=""), name="one_topup_a_session"
            ),
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(way="recharge", state="pending"), name="one_recharge_in_flight"
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="topup_positive"),
            models.CheckConstraint(
                condition=models.Q(refunded__gte=0, refunded__lte=models.F("amount")), name="refunds_within_payment"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="paid") | models.Q(transaction__isnull=False), name="paid_topup_is_in_ledger"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class PaymentEvent(models.Model):
    """A verified webhook of the card gateway, stored before it is answered, processed once."""

    event_id = models.CharField(max_length=200, unique=True)
    type = models.CharField(max_length=80)
    payload: Any = models.JSONField()
    received_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["received_at"], condition=models.Q(processed_at=None), name="payment_event_open")
        ]

    def __str__(self) -> str:
        return self.event_id
