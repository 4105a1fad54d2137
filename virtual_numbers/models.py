"""What an account may do with virtual numbers, and at which price (PRODUCT.md, money rule 6)."""

from django.db import models

from accounts.models import Account
from billing.models import MoneyField


class NumberTerms(models.Model):
    """How a client gets its number and what its parent adds to the base price (seed 1, step 5)."""

    class Allocation(models.TextChoices):
        OWN = "own", "Client buys their own"

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="number_terms")
    allocation = models.CharField(
        "number allocation", max_length=10, choices=Allocation.choices, default=Allocation.OWN
    )
    margin = MoneyField(
        "number margin", default=0, help_text="What the parent adds to a number's base price, per month."
    )

    class Meta:
        verbose_name_plural = "number terms"
        constraints = [models.CheckConstraint(condition=models.Q(margin__gte=0), name="number_margin_not_negative")]

    def __str__(self) -> str:
        return self.get_allocation_display()
