"""Keywords: what an account may do with them and at which price (PRODUCT.md, money rule 5), and the keywords."""

from django.db import models
from django.utils import timezone

from accounts.codes import new_code
from accounts.models import Account
from billing.models import MoneyField, Subscription
from virtual_numbers.models import InboundActions, VirtualNumber


class KeywordTerms(models.Model):
    """Whether a client has keyword marketing, and what its parent asks for it (seed 1, step 6)."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="keyword_terms")
    is_enabled = models.BooleanField("keywords", default=False)
    price = MoneyField("keyword price", default=0, help_text="Of one keyword per month.")
    limit = models.PositiveIntegerField("keyword limit", default=0, help_text="Keywords at once; 0 = unlimited.")

    class Meta:
        verbose_name_plural = "keyword terms"
        constraints = [models.CheckConstraint(condition=models.Q(price__gte=0), name="keyword_price_not_negative")]

    def __str__(self) -> str:
        return "keywords on" if self.is_enabled else "keywords off"


class Keyword(InboundActions):
    """The first word of an inbound message to a number, and what it triggers."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    class OptOutBehaviour(models.TextChoices):
        NONE = "none", "Leaves opt-outs as they are"
        OPT_OUT = "opt_out", "Opts the sender out of all messages"
        OPT_IN = "opt_in", "Opts the sender in again"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="keywords")
    number = models.ForeignKey(VirtualNumber, models.PROTECT, related_name="keywords")
    word = models.CharField(max_length=40, help_text="As people read it.")
    status = models.CharField(max_length=6, choices=Status.choices, default=Status.OPEN)
    starts_on = models.DateField(null=True, blank=True, help_text="In the account's time zone; empty = at once.")
    ends_on = models.DateField(null=True, blank=True, help_text="The last day; empty = no end.")
    opt_out_behaviour = models.CharField(max_length=7, choices=OptOutBehaviour.choices, default=OptOutBehaviour.NONE)
    subscription = models.OneToOneField(Subscription, models.PROTECT, related_name="keyword")
    created_at = models.DateTimeField(default=timezone.now)
    # The word is free for others again.
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["account", "-id"], name="keyword_newest")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_on=None)
                | models.Q(starts_on=None)
                | models.Q(ends_on__gte=models.F("starts_on")),
                name="keyword_ends_after_its_start",
            )
        ]

    def __str__(self) -> str:
        return self.word


class KeywordName(models.Model):
    """A word or alias that leads to a keyword, as it is compared: no case, no accents. Gone once the keyword ended."""

    keyword = models.ForeignKey(Keyword, models.CASCADE, related_name="names")
    number = models.ForeignKey(VirtualNumber, models.PROTECT, related_name="+")
    name = models.CharField(max_length=40, help_text="As people read it.")
    normal = models.CharField(max_length=80, help_text="As it is compared (keywords/words.py).")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["number", "normal"], name="one_keyword_a_word")]

    def __str__(self) -> str:
        return self.name


class ReservedWord(models.Model):
    """A word that staff reserved beside those of keywords/reserved.py: no keyword can have it."""

    class Meaning(models.TextChoices):
        OPT_OUT = "opt_out", "Stops messages"
        OPT_IN = "opt_in", "Starts them again"
        HELP = "help", "Asks for help"

    country = models.CharField(
        max_length=2, blank=True, help_text="On numbers of this country (ISO 3166); empty = everywhere."
    )
    word = models.CharField(max_length=40, help_text="As people read it.")
    normal = models.CharField(max_length=80, editable=False, help_text="As it is compared (keywords/words.py).")
    meaning = models.CharField(max_length=7, choices=Meaning.choices, default=Meaning.OPT_OUT)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["country", "normal"], name="one_meaning_a_reserved_word")]

    def __str__(self) -> str:
        return self.word
