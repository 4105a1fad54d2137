"""What the platform grants to a direct client that pays by invoice (seed 2)."""

from django.db import models

from accounts.models import Account
from billing.models import MoneyField


class InvoiceTerms(models.Model):
    """Credit and the monthly top-up. The wallet's own limits follow from it (billing/services/invoices.py)."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="invoice_terms")
    credit_limit = MoneyField(default=0, help_text="Permanent: how far below zero the balance may go.")
    overdraw_amount = MoneyField(default=0, help_text="Temporary, on top of the credit limit.")
    overdraw_until = models.DateField(
        null=True, blank=True, help_text="The last day of the overdraw, in the account's time zone."
    )
    postpaid_amount = MoneyField(default=0, help_text="Added to the balance on the 1st of each month.")
    # The 1st of the month that is booked next; None while nothing is added.
    postpaid_next = models.DateField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "invoice terms"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(credit_limit__gte=0, overdraw_amount__gte=0, postpaid_amount__gte=0),
                name="invoice_amounts_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(overdraw_amount=0) | models.Q(overdraw_until__isnull=False),
                name="overdraw_has_an_end",
            ),
            models.CheckConstraint(
                condition=models.Q(postpaid_amount=0) | models.Q(postpaid_next__isnull=False),
                name="postpaid_has_a_next_month",
            ),
        ]

    def __str__(self) -> str:
        return "invoice terms"
