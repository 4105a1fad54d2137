"""Ways to carriers: routes, the plans that choose among them, and the connectors that speak to carriers for them."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.encryption import EncryptedField
from billing.models import MoneyField

DIGITS = RegexValidator("^[0-9]*$", "%(value)s is no prefix: digits only, without +, such as 614.")
AT_LEAST_ONE = MinValueValidator(1, "%(show_value)s is too few; at least 1.")


class Route(models.Model):
    """A way to a carrier."""

    code = models.SlugField(max_length=30, unique=True)
    name = models.CharField(max_length=60)
    throughput = models.PositiveIntegerField(
        default=100, help_text="Messages a second that the carrier allows.",
        validators=[MinValueValidator(1, "%(show_value)s a second would send nothing; write 1 or more, or pause it.")],
    )  # fmt: skip
    is_paused = models.BooleanField("paused", default=False, help_text="Messages wait in the queue.")
    is_draining = models.BooleanField(
        "draining", default=False, help_text="Finishes what it has been given and is given nothing more."
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=12, validators=[AT_LEAST_ONE],
        help_text="Tries of one message here before it goes to the plan's next route, or fails. 5 take some 10"
        " seconds, 12 some 5 minutes.",
    )  # fmt: skip
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(throughput__gt=0), name="route_throughput_positive"),
            models.CheckConstraint(condition=Q(max_attempts__gt=0), name="route_attempts_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class RoutePlan(models.Model):
    """Which routes an account's messages take. Exactly one is the default (the last rule stands in the database)."""

    name = models.CharField(max_length=60, unique=True)
    is_default = models.BooleanField(
        "default", default=False, help_text="Of accounts for which neither they nor anyone above them has a plan."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_plan")
        ]

    def __str__(self) -> str:
        return self.name


class RouteRule(models.Model):
    """How a plan treats numbers with a prefix; the longest prefix wins, the empty one takes the rest."""

    class Strategy(models.TextChoices):
        PRIORITY = "priority", "In their order"
        LEAST_COST = "least_cost", "Cheapest first"
        PERCENTAGE = "percentage", "By percentage"

    plan = models.ForeignKey(RoutePlan, models.CASCADE, related_name="rules")
    prefix = models.CharField(
        max_length=15, blank=True, validators=[DIGITS], help_text="Digits without +; empty = all others."
    )
    strategy = models.CharField(
        max_length=10, choices=Strategy.choices, default=Strategy.PRIORITY, help_text="How a message's route is chosen."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "prefix"], name="one_rule_a_prefix"),
            models.CheckConstraint(condition=Q(prefix__regex=r"^\d{0,15}$"), name="rule_prefix_digits"),
        ]

    def __str__(self) -> str:
        return f"+{self.prefix}" if self.prefix else "all other numbers"


class RouteChoice(models.Model):
    """A route that a rule may choose."""

    rule = models.ForeignKey(RouteRule, models.CASCADE, related_name="choices")
    route = models.ForeignKey(Route, models.PROTECT, related_name="choices")
    position = models.PositiveSmallIntegerField(default=1, help_text="1 is tried first; the others take over from it.")
    percent = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Share of the messages; only by percentage, where all of a rule's are 100 together.",
    )  # fmt: skip

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "route"], name="one_choice_a_route"),
            models.CheckConstraint(condition=Q(percent=None) | Q(percent__range=(1, 100)), name="choice_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.position}"


class RouteCost(models.Model):
    """What a route's carrier takes for one part to numbers with a prefix; the longest prefix wins."""

    route = models.ForeignKey(Route, models.CASCADE, related_name="costs")
    prefix = models.CharField(
        max_length=15, blank=True, validators=[DIGITS], help_text="Digits without +; empty = all others."
    )
    currency = models.CharField(
        max_length=3,
        validators=[RegexValidator("^[A-Z]{3}$", "%(value)s is no currency: three capital letters, such as AUD.")],
    )
    amount = MoneyField(
        validators=[MinValueValidator(0, "A cost is 0 or more, not %(show_value)s.")],
        help_text="For one part. Compared with prices of its own currency only.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["route", "prefix", "currency"], name="one_cost_a_prefix"),
            models.CheckConstraint(condition=Q(prefix__regex=r"^\d{0,15}$"), name="cost_prefix_digits"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="cost_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class SmppConnector(models.Model):
    """How to bind to a carrier's SMSC for a route."""

    class ReceiptIdFormat(models.TextChoices):
        AS_IS = "as_is", "As in the answer"
        HEX_TO_DECIMAL = "hex_to_decimal", "Answer in hex, receipt in decimal"
        DECIMAL_TO_HEX = "decimal_to_hex", "Answer in decimal, receipt in hex"

    route = models.OneToOneField(Route, models.CASCADE, related_name="smpp_connector")
    host = models.CharField(max_length=200)
    port = models.PositiveIntegerField(
        default=2775,
        validators=[AT_LEAST_ONE, MaxValueValidator(65535, "%(show_value)s is no port; the last is 65535.")],
    )
    system_id = models.CharField(max_length=16)
    password = EncryptedField(blank=True)
    system_type = models.CharField(max_length=13, blank=True)
    binds = models.PositiveSmallIntegerField(
        default=1, validators=[AT_LEAST_ONE], help_text="Sessions held open at once (transceivers)."
    )
    window = models.PositiveSmallIntegerField(
        default=50, validators=[AT_LEAST_ONE], help_text="Unanswered submits a session may have."
    )
    enquire_link_seconds = models.PositiveSmallIntegerField(
        default=15, validators=[AT_LEAST_ONE], help_text="Silence after which the carrier is asked whether it is there."
    )
    receipt_id_format = models.CharField(
        "ids in receipts", max_length=16, choices=ReceiptIdFormat.choices, default=ReceiptIdFormat.AS_IS,
        help_text="Some carriers write a message's id in another number system in its receipt.",
    )  # fmt: skip
    supports_query = models.BooleanField(
        "answers query_sm", default=False, help_text="Ask what became of messages whose answer was lost."
    )
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        verbose_name = "SMPP connector"

    def __str__(self) -> str:
        return f"{self.system_id}@{self.host}:{self.port}"


class ConnectorStatus(models.Model):
    """What a connector process last said of one bind."""

    class State(models.TextChoices):
        CONNECTING = "connecting", "Connecting"
        BOUND = "bound", "Bound"
        REFUSED = "refused", "Refused"
        DOWN = "down", "Down"

    route = models.ForeignKey(Route, models.CASCADE, related_name="statuses")
    bind = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State.choices)
    detail = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField()
    seen_at = models.DateTimeField()
    bound_at = models.DateTimeField(db_default=Now(), help_text="Last seen bound, or first tried if it never was.")
    slowed_since = models.DateTimeField(null=True, help_text="The carrier throttles it since then.")
    in_hand = models.PositiveIntegerField(db_default=0, help_text="Claimed messages that have no answer yet.")

    class Meta:
        verbose_name_plural = "connector statuses"
        constraints = [models.UniqueConstraint(fields=["route", "bind"], name="one_status_of_a_bind")]

    def __str__(self) -> str:
        return self.get_state_display()


class RouteMinute(models.Model):
    """What one route did in one minute: written by its connectors each second and by a task each minute."""

    route = models.ForeignKey(Route, models.CASCADE, related_name="minutes")
    minute = models.DateTimeField(help_text="Its beginning, UTC.")
    sent = models.PositiveIntegerField(default=0, db_default=0)
    refused = models.PositiveIntegerField(default=0, db_default=0, help_text="For good.")
    later = models.PositiveIntegerField(default=0, db_default=0, help_text="Refused for now.")
    lost = models.PositiveIntegerField(default=0, db_default=0, help_text="Answers that never came.")
    queued = models.PositiveIntegerField(null=True, help_text="What waited on it at the end.")
    receipt_seconds = models.FloatField(null=True, help_text="Median from submit to receipt, of a sample.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["route", "minute"], name="one_sample_a_minute")]

    def __str__(self) -> str:
        return f"{self.minute:%H:%M}"
