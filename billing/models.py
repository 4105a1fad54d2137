"""Terms, prices, top-ups and the ledger. Only billing/services/ledger.py writes the ledger's tables (a test checks)."""

from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.utils import timezone

from accounts.codes import UuidV7
from accounts.models import Account, User
from billing.check_models import LedgerCheck as LedgerCheck
from billing.check_models import LedgerMark as LedgerMark

# The ledger's "currency" of SMS credits: 1 credit = 1 part. Counted by the same rules as money, never exchanged.
CREDITS = "SMS"


class MoneyField(models.DecimalField):
    """Exact money: 18 digits, 6 of them decimals (PRODUCT.md, money rule 8)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 18, 6
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs


# --- Prices ------------------------------------------------------------------------------------------------------


class RateCard(models.Model):
    """The platform's base prices in one currency."""

    name = models.CharField(max_length=60, unique=True)
    currency = models.CharField(max_length=3)
    is_default = models.BooleanField("default of its currency", default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["currency"], condition=models.Q(is_default=True), name="one_default_card_a_currency"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"


class Rate(models.Model):
    """Base price of one part to numbers that begin with ``prefix``; the longest prefix wins."""

    rate_card = models.ForeignKey(RateCard, models.CASCADE, related_name="rates")
    prefix = models.CharField(max_length=15, help_text="Digits without +, such as 61 or 6149157.")
    country = models.CharField(max_length=2, blank=True)
    label = models.CharField(max_length=60, blank=True, help_text="Network or region, for people.")
    price = MoneyField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rate_card", "prefix"], name="one_rate_a_prefix"),
            models.CheckConstraint(condition=models.Q(prefix__regex=r"^\d{1,15}$"), name="rate_prefix_digits"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="rate_not_negative"),
        ]

    def __str__(self) -> str:
        return f"+{self.prefix}"


class RateOverride(models.Model):
    """A direct client's own base price for a prefix; goes before its rate card's."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="rate_overrides")
    prefix = models.CharField(max_length=15)
    price = MoneyField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "prefix"], name="one_override_a_prefix"),
            models.CheckConstraint(condition=models.Q(prefix__regex=r"^\d{1,15}$"), name="override_prefix_digits"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="override_not_negative"),
        ]

    def __str__(self) -> str:
        return f"+{self.prefix}"


class Quote(models.Model):
    """A price in force for an account and prefix, with every level above; immutable, shared by messages."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", help_text="Who sends.")
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    prefix = models.CharField(max_length=15)
    country = models.CharField(max_length=2, blank=True)
    # [[account id, unit price as text], …] from the platform's direct child down to the payer.
    chain: Any = models.JSONField()
    unit_price = MoneyField(help_text="The payer's price of one part.")
    # What a parent who pays bills its client: own price + the SMS margin of its Settings (PRODUCT.md, money rule 3).
    display_price = MoneyField(null=True)
    fingerprint = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"+{self.prefix} {self.unit_price} {self.currency}"


class CountryMargin(models.Model):
    """What the parent adds for one country instead of the account's general SMS margin."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="country_margins")
    country = models.CharField(max_length=2)
    sms_margin = MoneyField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "country"], name="one_margin_a_country"),
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.sms_margin}"


class BillingTerms(models.Model):
    """Who pays for an account, how, and at which margin (seed 1, step 4)."""

    class Method(models.TextChoices):
        BILL_TO_PARENT = "bill_to_parent", "Bill Client Activity to My Account"
        SMS_CREDITS = "sms_credits", "I will transfer SMS credits"
        CARD_FIXED = "card_fixed", "Credit Card - Fixed Amount"
        CARD_VARIABLE = "card_variable", "Credit Card - Variable Amounts"
        INVOICE = "invoice", "Invoice"

    PARENT_PAYS = (Method.BILL_TO_PARENT, Method.SMS_CREDITS)
    CARD_METHODS = (Method.CARD_FIXED, Method.CARD_VARIABLE)

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="billing_terms")
    method = models.CharField(max_length=16, choices=Method.choices)
    fixed_topup = MoneyField(null=True, blank=True, help_text="The one amount of the fixed card method.")
    minimum_topup = MoneyField(null=True, blank=True)
    daily_topup_limit = MoneyField(null=True, blank=True, help_text="Total of top-ups in any rolling 24 hours.")
    sms_margin = MoneyField(default=0, help_text="What the parent adds to its own price, per part.")
    display_margin = MoneyField(
        default=0, help_text="The account's own Settings: added to its price where it pays for a client."
    )
    rate_card = models.ForeignKey(RateCard, models.PROTECT, null=True, blank=True, help_text="Direct clients only.")
    trial_ends_on = models.DateField(
        null=True, blank=True, help_text="The last day of the trial, in the account's time zone."
    )
    trial_credit = MoneyField(default=0, help_text="What the parent gave for the trial, in all.")
    trial_closed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the account became live: nothing of the trial counts."
    )

    class Meta:
        verbose_name_plural = "billing terms"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(method="card_fixed") | models.Q(fixed_topup__isnull=False, fixed_topup__gt=0),
                name="terms_fixed_amount",
                violation_error_message="A fixed amount has to be above zero.",
            ),
            # A comparison with nothing is neither true nor false, and a check that is not false passes.
            models.CheckConstraint(
                condition=~models.Q(method="card_variable")
                | models.Q(minimum_topup__isnull=False, daily_topup_limit__isnull=False)
                & models.Q(minimum_topup__gt=0, daily_topup_limit__gte=models.F("minimum_topup")),
                name="terms_variable_amounts",
                violation_error_message="Variable amounts need a minimum above zero and a daily limit not below it.",
            ),
            models.CheckConstraint(
                condition=~models.Q(method="card_fixed")
                | models.Q(daily_topup_limit__isnull=True)
                | models.Q(daily_topup_limit__gte=models.F("fixed_topup")),
                name="terms_fixed_within_daily",
                violation_error_message="The fixed amount is above the daily limit; lower it, or raise the limit.",
            ),
        ]

    def __str__(self) -> str:
        return self.get_method_display()

    @property
    def shows_money(self) -> bool:
        """Whether the account may see prices and balances: not where its parent pays (PRODUCT.md, money rule 3)."""
        return self.method not in self.PARENT_PAYS

    @property
    def pays_by_card(self) -> bool:
        return self.method in self.CARD_METHODS

    @property
    def on_trial(self) -> bool:
        """Whether a trial runs or has run out, with nothing paid yet; where the parent pays there is none."""
        return self.trial_ends_on is not None and self.trial_closed_at is None and self.shows_money


# --- Ledger ------------------------------------------------------------------------------------------------------


class LedgerAccount(models.Model):
    """One account of the double-entry ledger. ``balance`` is moved by the entries' trigger only."""

    class Kind(models.TextChoices):
        WALLET = "wallet", "Wallet"
        HELD = "held", "Held for messages"
        SUBSIDY = "subsidy", "Held for margins below zero"
        REVENUE = "revenue", "Platform revenue"
        CARD = "card", "Card payments received"
        MANUAL = "manual", "Manual payments and corrections"
        ISSUED = "issued", "SMS credits issued"

    owner = models.ForeignKey(Account, models.PROTECT, related_name="ledger_accounts")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    currency = models.CharField(max_length=3)
    balance = MoneyField(default=0)
    # Below zero as far as credit is granted; 0 = prepaid.
    credit_limit = MoneyField(default=0)
    overdraft_limit = MoneyField(default=0, help_text="Temporary credit, on top of the credit limit.")
    # How far a reversal (refund, dispute, credits taken back) went below the floor; shrinks as the debt is covered.
    debt_allowance = MoneyField(default=0, editable=False)
    is_frozen = models.BooleanField(default=False, help_text="A disputed payment: nothing can be spent.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["owner"], condition=models.Q(is_frozen=True), name="frozen_wallets")]
        constraints = [
            models.UniqueConstraint(fields=["owner", "kind", "currency"], name="one_ledger_account_a_kind"),
            # In the database both checks are written in fewer words (migration 0020), as they are prepared at every
            # movement: who changes one here writes its migration likewise.
            models.CheckConstraint(
                condition=~models.Q(kind__in=["wallet", "held", "subsidy"])
                | models.Q(
                    balance__gte=-models.F("credit_limit") - models.F("overdraft_limit") - models.F("debt_allowance")
                ),
                name="wallet_floor",
            ),
            models.CheckConstraint(
                condition=models.Q(credit_limit__gte=0, overdraft_limit__gte=0, debt_allowance__gte=0),
                name="credit_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.currency}"


class LedgerTransaction(models.Model):
    """A movement of money: two or more entries that sum to zero."""

    class Kind(models.TextChoices):
        TOPUP = "topup", "Top-up"
        HOLD = "hold", "Messages accepted"
        CAPTURE = "capture", "Messages sent"
        RELEASE = "release", "Messages not sent"
        MANUAL = "manual", "Manual payment or correction"
        POSTPAID = "postpaid", "Monthly postpaid top-up"
        TRIAL = "trial", "Trial credit"
        CREDITS = "credits", "SMS credits transferred"
        TAKEBACK = "takeback", "SMS credits taken back"
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Disputed payment"
        DISPUTE_WON = "dispute_won", "Dispute won"
        NUMBER = "number", "Number rental"
        KEYWORD = "keyword", "Keyword"

    # What stands in URLs and on statements: the database's own key would tell how much the portal moves.
    public_id = models.UUIDField(unique=True, db_default=UuidV7(), editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    idempotency_key = models.CharField(max_length=120, unique=True)
    currency = models.CharField(max_length=3)
    reference = models.CharField(max_length=40, blank=True, help_text="Public code of the top-up or batch.")
    description = models.CharField(max_length=200, blank=True)
    quantity = models.PositiveIntegerField(null=True, blank=True, help_text="Messages that it covers.")
    # Looked up when it is committed, without locking the account's row (migration 0021); accounts are never deleted.
    about = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False,
        help_text="Whose activity it is.",
    )  # fmt: skip
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        indexes = [
            models.Index(fields=["created_at"]),
            models.Index(fields=["reference"]),
            # A statement's few payments among millions of lines, and a parent's margins of its clients.
            models.Index(
                fields=["about", "id"],
                condition=~models.Q(kind__in=["hold", "capture", "release"]),
                name="movement_of_payment",
            ),
            models.Index(fields=["about", "created_at"], condition=models.Q(kind="capture"), name="movement_capture"),
            models.Index(fields=["actor"], condition=models.Q(actor__isnull=False), name="movement_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class LedgerEntry(models.Model):
    """One side of a movement; ``balance_after`` is set by the trigger under the ledger account's row lock."""

    # The entries' trigger proves that both exist, and neither is ever deleted: constraints would do it once more. It
    # refuses an entry of nothing as well.
    transaction = models.ForeignKey(LedgerTransaction, models.PROTECT, related_name="entries", db_constraint=False)
    ledger_account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    amount = MoneyField()
    balance_after = MoneyField(db_default=0)

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["ledger_account", "id"], name="entry_of_an_account")]

    def __str__(self) -> str:
        return f"{self.amount}"


class Hold(models.Model):
    """What a batch set aside in one wallet, and what became of it. Open = amount − captured − released.

    Beside the payer's there is one for each account above it whose margin is below zero: the subsidy that it owes.
    """

    batch_id = models.UUIDField()
    # Holds are looked for by their batch only: an index more is an entry more for each. What they refer to is checked
    # by a trigger (migration 0023), and is never deleted.
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False, help_text="Who sends."
    )
    payer = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False,
        help_text="Whose wallet it is in.",
    )  # fmt: skip
    movement = models.ForeignKey(
        LedgerTransaction, models.PROTECT, related_name="+", db_index=False, db_constraint=False, null=True,
        help_text="What set it aside, for several batches where they were accepted together; empty = costs nothing.",
    )  # fmt: skip
    currency = models.CharField(max_length=3)
    amount = MoneyField()
    is_subsidy = models.BooleanField("margin below zero", default=False)
    captured = MoneyField(default=0)
    released = MoneyField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch_id", "payer"], name="one_hold_a_batch_and_wallet"),
            # In fewer words in the database (migration 0021), as those of ledger accounts.
            models.CheckConstraint(
                condition=models.Q(captured__gte=0)
                & models.Q(released__gte=0)
                & models.Q(amount__gte=models.F("captured") + models.F("released")),
                name="hold_not_overspent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class CreditLot(models.Model):
    """SMS credits that a parent transferred at one price. What is left of it follows from what the account used:
    the oldest lot is used first (billing/services/credits.py)."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="credit_lots", help_text="Who may send with it.")
    payer = models.ForeignKey(Account, models.PROTECT, related_name="+", help_text="Whose wallet paid for it.")
    quantity = models.PositiveIntegerField(help_text="Credits transferred; 1 credit = 1 part.")
    taken_back = models.PositiveIntegerField(default=0)
    currency = models.CharField(max_length=3)
    unit_price = MoneyField(help_text="What the payer paid for one credit.")
    # As Quote.chain, down to the payer: taking back gives each level what it earned or paid.
    chain: Any = models.JSONField()
    transaction = models.OneToOneField(LedgerTransaction, models.PROTECT, related_name="credit_lot")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantity__gt=0, taken_back__lte=models.F("quantity")), name="lot_not_overdrawn"
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} credits"


# Tables of their own modules; they need what stands above.
from billing.card_models import AutoRecharge, CardCustomer, Dispute, Refund, SavedCard  # noqa: E402, F401
from billing.invoice_models import InvoiceTerms as InvoiceTerms  # noqa: E402
from billing.notice_models import NoticeTerms as NoticeTerms  # noqa: E402
from billing.subscription_models import Subscription as Subscription  # noqa: E402
from billing.topup_models import PaymentEvent, TopUp  # noqa: E402, F401
