"""Around card payments: refunds, disputes, saved cards and automatic recharges. Registered by billing/models.py."""

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account, User
from billing.models import LedgerTransaction, MoneyField
from billing.topup_models import TopUp


class Refund(models.Model):
    """Money given back to the card: asked for by staff here, or made at the gateway and told to us."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for the gateway"
        REFUNDED = "refunded", "Refunded"
        FAILED = "failed", "Failed"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    topup = models.ForeignKey(TopUp, models.PROTECT, related_name="refunds")
    amount = MoneyField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    gateway_id = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    # What took the money out of the wallet, and what put it back when the refund failed.
    transaction = models.OneToOneField(LedgerTransaction, models.PROTECT, null=True, blank=True, related_name="refund")
    returned_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, null=True, blank=True, related_name="failed_refund"
    )

    class Meta:
        indexes = [
            models.Index(fields=["next_try_at"], condition=models.Q(state="waiting"), name="refunds_waiting"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["gateway_id"], condition=~models.Q(gateway_id=""), name="one_refund_a_gateway_id"
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="refund_positive"),
            models.CheckConstraint(
                condition=~models.Q(state="refunded") | models.Q(transaction__isnull=False), name="refund_is_in_ledger"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Dispute(models.Model):
    """A payment that the card's holder contests at the bank. Open: ``closed_at`` is empty."""

    class State(models.TextChoices):
        INQUIRY = "inquiry", "Inquiry (nothing withdrawn)"
        OPEN = "open", "Open"
        WON = "won", "Won"
        LOST = "lost", "Lost"

    gateway_id = models.CharField(max_length=200, unique=True)
    topup = models.ForeignKey(TopUp, models.PROTECT, related_name="disputes")
    amount = MoneyField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=10, choices=State.choices)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    withdrawn_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, null=True, blank=True, related_name="dispute"
    )
    returned_transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, null=True, blank=True, related_name="dispute_won"
    )

    class Meta:
        indexes = [models.Index(fields=["topup"], condition=models.Q(state="open"), name="disputes_open")]
        constraints = [models.CheckConstraint(condition=models.Q(amount__gt=0), name="dispute_positive")]

    def __str__(self) -> str:
        return self.gateway_id


class CardCustomer(models.Model):
    """The account's name at the gateway, under which its cards are kept."""

    account = models.OneToOneField(Account, models.PROTECT, primary_key=True, related_name="card_customer")
    customer_id = models.CharField(max_length=200, unique=True)

    def __str__(self) -> str:
        return self.customer_id


class SavedCard(models.Model):
    """A card that somebody of the account agreed to have kept by the gateway; we know no number."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="saved_cards")
    payment_method = models.CharField(max_length=200, unique=True)
    brand = models.CharField(max_length=30)
    last4 = models.CharField(max_length=4)
    expires_month = models.PositiveSmallIntegerField()
    expires_year = models.PositiveSmallIntegerField()
    consent_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    consent_at = models.DateTimeField(help_text="When the box under ADD CREDIT was ticked.")
    removed_at = models.DateTimeField(null=True, blank=True)
    # Empty while the gateway has not been told yet that the card was removed.
    detached_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["account"], condition=models.Q(removed_at=None), name="cards_kept")]

    def __str__(self) -> str:
        return f"{self.brand.capitalize()} {self.last4}"


class AutoRecharge(models.Model):
    """Adding ``amount`` from a saved card whenever less than ``threshold`` is available."""

    account = models.OneToOneField(Account, models.PROTECT, primary_key=True, related_name="auto_recharge")
    is_on = models.BooleanField("on", default=False)
    threshold = MoneyField()
    amount = MoneyField()
    card = models.ForeignKey(SavedCard, models.PROTECT, null=True, blank=True, related_name="+")
    consent_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    consent_at = models.DateTimeField()
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row; too many switch it off.")
    next_try_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=300, blank=True)
    # Money went back to the customer and left less than the threshold: its card is not charged for that.
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_for = models.CharField(max_length=200, blank=True, help_text="What took the money out.")

    class Meta:
        indexes = [models.Index(fields=["next_try_at"], condition=models.Q(is_on=True), name="recharges_on")]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0, threshold__gte=0), name="recharge_positive"),
            models.CheckConstraint(
                condition=models.Q(is_on=False) | models.Q(card__isnull=False), name="recharge_has_a_card"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} below {self.threshold}"
