"""Ways to carriers: routes, which numbers they take, and the connectors that speak to carriers for them."""

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Route(models.Model):
    """A way to a carrier."""

    code = models.SlugField(max_length=30, unique=True)
    name = models.CharField(max_length=60)
    throughput = models.PositiveIntegerField(default=100, help_text="Messages a second that the carrier allows.")
    is_paused = models.BooleanField("paused", default=False, help_text="Messages wait in the queue.")
    is_draining = models.BooleanField(
        "draining", default=False, help_text="Finishes what it has been given and is given nothing more."
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=5, help_text="Tries of one message here before it goes to the plan's next route, or fails."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(throughput__gt=0), name="route_throughput_positive")]

    def __str__(self) -> str:
        return self.name


class RouteRule(models.Model):
    """Which route takes numbers with a prefix; the longest prefix wins, the empty one takes the rest."""

    prefix = models.CharField(max_length=15, blank=True, unique=True, help_text="Digits without +; empty = all others.")
    route = models.ForeignKey(Route, models.PROTECT, related_name="rules")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(prefix__regex=r"^\d{0,15}$"), name="rule_prefix_digits")]

    def __str__(self) -> str:
        return f"+{self.prefix}" if self.prefix else "all other numbers"


class SmppConnector(models.Model):
    """How to bind to a carrier's SMSC for a route."""

    class ReceiptIdFormat(models.TextChoices):
        AS_IS = "as_is", "As in the answer"
        HEX_TO_DECIMAL = "hex_to_decimal", "Answer in hex, receipt in decimal"
        DECIMAL_TO_HEX = "decimal_to_hex", "Answer in decimal, receipt in hex"

    route = models.OneToOneField(Route, models.CASCADE, related_name="smpp_connector")
    host = models.CharField(max_length=200)
    port = models.PositiveIntegerField(default=2775)
    system_id = models.CharField(max_length=16)
    password = models.CharField(max_length=9, blank=True)
    system_type = models.CharField(max_length=13, blank=True)
    binds = models.PositiveSmallIntegerField(default=1, help_text="Sessions held open at once (transceivers).")
    window = models.PositiveSmallIntegerField(default=50, help_text="Unanswered submits a session may have.")
    enquire_link_seconds = models.PositiveSmallIntegerField(default=15)
    receipt_id_format = models.CharField(
        "ids in receipts", max_length=16, choices=ReceiptIdFormat.choices, default=ReceiptIdFormat.AS_IS,
        help_text="Some carriers write a message's id in another number system in its receipt.",
    )  # fmt: skip
    supports_query = models.BooleanField(
        "answers query_sm", default=False, help_text="Ask what became of messages whose answer was lost."
    )
    is_enabled = models.BooleanField("enabled", default=True)

    def __str__(self) -> str:
        return f"{self.system_id}@{self.host}:{self.port}"


class ConnectorStatus(models.Model):
    """What a connector process last said of one bind."""

    class State(models.TextChoices):
        CONNECTING = "connecting", "Connecting"
        BOUND = "bound", "Bound"
        REFUSED = "refused", "Refused"
        DOWN = "down", "Down"

    connector = models.ForeignKey(SmppConnector, models.CASCADE, related_name="statuses")
    bind = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State.choices)
    detail = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "connector statuses"
        constraints = [models.UniqueConstraint(fields=["connector", "bind"], name="one_status_a_bind")]

    def __str__(self) -> str:
        return self.get_state_display()
