"""What ADD CLIENT starts from."""

from django.db import models

from accounts.models import Account
from billing.models import BillingTerms, MoneyField


class ClientDefaults(models.Model):
    """A reseller's own starting values for new clients (SETTINGS, Clients & margin). Empty = nothing filled in."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="client_defaults")
    country = models.CharField(max_length=2, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    method = models.CharField(
        max_length=16, choices=BillingTerms.Method.choices, default=BillingTerms.Method.CARD_VARIABLE
    )
    fixed_topup = MoneyField(null=True, blank=True)
    minimum_topup = MoneyField(null=True, blank=True)
    daily_topup_limit = MoneyField(null=True, blank=True)
    sms_margin = MoneyField(default=0)
    number_margin = MoneyField(default=0)
    keywords_enabled = models.BooleanField(default=False)
    keyword_price = MoneyField(default=0)
    keyword_limit = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "client defaults"

    def __str__(self) -> str:
        return "defaults for new clients"
