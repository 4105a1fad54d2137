"""The tree of accounts, the people in it, and what they did."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.codes import new_code
from accounts.countries import country_name


class AccountQuerySet(models.QuerySet["Account"]):
    def in_subtree_of(self, account: "Account") -> "AccountQuerySet":
        """The account itself and everything below it."""
        return self.filter(path__contains=[account.pk])

    def below(self, account: "Account") -> "AccountQuerySet":
        return self.in_subtree_of(account).exclude(pk=account.pk)

    def children_of(self, account: "Account") -> "AccountQuerySet":
        return self.filter(parent=account)


class Account(models.Model):
    """One tenant: the platform (root), a reseller, a client or a sub-account."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children", editable=False)
    # Ids from the root down to the account itself; set by a trigger, as a parent never changes.
    path = ArrayField(models.BigIntegerField(), default=list, editable=False)
    name = models.CharField("account name", max_length=100)
    contact_name = models.CharField(max_length=100, blank=True)
    mobile = models.CharField(max_length=16, blank=True, help_text="International form (E.164).")
    country = models.CharField(max_length=2, blank=True, help_text="Default region of local numbers (ISO 3166).")
    time_zone = models.CharField(max_length=64, default="UTC")
    currency = models.CharField(
        max_length=3, blank=True, editable=False, help_text="Never changes; empty for the root."
    )
    can_have_children = models.BooleanField("can add clients", default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        indexes = [GinIndex(fields=["path"], name="account_path"), models.Index(fields=["parent", "name"])]
        constraints = [
            models.UniqueConstraint(
                fields=["parent"], condition=models.Q(parent__isnull=True), nulls_distinct=False, name="one_platform"
            ),
            models.CheckConstraint(
                condition=models.Q(parent__isnull=True, currency="")
                | models.Q(parent__isnull=False, currency__regex="^[A-Z]{3}$"),
                name="account_currency",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_platform(self) -> bool:
        return self.parent_id is None

    @property
    def is_direct(self) -> bool:
        """Whether the account stands directly under the platform, and so pays its rate card's price."""
        return len(self.path) == 2

    @property
    def ancestor_ids(self) -> list[int]:
        """From the root down to the parent, without the account itself."""
        return self.path[:-1]

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE

    @property
    def country_name(self) -> str:
        return country_name(self.country)


class PortalUserManager(UserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username__iexact=username)


class User(AbstractUser):
    """A person who logs in, with e-mail or login name."""

    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    name = models.CharField("full name", max_length=100)
    email = models.EmailField("e-mail")
    # As long as an e-mail: for clients made in the web form the e-mail is the login name (seed 1).
    username = models.CharField("login name", max_length=254)

    objects: ClassVar[PortalUserManager] = PortalUserManager()

    REQUIRED_FIELDS = ["email", "name"]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"), name="user_email_unique", violation_error_message="This e-mail is taken."
            ),
            models.UniqueConstraint(
                Lower("username"), name="user_username_unique", violation_error_message="This login name is taken."
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.username

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.username


class Membership(models.Model):
    """Which account a user belongs to, and as what."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        BILLING = "billing", "Billing"
        SENDER = "sender", "Sender"
        VIEWER = "viewer", "Viewer"

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    account = models.ForeignKey(Account, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.OWNER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "account"], name="one_membership_an_account")]

    def __str__(self) -> str:
        return self.get_role_display()


class AuditEntry(models.Model):
    """Who did what to whom; written in the same transaction as the deed, never changed."""

    # That there is this account is checked for a whole statement at once, without locks (migrations/0006).
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="audit_entries", db_index=False, db_constraint=False
    )
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    action = models.CharField(max_length=60, help_text="noun.verb, such as client.suspended")
    subject = models.CharField(max_length=60, blank=True, help_text="Public code of what was acted upon.")
    data: Any = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["account", "-created_at"]),
            models.Index(fields=["actor"], condition=models.Q(actor__isnull=False), name="deed_of_a_person"),
        ]

    def __str__(self) -> str:
        return self.action


class OutgoingMail(models.Model):
    """The mail outbox: written by the transaction that causes the mail, sent after it, retried, failures shown."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    key = models.CharField(max_length=120, unique=True, help_text="What the mail is about; the same key is sent once.")
    account = models.ForeignKey(Account, models.PROTECT, null=True, blank=True, related_name="+")
    to = models.EmailField()
    reply_to = models.EmailField(max_length=254, blank=True, db_default="", help_text="Empty = answers go nowhere.")
    subject = models.CharField(max_length=200)
    text = models.TextField()
    html = models.TextField(blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_try_at"], condition=models.Q(state="waiting"), name="outgoing_mail_waiting")
        ]

    def __str__(self) -> str:
        return self.subject
