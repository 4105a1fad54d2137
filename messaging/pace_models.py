"""What limits have been used up, and by whom: written by the dispatcher and by connectors, in SQL."""

from django.db import models

from accounts.models import Account
from messaging.route_models import Route


class SendingPace(models.Model):
    """An account's token bucket: a token is one message, and no more are kept than its throughput in one second."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="+")
    tokens = models.FloatField()
    filled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"pace of account {self.account_id}"


class SendingDay(models.Model):
    """How many messages an account with a daily limit, and all below it, released on a day of its time zone."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    day = models.DateField()
    released = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "day"], name="one_count_a_day")]

    def __str__(self) -> str:
        return f"{self.released} on {self.day}"


class RouteTurns(models.Model):
    """What the accounts that wait for a route are owed, in messages: the memory of the weighted round-robin.

    ``credits``: {message class: {account id: credit}}, between -1 and 1; accounts that are owed nothing are not named.
    """

    route = models.OneToOneField(Route, models.CASCADE, primary_key=True, related_name="+")
    credits = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "route turns"

    def __str__(self) -> str:
        return f"turns on route {self.route_id}"


class BindShare(models.Model):
    """The part of its route's throughput that a bind may use until ``leased_until`` (messaging/connectors/shares.py).

    ``counted`` is what others have to take as used until ``counted_until``: a share that was lowered counts as before
    until the second in which it was used is over.
    """

    route = models.ForeignKey(Route, models.CASCADE, related_name="+")
    bind = models.PositiveSmallIntegerField()
    share = models.PositiveIntegerField(help_text="Submits a second.")
    leased_until = models.DateTimeField()
    counted = models.PositiveIntegerField()
    counted_until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["route", "bind"], name="one_share_a_bind")]

    def __str__(self) -> str:
        return f"{self.share} a second"


class SilentMessage(models.Model):
    """A message that had not ended a day after its acceptance, and when to look at it again (services/expiring.py)."""

    message_id = models.UUIDField(primary_key=True)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    look_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.message_id)


class SweepMark(models.Model):
    """How far a sweep has come that looks at everything once: at messages by id, at batches by the end of validity."""

    class Sweep(models.TextChoices):
        SILENT = "silent", "Messages without a receipt"
        VALIDITY = "validity", "Batches whose validity ended"

    sweep = models.CharField(primary_key=True, max_length=10, choices=Sweep.choices)
    moment = models.DateTimeField(help_text="Everything before it has been looked at.")

    def __str__(self) -> str:
        return f"{self.get_sweep_display()} until {self.moment:%Y-%m-%d %H:%M:%S}"
