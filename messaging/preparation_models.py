"""Large sendings between what was typed and their batch (messaging/services/preparing.py)."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account, User
from billing.models import MoneyField

# Fields of the form that are kept as they were typed, beside the recipients and the lists.
TYPED = ("sender", "text", "when", "send_at", "valid_for")


class Preparation(models.Model):
    """What was typed to send to many, while workers check it and accept its batch; deleted when that is accepted.

    What was not accepted stays for some days, so that it can be edited.
    """

    class State(models.TextChoices):
        CHECKING = "checking", "Checking"  # a worker makes the preview
        CHECKED = "checked", "Checked"  # the preview waits for a person
        ACCEPTING = "accepting", "Accepting"  # a worker accepts the batch
        ENDED = "ended", "Ended"  # refused, or cancelled with its batch

    WORKING = (State.CHECKING, State.ACCEPTING)

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.CHECKING)
    recipients = models.TextField(blank=True, help_text="As they were typed.")
    lists = ArrayField(models.CharField(max_length=12), default=list, help_text="Codes of lists.")
    typed = models.JSONField(default=dict, help_text="The form's other fields, as they were typed.")
    preview = models.JSONField(null=True, help_text="What the check found.")
    batch = models.OneToOneField("messaging.Batch", models.CASCADE, null=True, related_name="preparation")
    expected_price = MoneyField(null=True, help_text="What the person saw; another price is refused.")
    refusal = models.CharField(max_length=300, blank=True)
    refused_field = models.CharField(max_length=20, blank=True, help_text="What in the form the refusal is about.")
    lacks_money = models.BooleanField(default=False, help_text="Refused for the want of money.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often workers began; they may die.")
    retry_at = models.DateTimeField(default=timezone.now, help_text="Not begun again before.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(
                fields=["account", "id"], condition=Q(state__in=["checking", "accepting"]), name="preparation_work"
            ),
            models.Index(fields=["created_at"], name="preparation_age"),
        ]

    def __str__(self) -> str:
        return self.code

    def as_posted(self) -> QueryDict:
        """What the form was sent with."""
        data: Any = QueryDict(mutable=True)
        data.update(self.typed | {"recipients": self.recipients})
        data.setlist("lists", self.lists)
        return data
