"""Services that are paid for by the month: leased numbers and keywords (PRODUCT.md, money rules 5 and 6)."""

from typing import Any

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account
from billing.models import LedgerTransaction, MoneyField


class Subscription(models.Model):
    """One service of one account, paid at set-up and then on the same day of every month, in advance.

    Days are the account's own (its time zone). Changed by billing/services/subscriptions.py only.
    """

    class Service(models.TextChoices):
        NUMBER = "number", "Number rental"
        KEYWORD = "keyword", "Keyword"

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        GRACE = "grace", "Payment due"
        SUSPENDED = "suspended", "Suspended"
        ENDED = "ended", "Ended"

    # The service works: in grace it does, although a renewal is not paid yet.
    WORKING = (State.ACTIVE, State.GRACE)

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="subscriptions", help_text="Whose service it is.")
    service = models.CharField(max_length=8, choices=Service.choices)
    label = models.CharField(max_length=80, help_text="What statements and mails call it.")
    state = models.CharField(max_length=9, choices=State.choices, default=State.ACTIVE)
    # 29 to 31 fall on a shorter month's last day, and come back to their own day after it.
    anchor_day = models.PositiveSmallIntegerField(help_text="Day of the month on which it renews.")
    next_renewal_on = models.DateField(help_text="First day that is not paid for.")
    # The day on which money was first missing for what is due now, and on which the service stopped for it.
    due_since = models.DateField(null=True, blank=True)
    suspended_since = models.DateField(null=True, blank=True)
    # The day on which its payer last got a mail about it; one mail a day at most.
    told_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "service"], name="subscription_account"),
            models.Index(
                fields=["service", "next_renewal_on"], condition=~models.Q(state="ended"), name="subscription_due"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(anchor_day__gte=1, anchor_day__lte=31), name="subscription_anchor_is_a_day"
            ),
            models.CheckConstraint(
                condition=models.Q(state="ended", ended_at__isnull=False)
                | (~models.Q(state="ended") & models.Q(ended_at__isnull=True)),
                name="subscription_ended_has_a_time",
            ),
            models.CheckConstraint(
                condition=models.Q(state="active", due_since=None, suspended_since=None)
                | models.Q(state="grace", due_since__isnull=False, suspended_since=None)
                | models.Q(state="suspended", due_since__isnull=False, suspended_since__isnull=False)
                | models.Q(state="ended"),
                name="subscription_unpaid_since_a_day",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def works(self) -> bool:
        return self.state in self.WORKING


class ServiceCharge(models.Model):
    """What one month of a subscription, or its set-up, cost and who earned of it; written once, never changed.

    A subscription's months follow each other without a gap, up to its ``next_renewal_on``.
    """

    class Part(models.TextChoices):
        SETUP = "setup", "Set-up"
        MONTH = "month", "Month"
        # The service was suspended through all of it, so it costs nothing.
        PAUSED = "paused", "Month without service"

    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="charges")
    part = models.CharField(max_length=6, choices=Part.choices)
    begins_on = models.DateField(help_text="First day that it pays for.")
    ends_on = models.DateField(help_text="The day after the last one.")
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+", help_text="Whose wallet it came out of.")
    currency = models.CharField(max_length=3)
    amount = MoneyField()
    # [[account id, share as text], …]: what of the amount each account earned; the rest is the platform's.
    earnings: Any = models.JSONField(default=list)
    transaction = models.OneToOneField(
        LedgerTransaction, models.PROTECT, null=True, related_name="service_charge",
        help_text="Empty where no money moved.",
    )  # fmt: skip
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            # PAUSED takes a month's place, so both count as one.
            models.UniqueConstraint(
                fields=["subscription", "begins_on"], condition=~models.Q(part="setup"), name="one_charge_a_month"
            ),
            models.UniqueConstraint(
                fields=["subscription"], condition=models.Q(part="setup"), name="one_setup_a_subscription"
            ),
            models.CheckConstraint(
                condition=models.Q(amount__gte=0) & (~models.Q(part="paused") | models.Q(amount=0)),
                name="service_charge_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(part="setup", ends_on=models.F("begins_on"))
                | (~models.Q(part="setup") & models.Q(ends_on__gt=models.F("begins_on"))),
                name="service_charge_is_a_month",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.begins_on} {self.amount} {self.currency}"
