"""Batches, messages, routes and receipts. The messages table is the send queue (docs/message-way.md)."""

from datetime import UTC, datetime
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.codes import UuidV7, new_code
from accounts.models import Account, User
from billing.models import LedgerTransaction, MoneyField, Quote


def time_of(identifier: UUID) -> datetime:
    """The moment (UTC, milliseconds) at which a UUIDv7 was made."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)


# --- Routes --------------------------------------------------------------------------------------------------------


class Route(models.Model):
    """A way to a carrier."""

    code = models.SlugField(max_length=30, unique=True)
    name = models.CharField(max_length=60)
    throughput = models.PositiveIntegerField(default=100, help_text="Messages a second that the carrier allows.")
    is_paused = models.BooleanField("paused", default=False, help_text="Messages wait in the queue.")
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

    route = models.OneToOneField(Route, models.CASCADE, related_name="smpp_connector")
    host = models.CharField(max_length=200)
    port = models.PositiveIntegerField(default=2775)
    system_id = models.CharField(max_length=16)
    password = models.CharField(max_length=9, blank=True)
    system_type = models.CharField(max_length=13, blank=True)
    binds = models.PositiveSmallIntegerField(default=1, help_text="Sessions held open at once (transceivers).")
    window = models.PositiveSmallIntegerField(default=50, help_text="Unanswered submits a session may have.")
    enquire_link_seconds = models.PositiveSmallIntegerField(default=15)
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


# --- Batches and messages ------------------------------------------------------------------------------------------


class MessageClass(models.IntegerChoices):
    """What goes first: one-time passcodes before bulk."""

    PASSCODE = 0, "One-time passcode"
    TRANSACTIONAL = 1, "Transactional"
    BULK = 2, "Bulk"


class Batch(models.Model):
    """One act of sending by one account, through any door."""

    class State(models.TextChoices):
        PREPARING = "preparing", "Preparing"
        ACCEPTED = "accepted", "Accepted"
        REFUSED = "refused", "Refused"
        CANCELLED = "cancelled", "Cancelled"

    class Door(models.TextChoices):
        WEB = "web", "Web"
        REST = "rest", "REST API"
        TRANSMIT = "transmit", "TransmitSMS API"
        SMPP = "smpp", "SMPP"
        KEYWORD = "keyword", "Keyword reply"

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="batches")
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    door = models.CharField(max_length=10, choices=Door.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PREPARING)
    sender = models.CharField(max_length=16)
    text = models.TextField()
    encoding = models.CharField(max_length=6)
    message_class = models.PositiveSmallIntegerField(choices=MessageClass.choices, default=MessageClass.BULK)
    # A form that is sent twice carries the same key: the second one finds the first batch.
    idempotency_key = models.CharField(max_length=64, blank=True)
    message_count = models.PositiveIntegerField(default=0)
    excluded_count = models.PositiveIntegerField(default=0)
    part_count = models.PositiveIntegerField(default=0)
    currency = models.CharField(max_length=3)
    price = MoneyField(default=0, help_text="Held when the batch was accepted.")
    refusal = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        indexes = [models.Index(fields=["account", "-id"])]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "idempotency_key"], condition=~Q(idempotency_key=""), name="one_batch_a_key"
            )
        ]

    def __str__(self) -> str:
        return self.code


class Exclusion(models.Model):
    """A recipient that was left out of a batch, with the reason; it cost nothing."""

    class Reason(models.TextChoices):
        INVALID = "invalid", "Not a valid mobile number"
        DUPLICATE = "duplicate", "Duplicate"
        NO_PRICE = "no_price", "No price for this destination"
        NO_ROUTE = "no_route", "No route to this destination"
        NOT_LOCAL = "not_local", "Not a local number"
        OPTED_OUT = "opted_out", "Opted out"
        TEXT = "text", "Text cannot be sent"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="exclusions")
    value = models.CharField(max_length=60, help_text="As it was typed.")
    reason = models.CharField(max_length=10, choices=Reason.choices)
    detail = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.value


class Message(models.Model):
    """One SMS to one recipient. Partitioned by month on ``id``; written in sets by messaging/services only."""

    class State(models.TextChoices):
        SCHEDULED = "scheduled", "Scheduled"
        HELD = "held", "Held back"
        QUEUED = "queued", "Queued"
        RELEASED = "released", "Ready to send"
        SENDING = "sending", "Sending"
        UNKNOWN = "unknown", "Unknown"
        SENT = "sent", "Sent"
        DELIVERED = "delivered", "Delivered"
        UNDELIVERED = "undelivered", "Undelivered"
        EXPIRED = "expired", "Expired"
        REJECTED = "rejected", "Rejected"
        BLOCKED = "blocked", "Blocked"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    # Not yet written to a carrier: can be cancelled.
    CANCELLABLE = (State.SCHEDULED, State.HELD, State.QUEUED, State.RELEASED)
    # The carrier's word decides these; ``expired`` also before submission.
    FINAL = (
        State.DELIVERED, State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.BLOCKED, State.CANCELLED, State.FAILED,
    )  # fmt: skip

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    batch = models.ForeignKey(Batch, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="messages")
    account = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    payer = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    quote = models.ForeignKey(Quote, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    recipient = models.CharField(max_length=16, help_text="E.164 with +.")
    sender = models.CharField(max_length=16)
    text = models.TextField(null=True, help_text="Empty = the batch's text.")  # noqa: DJ001 (NULL costs no room)
    parts = models.PositiveSmallIntegerField()
    price = MoneyField(help_text="The payer's price of all parts.")
    display_price = MoneyField(null=True, help_text="What a paying parent bills for it.")
    message_class = models.PositiveSmallIntegerField(choices=MessageClass.choices)
    priority = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=11, choices=State.choices)
    not_before = models.DateTimeField(null=True, help_text="Wait until then: schedule or back-off.")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    released_at = models.DateTimeField(null=True)
    sending_at = models.DateTimeField(null=True, help_text="Written to the carrier's socket after this.")
    # Set exactly when the carrier accepted the message: captured then, released otherwise (PRODUCT.md, money rule 4).
    sent_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    claim = models.CharField(max_length=40, blank=True, db_default="", help_text="Which bind has it in its window.")
    carrier_id = models.CharField(max_length=65, blank=True, db_default="", help_text="The first part's id.")
    error_code = models.CharField(max_length=20, blank=True, db_default="", help_text="The carrier's code.")
    reason = models.CharField(max_length=120, blank=True, db_default="")
    settled_at = models.DateTimeField(null=True)
    settlement = models.ForeignKey(
        LedgerTransaction, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )

    class Meta:
        indexes = [
            models.Index(fields=["batch", "state"], name="message_batch"),
            models.Index(fields=["account", "-id"], name="message_account"),
            models.Index(fields=["account", "recipient"], name="message_recipient"),
            models.Index(
                fields=["route", "message_class", "account", "-priority", "id"],
                condition=Q(state="queued"),
                name="message_queue",
            ),
            models.Index(fields=["not_before"], condition=Q(state="scheduled"), name="message_scheduled"),
            models.Index(
                fields=["route", "message_class", "-priority", "id"],
                condition=Q(state="released"),
                name="message_released",
            ),
            models.Index(fields=["route", "claim"], condition=Q(state__in=["sending", "unknown"]), name="message_open"),
            models.Index(
                fields=["id"],
                condition=Q(settled_at=None)
                & Q(
                    state__in=[
                        "sent",
                        "delivered",
                        "undelivered",
                        "expired",
                        "rejected",
                        "blocked",
                        "cancelled",
                        "failed",
                    ]
                ),
                name="message_unsettled",
            ),
            models.Index(fields=["carrier_id", "route"], condition=~Q(carrier_id=""), name="message_carrier"),
            models.Index(fields=["settlement", "id"], condition=Q(settlement__isnull=False), name="message_settlement"),
        ]

    def __str__(self) -> str:
        return self.recipient

    @property
    def accepted_at(self) -> datetime:
        return time_of(self.id)

    @property
    def costs_nothing(self) -> bool:
        """No carrier took it and none will: its price was or is given back (PRODUCT.md, money rule 4)."""
        return self.sent_at is None and self.state in self.FINAL


class MessagePart(models.Model):
    """One submitted part of a long message (messages of one part have none). Partitioned like messages."""

    pk = models.CompositePrimaryKey("message_id", "part")
    message = models.ForeignKey(Message, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    part = models.PositiveSmallIntegerField()
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    carrier_id = models.CharField(max_length=65)
    # The part's last receipt: delivered, undelivered or expired; empty while none came.
    state = models.CharField(max_length=11, blank=True, db_default="")
    error_code = models.CharField(max_length=20, blank=True, db_default="")

    class Meta:
        indexes = [models.Index(fields=["carrier_id", "route"], name="part_carrier")]

    def __str__(self) -> str:
        return self.carrier_id


class Receipt(models.Model):
    """The carrier's word, stored before it is acknowledged. Partitioned by month on ``id``."""

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    carrier_id = models.CharField(max_length=65)
    status = models.CharField(max_length=10, help_text="The carrier's word, such as DELIVRD.")
    error_code = models.CharField(max_length=20, blank=True)
    recipient = models.CharField(max_length=21, blank=True)
    raw = models.TextField(blank=True)
    message = models.ForeignKey(
        Message, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="receipts"
    )
    applied_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_try_at = models.DateTimeField(default=timezone.now, db_default=models.functions.Now())

    class Meta:
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(applied_at=None), name="receipt_open"),
            models.Index(fields=["message"], name="receipt_message"),
        ]

    def __str__(self) -> str:
        return self.carrier_id

    @property
    def received_at(self) -> datetime:
        return time_of(self.id)


# Tables of their own module; they need what stands above.
from messaging.inbound_models import (  # noqa: E402, F401
    Conversation,
    HttpInbound,
    InboundAction,
    InboundMessage,
    InboundPart,
)
