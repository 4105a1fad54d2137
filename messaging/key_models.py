"""Which account sent to whom, in a table of its own (docs/performance.md)."""

from django.db import models

from accounts.models import Account


class MessageKey(models.Model):
    """By what an account's messages are found: newest first, or by their recipient.

    A message's row is written four times on its way, and each write enters all of its indexes again. What never changes
    about it is looked up here, where it is written once. Written with the messages (messaging/services/batch_rows.py),
    partitioned like them.
    """

    pk = models.CompositePrimaryKey("account_id", "message_id")
    account = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    message_id = models.UUIDField()
    recipient = models.CharField(max_length=16, help_text="E.164 with +.")

    class Meta:
        indexes = [models.Index(fields=["recipient", "account", "message_id"], name="messagekey_recipient")]

    def __str__(self) -> str:
        return self.recipient
