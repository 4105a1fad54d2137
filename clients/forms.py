"""Seed 1's form (ADD CLIENT and EDIT), the defaults it starts from, and the reason of a suspension."""

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from accounts.countries import country_choices
from accounts.models import Account, User
from accounts.services.users import login_taken
from accounts.widgets import LongSelect
from billing.days import DayField
from billing.gateways.money import charge_step
from billing.models import BillingTerms
from billing.wording import money_text
from clients.allocation import AllocationField
from clients.fields import AmountField
from clients.localisation import mobile_hint, parse_mobile, zone_groups
from clients.losses import CONFIRMATION, LARGEST_MARGIN, MarginField, check_margin, confirmation_field
from clients.payers import FIELDS_OF, METHOD_FIELDS, METHODS_OF, Payer, methods_offered, payer_of
from clients.selectors import may_change_login, owner_of
from clients.services.clients import ClientValues
from clients.wording import password_rules

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


class ClientForm(TermsForm):
    """Seed 1, steps 2 to 7. Takes ``account``: the parent; ``client``: whom it changes, None to add one."""

    # As on the page, so that the list of errors leads from top to bottom.
    field_order = (
        "contact_name", "name", "mobile", "country", "time_zone", "email", "password", "payer", "method", "fixed_topup",
        "daily_topup_limit", "minimum_topup", "sms_margin", CONFIRMATION, "trial", "trial_ends_on", "trial_credit",
        "notification_limit", "notification_credits", "notification_email", "allocation", "number_margin",
        "keywords", "keyword_price", "keyword_limit", "welcome",
    )  # fmt: skip

    contact_name = forms.CharField(
        label="Client Contact Name", max_length=100, help_text="Full name of the person responsible for this account."
    )
    name = forms.CharField(label="Client Account Name", max_length=100, help_text="The company's or account's name.")
    mobile = forms.CharField(label="Client Mobile", max_length=40, widget=forms.TextInput(attrs={"inputmode": "tel"}))
    email = forms.EmailField(
        label="Client Contact Email", max_length=254, help_text="The client logs in with it; receipts go there, too."
    )
    password = forms.CharField(
        label="Client Password",
        strip=False,
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    sms_margin = MarginField(
        label="SMS Margin",
        help_text="Added to your own price of each message part. The client sees and pays the sum; "
        "you earn the margin on each part. Below zero you pay that much of each part yourself.",
        required=False,
    )
    accept_loss = confirmation_field()
    trial = forms.ChoiceField(
        label="Trial Period", choices=YES_NO, required=False, help_text="Let the client try the portal until a date."
    )
    trial_ends_on = DayField(
        label="Trial Expiry Date",
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="The last day of the trial, in the client's time zone. Afterwards the client must ADD CREDIT.",
        error_messages={"invalid": "Enter a date, such as 2027-01-31."},
    )
    trial_credit = AmountField(
        label="Trial Credit",
        help_text="Given out of your own wallet at once; empty or 0.00 = none. It is the total: to give more later, "
        "enter a larger one. What is left when the trial ends can be used again once the client is live.",
        least="0", most=HIGHEST_TOPUP, required=False,
    )  # fmt: skip
    notification_limit = AmountField(
        label="Notification Limit",
        help_text="The client is mailed once each time that less than this is left, and you with it "
        "(SETTINGS, Notices); empty = no mail.",
        least="0.01", most=HIGHEST_TOPUP, required=False,
    )  # fmt: skip
    notification_credits = forms.IntegerField(
        label="Notification Limit in Credits",
        help_text="The client is mailed once each time that fewer credits than this are left, and you with it "
        "(SETTINGS, Notices); empty = no mail.",
        min_value=1,
        max_value=100_000_000,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={
            "invalid": "Enter a whole number of credits, such as 100; empty = no mail.",
            "min_value": "Enter 1 or more credits; empty = no mail.",
        },
    )
    notification_email = forms.EmailField(
        label="Notification Email", max_length=254, required=False, help_text="Empty = the contact email above."
    )
    allocation = AllocationField()
    welcome = forms.BooleanField(
        label="Send the client an e-mail with the address and name to log in with",
        required=False,
        initial=True,
        help_text="It never contains the password; tell it to the client yourself.",
    )

    def __init__(self, *args: Any, client: Account | None = None, **kwargs: Any) -> None:
        self.client = client
        self.user = owner_of(client) if client else None
        super().__init__(*args, in_use_zone=client.time_zone if client else "", **kwargs)
        self.fields["mobile"].help_text = f"For example {mobile_hint(self.chosen_country)}."
        self._set_password_words()
        self.fields["allocation"].offer(self.account, client)  # type: ignore[attr-defined]
        if client:
            del self.fields["welcome"]
        self.login_is_shared = bool(client and self.user and not may_change_login(self.user, client))
        if self.login_is_shared:
            self.fields["email"].disabled = self.fields["password"].disabled = True

    def _set_password_words(self) -> None:
        field = self.fields["password"]
        field.required = self.user is None
        subject = "It" if field.required else "Leave it empty to keep the password. A new one"
        field.help_text = f"{subject} needs {password_rules()}."

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].strip()
        if login_taken(email, but=self.user):
            raise ValidationError(f"{email} is already used by someone on this portal; enter another e-mail.")
        return email

    def clean(self) -> dict[str, Any]:
        super().clean()
        data = self.cleaned_data
        if data.get("mobile") and (data.get("country") or data["mobile"].startswith("+")):
            self._clean_mobile(data["mobile"], data.get("country", ""))
        if data.get("password"):
            self._check_password(data["password"])
        if data.get("keywords") == "yes" and "keyword_price" in self.fields and data.get("keyword_price") is None:
            self._ask_for("keyword_price", "Enter what a keyword costs a month; 0.00 = free.")
        return data

    def _clean_mobile(self, mobile: str, country: str) -> None:
        try:
            self.cleaned_data["mobile"] = parse_mobile(mobile, country)
        except ValidationError as error:
            self.add_error("mobile", error)

    def _check_password(self, password: str) -> None:
        data = self.cleaned_data
        person = User(email=data.get("email", ""), username=data.get("email", ""), name=data.get("contact_name", ""))
        try:
            password_validation.validate_password(password, person)
        except ValidationError as error:
            self.add_error("password", error)

    def _check_terms(self, method: str) -> None:
        """Forget what the method does not use, whatever was typed there; ask for what it needs."""
        for name in METHOD_FIELDS - FIELDS_OF[method]:
            self.errors.pop(name, None)
            self.cleaned_data[name] = None
        super()._check_terms(method)
        if method == Method.CARD_FIXED:
            self._ask_for("fixed_topup", "Enter the amount that the client adds at a time, such as 50.00.")
        if method == Method.CARD_VARIABLE:
            self._ask_for("minimum_topup", "Enter the smallest amount that the client can add, such as 10.00.")
            self._ask_for("daily_topup_limit", "Enter the most that the client can add in 24 hours, such as 100.00.")
        if "sms_margin" in FIELDS_OF[method]:
            self._ask_for("sms_margin", "Enter your margin on each message part; 0.00 = none.")
            self._check_margin()
            self._check_trial()

    def _ask_for(self, name: str, sentence: str) -> None:
        if name in self.fields and name not in self.errors and self.cleaned_data.get(name) is None:
            self.add_error(name, sentence)

    def _check_margin(self) -> None:
        data = self.cleaned_data
        try:
            check_margin(self.account, data.get("country", ""), self._amount("sms_margin"), data[CONFIRMATION])
        except ValidationError as error:
            self.add_error("sms_margin", error)

    def _check_trial(self) -> None:
        if self.cleaned_data.get("trial") != "yes":
            for name in ("trial_ends_on", "trial_credit"):
                self.errors.pop(name, None)
                self.cleaned_data[name] = None
            return
        self._ask_for("trial_ends_on", "Choose the last day of the trial, or set Trial Period to No.")
        ends, zone = self.cleaned_data.get("trial_ends_on"), self.cleaned_data.get("time_zone")
        if ends is None or zone is None or ends == self.initial.get("trial_ends_on"):
            return  # an expiry that has been reached may stand as it is
        today = dt.datetime.now(zoneinfo.ZoneInfo(zone)).date()
        if ends <= today:
            self.add_error(
                "trial_ends_on",
                f"{ends:%Y-%m-%d} is not in the future: today is {today:%Y-%m-%d} in {zone}; choose a later day.",
            )

    def values(self) -> ClientValues:
        """What was entered; only after ``is_valid()``."""
        data = self.cleaned_data
        texts = ("contact_name", "name", "mobile", "country", "time_zone", "email", "password", "method", "allocation")
        values: dict[str, Any] = {key: data[key] or "" for key in texts}
        values |= {key: data.get(key) for key in (*TOPUP_FIELDS, "trial_ends_on", "trial_credit")}
        values |= {key: data.get(key) for key in ("notification_limit", "notification_credits")}
        values |= {"notification_email": data.get("notification_email") or ""}
        values |= {key: self._amount(key) for key in ("sms_margin", "number_margin", "keyword_price")}
        values |= {"keywords_enabled": data["keywords"] == "yes", "keyword_limit": data.get("keyword_limit") or 0}
        return ClientValues(**values)


class DefaultsForm(TermsForm):
    """SETTINGS, Clients & margin. What stays empty is filled in when a client is added."""

    field_order = ("display_margin",)

    display_margin = AmountField(
        label="SMS Margin",
        help_text="Added to your own price of a part, this is your display price for clients whose activity is billed "
        "to your account: what your client activity report bills them.",
        least="0", most=LARGEST_MARGIN, required=False,
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("country", "time_zone"):
            self.fields[name].required = False
        if "sms_margin" in self.fields:
            self.fields["sms_margin"].label = "SMS Margin of new clients"

    def values(self) -> dict[str, Any]:
        """Arguments of update_defaults; only after ``is_valid()``."""
        data = self.cleaned_data
        return {
            **{key: data.get(key) for key in TOPUP_FIELDS},
            **{key: data.get(key) or "" for key in ("country", "time_zone", "method")},
            **{key: self._amount(key) for key in ("sms_margin", "number_margin", "keyword_price")},
            "keywords_enabled": data["keywords"] == "yes",
            "keyword_limit": data.get("keyword_limit") or 0,
            "display_margin": self._amount("display_margin") if "display_margin" in self.fields else None,
        }


class StatusForm(forms.Form):
    """Why a client is suspended or reactivated."""

    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=200,
        help_text="Kept in the client's history; the client does not see it.",
    )
