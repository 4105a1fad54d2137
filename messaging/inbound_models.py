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

    A message of several parts waits until all are there (or for as long as parts are waited for).
    """

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    route = models.ForeignKey(Route, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    sender = models.CharField(max_length=21)
    recipient = models.CharField(max_length=21, help_text="The virtual number, as the carrier wrote it.")
    text = models.TextField(help_text="This part's, decoded.")
    # Of a long message: which one it is, how many parts it has, which of them this is. One part: "", 1, 1.
    reference = models.CharField(max_length=20, blank=True)
    total = models.PositiveSmallIntegerField(default=1, db_default=1)
    sequence = models.PositiveSmallIntegerField(default=1, db_default=1)
    carrier_id = models.CharField(max_length=65, blank=True, help_text="The carrier's own id, where it gives one.")
    # Empty until it became part of a message (or was found to be a duplicate).
    handled_at = models.DateTimeField(null=True)
    message_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(handled_at=None), name="inbound_part_open"),
            models.Index(fields=["route", "sender", "recipient", "reference"], name="inbound_part_long"),
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
        indexes = [models.Index(fields=["account", "-last_at"], name="conversation_newest")]
        constraints = [models.UniqueConstraint(fields=["account", "number", "phone"], name="one_conversation_a_phone")]

    def __str__(self) -> str:
        return self.phone


class InboundMessage(models.Model):
    """One message from a phone. Partitioned by month on ``id``."""

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
    # What its arrival did to the sender's opt-out: "opt_out", "opt_in" or nothing.
    consent = models.CharField(max_length=7, blank=True, db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "-id"], name="inbound_conversation"),
            models.Index(fields=["account", "-id"], name="inbound_account"),
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
            models.Index(fields=["next_try_at"], condition=Q(state="waiting"), name="inbound_action_due"),
            models.Index(fields=["message_id"], name="inbound_action_message"),
            models.Index(fields=["account", "-id"], name="inbound_action_account"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["message_id", "kind", "target"], name="one_action_of_a_kind_and_target")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.target}".strip()
