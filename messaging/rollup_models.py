"""What reports add up: counts of messages by quarter of an hour, account and price (messaging/services/rollups.py).

Only counts are kept. What a message costs is its parts at its quote's price, always (messaging/proof.py), so money
follows from these counts exactly.
"""

from django.db import models
from django.db.models import F, Q

from accounts.models import Account
from billing.models import Quote


class ReportCounts(models.Model):
    """Sums over messages of one account and one price.

    All but the last two count by when messages were accepted: of the ``messages``, those that a carrier took
    (``sent``, with their ``parts``) and those that ended. ``captured`` and ``captured_parts`` count by when they were
    paid for.
    """

    account = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    quote = models.ForeignKey(Quote, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    messages = models.IntegerField(db_default=0)
    sent = models.IntegerField(db_default=0)
    delivered = models.IntegerField(db_default=0)
    failed = models.IntegerField(db_default=0)
    cancelled = models.IntegerField(db_default=0)
    parts = models.IntegerField(db_default=0, help_text="Of what was sent.")
    captured = models.IntegerField(db_default=0)
    captured_parts = models.IntegerField(db_default=0)

    class Meta:
        abstract = True


class ReportChange(ReportCounts):
    """What a chunk of messages changes, written in the transaction that changes them; waits to be rolled up."""

    id = models.BigAutoField(primary_key=True)
    quarter = models.DateTimeField()

    def __str__(self) -> str:
        return f"change of account {self.account_id} at {self.quarter}"


class ReportQuarter(ReportCounts):
    """A quarter of an hour, the longest time of which days of every time zone are made up."""

    pk = models.CompositePrimaryKey("account", "quarter", "quote")
    quarter = models.DateTimeField(help_text="Its beginning.")

    class Meta:
        # Where messages have not ended: a few of the last quarters, and whatever was forgotten long ago.
        indexes = [
            models.Index(
                fields=["account", "quarter"],
                condition=Q(messages__gt=F("delivered") + F("failed") + F("cancelled")),
                name="report_open",
            )
        ]

    def __str__(self) -> str:
        return f"account {self.account_id} at {self.quarter}"


class ReportZone(models.Model):
    """A time zone in which an account's days are kept: its own, or that of an account above it which reads reports."""

    pk = models.CompositePrimaryKey("account", "zone")
    account = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    zone = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"account {self.account_id} in {self.zone}"


class ReportDay(ReportCounts):
    """A day of a time zone: the sums of its quarters."""

    pk = models.CompositePrimaryKey("account", "zone", "day", "quote")
    zone = models.CharField(max_length=64)
    day = models.DateField()

    def __str__(self) -> str:
        return f"account {self.account_id} on {self.day}"
