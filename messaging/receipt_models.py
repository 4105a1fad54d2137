"""Receipts that nobody's message was found for."""

from messaging.models import Receipt


class UnmatchedReceipt(Receipt):
    """A receipt as staff's list of those without a message shows it, which has a permission of its own."""

    class Meta:
        proxy = True
        verbose_name = "receipt without a message"
        verbose_name_plural = "receipts without a message"
