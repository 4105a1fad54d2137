"""What messages are found by, in tables of their own (docs/performance.md).

A message's row is written four times on its way, and each write enters all of its indexes again. What never changes
about it is looked up here, where it is written once. Both tables are partitioned by month as messages are.
"""

from django.db import models

from accounts.models import Account
from messaging.route_models import Route


class MessageKey(models.Model):
    """By what an account's messages are found: newest first, or by their recipient.

    Written with the messages (messaging/services/batch_rows.py).
    """

    pk = models.CompositePrimaryKey("account_id", "message_id")
    account = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    message_id = models.UUIDField()
    recipient = models.CharField(max_length=16, help_text="E.164 with +.")

    class Meta:
        indexes = [models.Index(fields=["recipient", "account", "message_id"], name="messagekey_recipient")]

    def __str__(self) -> str:
        return self.recipient


class CarrierKey(models.Model):
    """By what receipts find a message: the id that a route's carrier gave it, of a long one its first part.

    Written with the id itself (messaging/connectors/statements.py, messaging/services/receipts.py). A message that is
    sent once more gets another id; only the one that stands in its row counts.
    """

    pk = models.CompositePrimaryKey("carrier_id", "route_id", "message_id")
    carrier_id = models.CharField(max_length=65)
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    message_id = models.UUIDField()

    def __str__(self) -> str:
        return self.carrier_id
