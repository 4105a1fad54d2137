"""Who is told when a balance runs low (seed 2: Notification limit)."""

from django.db import models

from accounts.models import Account
from billing.models import MoneyField


class NoticeTerms(models.Model):
    """When and where an account hears of a low balance; ``is_low`` remembers that it has heard of this crossing."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="notice_terms")
    limit = MoneyField("notification limit", null=True, blank=True, help_text="Of money; empty = no notice.")
    credits_limit = models.PositiveIntegerField(
        "notification limit in SMS credits", null=True, blank=True, help_text="For accounts that send with credits."
    )
    email = models.EmailField("notification e-mail", blank=True, help_text="Empty = the owner's.")
    tells_of_clients = models.BooleanField(default=True, help_text="A mail when clients of the account run low.")
    is_low = models.BooleanField(default=False, editable=False)
    low_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "notice terms"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(limit__isnull=True) | models.Q(limit__gt=0), name="notice_limit_positive"
            )
        ]

    def __str__(self) -> str:
        return "notices"
