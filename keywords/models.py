"""What an account may do with keywords, and at which price (PRODUCT.md, money rule 5)."""

from django.db import models

from accounts.models import Account
from billing.models import MoneyField


class KeywordTerms(models.Model):
    """Whether a client has keyword marketing, and what its parent asks for it (seed 1, step 6)."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="keyword_terms")
    is_enabled = models.BooleanField("keywords", default=False)
    price = MoneyField("keyword price", default=0, help_text="Of one keyword per month.")
    limit = models.PositiveIntegerField("keyword limit", default=0, help_text="Keywords at once; 0 = unlimited.")

    class Meta:
        verbose_name_plural = "keyword terms"
        constraints = [models.CheckConstraint(condition=models.Q(price__gte=0), name="keyword_price_not_negative")]

    def __str__(self) -> str:
        return "keywords on" if self.is_enabled else "keywords off"
