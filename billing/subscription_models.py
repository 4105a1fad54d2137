"""Services that are paid for by the month: leased numbers and keywords (PRODUCT.md, money rules 5 and 6)."""

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account


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
    # The day in grace or suspension on which the account was last told; one mail a day at most.
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
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def works(self) -> bool:
        return self.state in self.WORKING
