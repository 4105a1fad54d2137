"""Lists, contacts and opt-outs of one account (PRODUCT.md, sending semantics)."""

from typing import Any

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account, User


class ContactList(models.Model):
    """A named list of contacts that one account sends to."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="contact_lists")
    name = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="one_list_a_name")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person that an account knows, by number; in any number of its lists."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="contacts")
    number = models.CharField(max_length=16, help_text="E.164 with +.")
    first_name = models.CharField(max_length=60, blank=True)
    last_name = models.CharField(max_length=60, blank=True)
    # Further merge fields: {name: text}.
    fields: Any = models.JSONField(default=dict, blank=True)
    lists = models.ManyToManyField(ContactList, through="ListMember", related_name="contacts")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="one_contact_a_number"),
            models.CheckConstraint(condition=models.Q(number__regex=r"^\+\d{3,15}$"), name="contact_number_e164"),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="contact_newest")]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.number


class ListMember(models.Model):
    """A contact is on a list."""

    contact_list = models.ForeignKey(ContactList, models.CASCADE, related_name="members")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="memberships")
    source = models.CharField(max_length=60, blank=True, help_text="How it came on the list: by hand, keyword JOIN.")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["contact_list", "-id"], name="member_newest")]
        constraints = [models.UniqueConstraint(fields=["contact_list", "contact"], name="once_on_a_list")]

    def __str__(self) -> str:
        return f"{self.contact_id} on {self.contact_list_id}"


class OptOut(models.Model):
    """A number that an account must not send to, from when and since whose word; kept as history once it ended."""

    class Source(models.TextChoices):
        REPLY = "reply", "Reply from the phone"
        KEYWORD = "keyword", "Keyword"
        PERSON = "person", "Entered by hand"
        API = "api", "API"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="opt_outs")
    number = models.CharField(max_length=16, help_text="E.164 with +.")
    source = models.CharField(max_length=10, choices=Source.choices)
    detail = models.CharField(max_length=160, blank=True, help_text="The words that were sent, or who entered it.")
    created_at = models.DateTimeField(default=timezone.now)
    # Messages that had been accepted before and still waited were blocked then; empty = that is to be done.
    stopped_at = models.DateTimeField(null=True, blank=True)
    # A confirmed opt-in of this one contact ends it.
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    end_reason = models.CharField(max_length=160, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "-id"], name="opt_out_newest"),
            models.Index(fields=["id"], condition=models.Q(stopped_at=None), name="opt_out_to_stop"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "number"], condition=models.Q(ended_at=None), name="one_opt_out_in_force"
            ),
            models.CheckConstraint(condition=models.Q(number__regex=r"^\+\d{3,15}$"), name="opt_out_number_e164"),
        ]

    def __str__(self) -> str:
        return self.number
