"""Batches, messages and receipts. The messages table is the send queue (docs/message-way.md)."""

from datetime import UTC, datetime
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.codes import UuidV7, new_code
from accounts.models import Account, User
from billing.models import LedgerTransaction, MoneyField, Quote
from messaging.route_models import Route


def time_of(identifier: UUID) -> datetime:
    """The moment (UTC, milliseconds) at which a UUIDv7 was made."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)


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
    # That there are these accounts is checked for a whole statement at once, without locks (migrations/0033).
    account = models.ForeignKey(Account, models.PROTECT, related_name="batches", db_index=False, db_constraint=False)
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", db_index=False)
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
    send_at = models.DateTimeField(null=True, blank=True, help_text="Scheduled for; empty = at once.")
    valid_until = models.DateTimeField(null=True, blank=True, help_text="What is not sent by then expires unsent.")
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        indexes = [
            models.Index(fields=["account", "-id"]),
            models.Index(fields=["created_by"], condition=Q(created_by__isnull=False), name="batch_of_a_person"),
            models.Index(fields=["valid_until"], condition=Q(valid_until__isnull=False), name="batch_validity"),
        ]
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
    valid_until = models.DateTimeField(null=True, help_text="Expires unsent after that.")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Tries on its present route.")
    tried_routes = ArrayField(models.BigIntegerField(), null=True, help_text="Routes given up before the present one.")
    cost = MoneyField(null=True, help_text="What the route's carrier takes for all parts; empty = not known.")
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
            models.Index(
                fields=["route", "message_class", "account", "-priority", "id"],
                condition=Q(state="queued"),
                name="message_queue",
            ),
            models.Index(fields=["not_before"], condition=Q(state="scheduled"), name="message_scheduled"),
            models.Index(
                fields=["route", "message_class", "-priority", "released_at", "id"],
                condition=Q(state="released"),
                name="message_released",
            ),
            models.Index(fields=["route", "claim"], condition=Q(state__in=["sending", "unknown"]), name="message_open"),
            models.Index(
                fields=["id"],
                condition=Q(
                    settled_at=None,
                    state__in=[
                        "delivered",
                        "undelivered",
                        "expired",
                        "rejected",
                        "blocked",
                        "cancelled",
                        "failed",
                    ],
                ),
                name="message_unsettled",
            ),
            models.Index(fields=["sent_at"], condition=Q(settled_at=None, state="sent"), name="message_sent"),
            models.Index(fields=["settlement", "id"], condition=Q(settlement__isnull=False), name="message_settlement"),
            # Few messages end so, and people look for them in long histories: only a failure costs an entry.
            models.Index(
                fields=["account", "state", "-id"],
                condition=Q(state__in=["undelivered", "expired", "rejected", "blocked", "cancelled", "failed"]),
                name="message_failed",
            ),
        ]

    def __str__(self) -> str:
        return self.recipient

    @property
    def state_label(self) -> str:
        """The state in words; what waits after a carrier's "later" is not scheduled by anybody."""
        if self.state == self.State.SCHEDULED and (self.attempts or self.tried_routes):
            return "Waiting to try again"
        return str(self.State(self.state).label)  # get_state_display walks all choices: a list asks fifty times

    @property
    def accepted_at(self) -> datetime:
        return time_of(self.id)

    @property
    def costs_nothing(self) -> bool:
        """No carrier took it and none will: its price was or is given back (PRODUCT.md, money rule 4)."""
        return self.sent_at is None and self.state in self.FINAL


class UnknownMessage(Message):
    """A message as staff's page of unknown ones shows it, which has a permission of its own."""

    class Meta:
        proxy = True


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
            models.Index(fields=["message"], condition=Q(message__isnull=False), name="receipt_message"),
            models.Index(
                fields=["-id"], condition=Q(message=None, applied_at__isnull=False), name="receipt_without_message"
            ),
        ]

    def __str__(self) -> str:
        return self.carrier_id

    @property
    def received_at(self) -> datetime:
        return time_of(self.id)


# Tables of modules of their own; these need what stands above.
from messaging.http_models import HttpConnector  # noqa: E402, F401
from messaging.inbound_models import (  # noqa: E402, F401
    Conversation,
    HttpInbound,
    InboundAction,
    InboundMessage,
    InboundPart,
)
from messaging.key_models import CarrierKey, MessageKey  # noqa: E402, F401
from messaging.pace_models import (  # noqa: E402, F401
    BindShare,
    RouteTurns,
    SendingDay,
    SendingPace,
    SilentMessage,
    SweepMark,
)
from messaging.preparation_models import Preparation  # noqa: E402, F401
from messaging.receipt_models import UnmatchedReceipt  # noqa: E402, F401
from messaging.rollup_models import ReportChange, ReportDay, ReportQuarter, ReportZone  # noqa: E402, F401
from messaging.route_models import (  # noqa: E402, F401
    ConnectorStatus,
    RouteChoice,
    RouteCost,
    RouteMinute,
    RoutePlan,
    RouteRule,
    SmppConnector,
)
from messaging.sending_models import SendingTerms  # noqa: E402, F401
