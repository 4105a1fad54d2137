"""What the form of a client and the defaults for new ones have in common: places, payer, amounts, keywords."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings

from accounts.countries import country_choices
from accounts.models import Account
from accounts.widgets import LongSelect
from billing.gateways.money import charge_step
from billing.models import BillingTerms
from billing.wording import money_text
from clients.fields import AmountField
from clients.localisation import zone_groups
from clients.losses import CONFIRMATION, LARGEST_MARGIN
from clients.payers import METHODS_OF, Payer, methods_offered, payer_of

Method = BillingTerms.Method
LOWEST_TOPUP, HIGHEST_TOPUP = "1.00", "999999.99"
HIGHEST_MONTHLY = "10000.00"
TOPUP_FIELDS = ("fixed_topup", "minimum_topup", "daily_topup_limit")
MONEY_FIELDS = (
    *TOPUP_FIELDS, "sms_margin", "number_margin", "keyword_price", "display_margin", "trial_credit",
    "notification_limit", "notification_credits", "notification_email", CONFIRMATION,
)  # fmt: skip
YES_NO = [("no", "No"), ("yes", "Yes")]
REQUIRED_TEXT = "Fill this in; it cannot stay empty."
REQUIRED_CHOICE = "Choose one of the list."


def _topup(label: str, help_text: str) -> AmountField:
    return AmountField(label=label, help_text=help_text, least=LOWEST_TOPUP, most=HIGHEST_TOPUP, required=False)


class TermsForm(forms.Form):
    """What ADD CLIENT and the defaults for new clients have in common. Takes ``account``: the parent."""

    country = forms.ChoiceField(
        label="Client Country",
        help_text="Numbers without a country code are read as numbers of this country.",
        widget=LongSelect,
    )
    time_zone = forms.ChoiceField(
        label="Client Time Zone",
        help_text="All times that the client sees are in this zone. The country's own zones come first.",
        widget=LongSelect,
    )
    payer = forms.ChoiceField(label="Who Pays", help_text="Whose wallet the client's messages are charged to.")
    method = forms.ChoiceField(label="Payment Method")
    fixed_topup = _topup("Fixed Top Up Amount", "Fixed Amount only: the one amount that the client can add at a time.")
    daily_topup_limit = _topup(
        "Daily Top Up Limit",
        "The most that the client can add within 24 hours, and the largest amount in its list. "
        "With a fixed amount you may leave it empty: no limit.",
    )
    minimum_topup = _topup("Minimum Top Up Limit", "Variable Amounts only: the smallest amount in the client's list.")
    sms_margin = AmountField(
        label="SMS Margin",
        help_text="Added to your own price of each message part. The client sees and pays the sum; "
        "you earn the margin on each part.",
        least="0", most=LARGEST_MARGIN, required=False,
    )  # fmt: skip
    number_margin = AmountField(
        label="Number Margin",
        help_text="Added to a number's monthly base price: 19.00 with a margin of 5.00 costs the client 24.00, "
        "and 5.00 are yours each time it is paid.",
        least="0", most=HIGHEST_MONTHLY, required=False,
    )  # fmt: skip
    keywords = forms.ChoiceField(
        label="Keywords",
        choices=[("no", "NO"), ("yes", "YES")],
        help_text="Lets the client run keywords. It needs a virtual number for them, its own or one from you.",
    )
    keyword_price = AmountField(
        label="Keyword Price",
        help_text="What the client pays for one keyword a month.",
        least="0", most=HIGHEST_MONTHLY, required=False,
    )  # fmt: skip
    keyword_limit = forms.IntegerField(
        label="Keyword Limit",
        help_text="How many keywords the client can have at once; 0 = as many as it likes.",
        min_value=0,
        max_value=100_000,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={
            "invalid": "Enter a whole number, such as 5; 0 = unlimited.",
            "min_value": "Enter 0 (unlimited) or a whole number above it.",
            "max_value": "Enter 100,000 or less; 0 = unlimited.",
        },
    )

    def __init__(
        self, *args: Any, account: Account, sees_money: bool = True, in_use_zone: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        self._offer(sees_money)
        self._set_places(in_use_zone)
        if "keyword_price" in self.fields:
            share = f"{settings.KEYWORD_PLATFORM_SHARE * 100:.0f} %"
            self.fields["keyword_price"].help_text += f" {share} of it is the platform's, the rest is yours."
        for name, field in self.fields.items():
            if isinstance(field, AmountField):
                field.currency = account.currency
                field.step = charge_step(account.currency) if name in TOPUP_FIELDS else field.step
            chosen = isinstance(field, forms.ChoiceField)
            field.error_messages["required"] = REQUIRED_CHOICE if chosen else REQUIRED_TEXT

    def _offer(self, sees_money: bool) -> None:
        """Payers and methods that the parent may choose; a parent without prices of its own sets none."""
        offered = methods_offered(sees_money)
        self._choose("payer", [(payer.value, payer.label) for payer in offered])
        self._choose(
            "method", [(payer.label, [(m.value, m.label) for m in methods]) for payer, methods in offered.items()]
        )
        if not sees_money:
            for name in set(MONEY_FIELDS) & set(self.fields):
                del self.fields[name]

    def _set_places(self, in_use_zone: str) -> None:
        self._choose("country", [("", "Choose a country"), *country_choices()])
        self._choose("time_zone", [("", "Choose a time zone"), *zone_groups(self.chosen_country, in_use_zone)])

    def _choose(self, name: str, choices: list[Any]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    @property
    def chosen_country(self) -> str:
        """The country that the form shows now: as typed, else as it started."""
        return str(self["country"].value() or "")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        payer, method = data.get("payer"), data.get("method")
        if payer and method and payer != payer_of(method):
            fitting = " or ".join(f"“{one.label}”" for one in METHODS_OF[Payer(payer)])
            self.add_error(
                "method",
                f"“{Method(method).label}” does not belong to “{Payer(payer).label}”; "
                f"choose {fitting}, or change who pays.",
            )
        elif method:
            self._check_terms(method)
        return self.cleaned_data

    def _check_terms(self, method: str) -> None:
        """Hook: amounts and whatever else the chosen method needs."""
        self._check_order("minimum_topup")
        self._check_order("fixed_topup")

    def _check_order(self, name: str) -> None:
        """An amount within the daily limit, where both are given."""
        amount, daily = self.cleaned_data.get(name), self.cleaned_data.get("daily_topup_limit")
        if amount is not None and daily is not None and amount > daily:
            currency = self.account.currency
            self.add_error(
                name,
                f"{money_text(amount, currency)} is more than the daily top up limit of "
                f"{money_text(daily, currency)}; lower this amount or raise the limit.",
            )

    def _amount(self, name: str) -> Decimal:
        """A cleaned amount; 0 where the field is empty or not offered."""
        return self.cleaned_data.get(name) or Decimal(0)
