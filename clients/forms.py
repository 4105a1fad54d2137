"""Seed 1's form (ADD CLIENT and EDIT), the defaults it starts from, and the reason of a suspension."""

import datetime as dt
import zoneinfo
from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from accounts.models import Account, User
from accounts.services.users import login_taken
from billing.days import DayField
from billing.models import BillingTerms
from clients.allocation import AllocationField
from clients.fields import AmountField
from clients.localisation import mobile_hint, parse_mobile
from clients.losses import CONFIRMATION, LARGEST_MARGIN, MarginField, check_margin, confirmation_field
from clients.payers import FIELDS_OF, METHOD_FIELDS
from clients.selectors import may_change_login, owner_of
from clients.services.clients import ClientValues
from clients.terms_form import HIGHEST_TOPUP, TOPUP_FIELDS, YES_NO, TermsForm
from clients.wording import password_rules

Method = BillingTerms.Method


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
