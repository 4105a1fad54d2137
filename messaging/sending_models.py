"""What an account may send, how fast and when (PRODUCT.md, sending semantics)."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounts.models import Account
from messaging.route_models import RoutePlan


class SendingTerms(models.Model):
    """One account's limits; an account without a row has none. The dispatcher obeys them."""

    class ExpiredState(models.TextChoices):
        EXPIRED = "expired", "Expired"
        UNDELIVERED = "undelivered", "Undelivered"
        DELIVERED = "delivered", "Delivered"

    account = models.OneToOneField(Account, models.CASCADE, related_name="sending_terms")
    throughput = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Messages a second; empty = no limit."
    )
    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Messages in one day of the account's time zone; empty = no limit."
    )
    dispatch_from = models.TimeField(null=True, blank=True, help_text="Local time; empty = at any hour.")
    dispatch_until = models.TimeField(
        null=True, blank=True, help_text="Local time. Earlier than the beginning = until the next day."
    )
    priority = models.SmallIntegerField(
        "SMS priority", default=0, validators=[MinValueValidator(-10), MaxValueValidator(10)],
        help_text="Between the account's own messages and between accounts: higher goes first within a class.",
    )  # fmt: skip
    weight = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Share of a busy route beside other accounts: 2 gets twice as much as 1.",
    )  # fmt: skip
    route_plan = models.ForeignKey(
        RoutePlan, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Which routes its messages take; empty = the plan of the account above it, at last the default plan.",
    )  # fmt: skip
    waiting_days = models.PositiveSmallIntegerField(
        "days of waiting DLR", default=3, validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text="A message without a receipt by then gets the delivery status below.",
    )  # fmt: skip
    expired_state = models.CharField(
        "delivery status", max_length=11, choices=ExpiredState.choices, default=ExpiredState.EXPIRED,
        help_text="Of messages whose receipt never came.",
    )  # fmt: skip

    class Meta:
        verbose_name = verbose_name_plural = "sending terms"
        constraints = [
            models.CheckConstraint(
                condition=Q(throughput=None) | Q(throughput__gt=0), name="sending_throughput_positive"
            ),
            models.CheckConstraint(
                condition=Q(dispatch_from=None, dispatch_until=None)
                | Q(dispatch_from__isnull=False, dispatch_until__isnull=False),
                name="sending_both_hours",
            ),
            models.CheckConstraint(condition=Q(weight__range=(1, 100)), name="sending_weight"),
            models.CheckConstraint(condition=Q(waiting_days__range=(1, 30)), name="sending_waiting_days"),
        ]

    def __str__(self) -> str:
        return f"sending terms of account {self.account_id}"
