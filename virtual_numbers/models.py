"""Virtual numbers: an account's terms, the inventory, leases and allocations (PRODUCT.md, money rule 6)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account
from billing.models import MoneyField, Subscription
from contacts.models import ContactList


class NumberTerms(models.Model):
    """How a client gets its number and what its parent adds to the base price (seed 1, step 5)."""

    class Allocation(models.TextChoices):
        OWN = "own", "Client buys their own"
        PARENT = "parent", "Numbers come from the parent"

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="number_terms")
    allocation = models.CharField(
        "number allocation", max_length=10, choices=Allocation.choices, default=Allocation.OWN
    )
    margin = MoneyField(
        "number margin", default=0, help_text="What the parent adds to a number's base price, per month."
    )

    class Meta:
        verbose_name_plural = "number terms"
        constraints = [models.CheckConstraint(condition=models.Q(margin__gte=0), name="number_margin_not_negative")]

    def __str__(self) -> str:
        return self.get_allocation_display()


class VirtualNumber(models.Model):
    """An inbound-capable number of the platform's inventory."""

    class Kind(models.TextChoices):
        LONG = "long", "Long number"
        SHORT = "short", "Short code"
        TOLL_FREE = "toll_free", "Toll-free"

    class State(models.TextChoices):
        FREE = "free", "Free"
        RESERVED = "reserved", "Reserved"
        LEASED = "leased", "Leased"
        QUARANTINED = "quarantined", "In quarantine"
        PORTED_OUT = "ported_out", "Ported out"

    class Capability(models.TextChoices):
        SMS_IN = "sms_in", "Receives SMS"
        SMS_OUT = "sms_out", "Sends SMS"
        MMS = "mms", "MMS"
        VOICE = "voice", "Voice"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    number = models.CharField(max_length=16, help_text="E.164 with +; a short code without.")
    country = models.CharField(max_length=2)
    kind = models.CharField("type", max_length=9, choices=Kind.choices, default=Kind.LONG)
    capabilities = ArrayField(models.CharField(max_length=8, choices=Capability.choices), default=list, blank=True)
    # Named by text: routes belong to a room above this one, which this room never imports.
    route = models.ForeignKey(
        "messaging.Route", models.PROTECT, null=True, blank=True, related_name="numbers",
        help_text="The route on which its messages arrive.",
    )  # fmt: skip
    state = models.CharField(max_length=11, choices=State.choices, default=State.FREE)
    reserved_for = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", help_text="Who alone may lease it."
    )
    quarantined_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["state", "country", "number"], name="number_on_offer")]
        constraints = [
            # A short code is a country's own; E.164 numbers are unique in the world.
            models.UniqueConstraint(
                fields=["number"], condition=~models.Q(kind="short"), name="one_number_in_the_world"
            ),
            models.UniqueConstraint(fields=["country", "number"], name="one_number_a_country"),
            models.CheckConstraint(
                condition=models.Q(kind="short", number__regex=r"^\d{3,8}$")
                | (~models.Q(kind="short") & models.Q(number__regex=r"^\+\d{5,15}$")),
                name="number_fits_its_type",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="quarantined") | models.Q(quarantined_until__isnull=False),
                name="quarantine_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class NumberPrice(models.Model):
    """The platform's base price of a number in one currency; a number without one cannot be leased in it."""

    number = models.ForeignKey(VirtualNumber, models.CASCADE, related_name="prices")
    currency = models.CharField(max_length=3)
    monthly = MoneyField()
    setup = MoneyField("set-up", default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["number", "currency"], name="one_price_a_currency"),
            models.CheckConstraint(condition=models.Q(monthly__gte=0, setup__gte=0), name="number_price_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.monthly} {self.currency}"


class InboundActions(models.Model):
    """What happens on an inbound message beside storing it: the same for a number and for a keyword."""

    contact_list = models.ForeignKey(
        ContactList, models.SET_NULL, null=True, blank=True, related_name="+", help_text="Senders are added to it."
    )
    first_reply = models.TextField(blank=True, help_text="To a sender that writes for the first time.")
    later_reply = models.TextField(blank=True, help_text="To a returning sender; empty = none.")
    forward_emails = ArrayField(models.EmailField(), default=list, blank=True)
    forward_mobiles = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    forward_url = models.URLField(max_length=400, blank=True)
    webhook_secret = models.CharField(max_length=64, blank=True, help_text="Signs what is posted to the URL.")

    class Meta:
        abstract = True


class Lease(models.Model):
    """A number's rental by an account, and the child that it is given to."""

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    number = models.ForeignKey(VirtualNumber, models.PROTECT, related_name="leases")
    account = models.ForeignKey(Account, models.PROTECT, related_name="leases", help_text="Who leased it.")
    allocated_to = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="allocated_leases",
        help_text="The child that uses it in place of who leased it.",
    )  # fmt: skip
    # Who uses it: the child that it is allocated to, else who leased it. Kept by the services, for queries.
    holder = models.ForeignKey(Account, models.PROTECT, related_name="held_leases")
    label = models.CharField(max_length=60, blank=True)
    subscription = models.OneToOneField(Subscription, models.PROTECT, related_name="lease")
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["number"], condition=models.Q(ended_at=None), name="one_lease_at_a_time"),
            models.CheckConstraint(
                condition=models.Q(allocated_to=None, holder=models.F("account"))
                | models.Q(allocated_to__isnull=False, holder=models.F("allocated_to")),
                name="lease_holder_uses_it",
            ),
        ]

    def __str__(self) -> str:
        return self.label or str(self.number_id)


class NumberSettings(InboundActions):
    """What the holder wants done with messages to its number that no keyword takes; gone when the holder changes."""

    lease = models.OneToOneField(Lease, models.CASCADE, primary_key=True, related_name="settings")

    class Meta:
        verbose_name_plural = "number settings"

    def __str__(self) -> str:
        return f"settings of {self.lease_id}"


# A table of its own module; it needs nothing of what stands above, and the app is told of it here.
from virtual_numbers.import_models import NumberImport as NumberImport  # noqa: E402
