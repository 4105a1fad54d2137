"""Inbound messages: their parts as the carrier brought them, what they set off, and the conversations they are in."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.codes import UuidV7, new_code
from accounts.models import Account, User
from keywords.models import Keyword
from messaging.models import Batch, Route, time_of
from virtual_numbers.models import VirtualNumber


class InboundPart(models.Model):
    """What a carrier brought, stored before it is acknowledged. Partitioned by month on ``id``.

    A message of several parts waits until all are there (or for as long as parts are waited for). What the carrier
    brought twice stays here twice and becomes one message (messaging/services/inbound_repeats.py).
    """

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    sender = models.CharField(max_length=21)
    recipient = models.CharField(max_length=21, help_text="The virtual number, as the carrier wrote it.")
    text = models.TextField(help_text="This part's, decoded.")
    # Of a long message, as it came: a character may be split over two parts, so the text is decoded as a whole.
    octets = models.BinaryField(null=True)
    data_coding = models.PositiveSmallIntegerField(default=0, db_default=0)
    # Of a long message: which one it is, how many parts it has, which of them this is. One part: "", 1, 1.
    reference = models.CharField(max_length=20, blank=True)
    total = models.PositiveSmallIntegerField(default=1, db_default=1)
    sequence = models.PositiveSmallIntegerField(default=1, db_default=1)
    carrier_id = models.CharField(max_length=65, blank=True, help_text="The carrier's own id, where it gives one.")
    # The same for all that may be one part brought several times; the session tells which cannot be.
    fingerprint = models.UUIDField(null=True)
    session = models.CharField(max_length=16, blank=True, db_default="")
    # When to look at it: at once, and again when its message's other parts have been waited for long enough.
    due_at = models.DateTimeField(default=timezone.now, db_default=models.functions.Now())
    # Empty until it became part of a message (or was found to be a repetition).
    handled_at = models.DateTimeField(null=True)
    message_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["route", "due_at"], condition=Q(handled_at=None), name="inbound_part_due"),
            models.Index(
                fields=["route", "sender", "recipient"],
                condition=Q(handled_at=None) & Q(total__gt=1),
                name="inbound_part_long",
            ),
            models.Index(fields=["fingerprint"], name="inbound_part_same"),
        ]

    def __str__(self) -> str:
        return self.sender


class Conversation(models.Model):
    """All messages between one number of an account and one phone."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="conversations")
    number = models.ForeignKey(VirtualNumber, models.PROTECT, related_name="+", help_text="The account's own number.")
    phone = models.CharField(max_length=21, help_text="The other side: E.164 with +, a short code or a name.")
    unread = models.PositiveIntegerField(default=0)
    assigned_to = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    last_text = models.CharField(max_length=160, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["account", "-last_at"], name="conversation_newest"),
            models.Index(fields=["account", "-last_at"], condition=Q(unread__gt=0), name="conversation_unread"),
        ]
        constraints = [models.UniqueConstraint(fields=["account", "number", "phone"], name="one_conversation_a_phone")]

    def __str__(self) -> str:
        return self.phone


class InboundMessage(models.Model):
    """One message from a phone. Partitioned by month on ``id``, which is that of its first part: its arrival."""

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    # Whose number it was when the message came; empty = nobody's: kept for staff.
    account = models.ForeignKey(
        Account, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )
    number = models.ForeignKey(
        VirtualNumber, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )
    conversation = models.ForeignKey(
        Conversation, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="inbound"
    )
    keyword = models.ForeignKey(
        Keyword, models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )
    sender = models.CharField(max_length=21)
    recipient = models.CharField(max_length=21)
    text = models.TextField()
    parts = models.PositiveSmallIntegerField(default=1, db_default=1)
    missing = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Parts that never came; the text says where."
    )
    # What its arrival did to the sender's opt-out: "opt_out", "opt_in" or nothing.
    consent = models.CharField(max_length=7, blank=True, db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "-id"], name="inbound_conversation"),
            models.Index(fields=["account", "-id"], name="inbound_account"),
            # Has this phone used the keyword before?
            models.Index(
                fields=["conversation", "keyword"], condition=Q(keyword__isnull=False), name="inbound_keyword_user"
            ),
        ]

    def __str__(self) -> str:
        return self.sender

    @property
    def received_at(self) -> datetime:
        return time_of(self.id)


class InboundAction(models.Model):
    """One thing that an inbound message sets off: an outbox row, retried until it is done or given up."""

    class Kind(models.TextChoices):
        OPT_OUT = "opt_out", "Opt out"
        OPT_IN = "opt_in", "Opt in"
        ADD_TO_LIST = "add_to_list", "Add to list"
        REPLY = "reply", "Reply"
        FORWARD_EMAIL = "forward_email", "Forward by e-mail"
        FORWARD_MOBILE = "forward_mobile", "Forward to mobile"
        FORWARD_URL = "forward_url", "Forward to URL"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        SKIPPED = "skipped", "Left out"
        FAILED = "failed", "Failed"

    message_id = models.UUIDField()
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=14, choices=Kind.choices)
    target = models.CharField(max_length=400, blank=True, help_text="List, address, number or URL.")
    payload: Any = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=300, blank=True)
    # The messages that a reply or a forward to a mobile became.
    batch = models.ForeignKey(Batch, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Accounts take turns; calls to their servers are made by a worker of their own, for they can be slow.
            models.Index(
                fields=["account", "next_try_at"],
                condition=Q(state="waiting") & ~Q(kind="forward_url"),
                name="inbound_action_due",
            ),
            models.Index(
                fields=["account", "next_try_at"],
                condition=Q(state="waiting", kind="forward_url"),
                name="inbound_action_url",
            ),
            models.Index(fields=["message_id"], name="inbound_action_message"),
            models.Index(fields=["account", "-id"], name="inbound_action_account"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["message_id", "kind", "target"], name="one_action_of_a_kind_and_target")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.target}".strip()


class HttpInbound(models.Model):
    """How a carrier posts inbound messages over HTTP: to /carrier/<route code>/inbound/<secret>, form or JSON.

    Names of fields may be paths into JSON: ``data.message.text``.
    """

    route = models.OneToOneField(Route, models.CASCADE, primary_key=True, related_name="http_inbound")
    is_enabled = models.BooleanField("enabled", default=True)
    secret_hash = models.CharField(max_length=64, editable=False)
    list_field = models.CharField(
        max_length=60, blank=True, help_text="Of JSON: where the list of messages stands; empty = one message a call."
    )
    sender_field = models.CharField(max_length=60, default="from")
    recipient_field = models.CharField(max_length=60, default="to")
    text_field = models.CharField(max_length=60, default="text")
    id_field = models.CharField(
        max_length=60, blank=True, default="id", help_text="The carrier's id: by it a repeated call is known."
    )
    # Only of carriers that pass on long messages in parts.
    reference_field = models.CharField(max_length=60, blank=True)
    total_field = models.CharField(max_length=60, blank=True)
    sequence_field = models.CharField(max_length=60, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "HTTP inbound"
        verbose_name_plural = "HTTP inbound"
        constraints = [
            models.CheckConstraint(
                condition=Q(reference_field="", total_field="", sequence_field="")
                | ~(Q(reference_field="") | Q(total_field="") | Q(sequence_field="")),
                name="http_inbound_parts_named_together",
            )
        ]

    def __str__(self) -> str:
        return f"inbound of {self.route_id}"
