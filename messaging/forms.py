"""Sending, and what lists and reports are narrowed to."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import phonenumbers
from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Account
from billing.days import DayField
from billing.statements import Period
from contacts import merge
from contacts.models import ContactList
from contacts.selectors import field_names, lists_of
from messaging.exceptions import SendingError
from messaging.models import Message
from messaging.periods import DEFAULT_DAYS, LONGEST_DAYS, last_days
from messaging.preparation_models import TYPED
from messaging.schedule_forms import ScheduleForm
from messaging.selectors import GROUPS, Sight
from messaging.services.planning import Sending, check_sender, check_text, typed_sending
from messaging.services.preparing import LARGE, Confirmed, Typed
from messaging.widgets import PlainSelect

# Characters that a pasted number takes, with what separates it from the next, at least.
SHORTEST_ENTRY = 11


class SendForm(ScheduleForm):
    """What is sent, from whom, to whom and when. Takes the sending ``account``, whose country reads local numbers."""

    # As on the page, so that the list of errors leads from top to bottom.
    field_order = ("recipients", "lists", "sender", "text", "when", "send_at", "valid_for")

    recipients = forms.CharField(
        label="Recipients",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off", "inputmode": "tel"}),
    )
    lists = forms.ModelMultipleChoiceField(
        ContactList.objects.none(),
        label="Lists",
        required=False,
        to_field_name="code",
        widget=forms.CheckboxSelectMultiple({"class": "form-check-input"}),
        error_messages={"invalid_choice": "One of the lists is gone; choose among those that are left."},
    )
    sender = forms.CharField(
        label="Sender",
        widget=forms.TextInput(attrs={"list": "recent-senders", "autocomplete": "off", "spellcheck": "false"}),
        help_text="What the recipient sees: a number, or a name of up to 11 letters and digits.",
        error_messages={"required": "Enter a sender: a number, or a name of up to 11 characters."},
    )
    text = forms.CharField(
        label="Text",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "aria-describedby": "text-counter"}),
        error_messages={"required": "Enter the text of the message."},
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, account=account, **kwargs)
        lists: Any = self.fields["lists"]
        lists.queryset = lists_of(account)
        lists.label_from_instance = lambda one: f"{one.name} ({one.size:,})"

    def clean_sender(self) -> str:
        try:
            return check_sender(self.cleaned_data["sender"], self.account.country)
        except SendingError as error:
            raise ValidationError(str(error)) from error

    def clean_text(self) -> str:
        try:
            text = check_text(self.cleaned_data["text"], merges=True)
        except SendingError as error:
            raise ValidationError(str(error)) from error
        known = [*merge.STANDARD, *field_names(self.account)]
        unknown = [name for name in merge.names_in(text) if name not in known]
        if unknown:
            fields = ", ".join(f"{{{name}}}" for name in known)
            raise ValidationError(
                f"{{{unknown[0]}}} is no merge field of your contacts; there are {fields}."
                " To send braces as they are, put a space after the first."
            )
        return text

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        has_numbers = any(character.isalnum() for character in cleaned.get("recipients", ""))
        if not has_numbers and not cleaned.get("lists") and "lists" not in self.errors:
            self.add_error("recipients", "Enter at least one recipient, or choose a list.")
        return cleaned

    def sending(self) -> Sending:
        """What plan_batch and accept_batch take of it, after ``is_valid``; the recipients as typed, one by one."""
        values = self.cleaned_data
        return typed_sending(
            self.account, sender=values["sender"], text=values["text"], recipients=values["recipients"],
            lists=list(values["lists"]),
        )  # fmt: skip

    @property
    def is_large(self) -> bool:
        """After ``is_valid``: whether these may be so many recipients that somebody would wait for them."""
        members = sum(one.size for one in self.cleaned_data["lists"])
        return bool(members + len(self.cleaned_data["recipients"]) // SHORTEST_ENTRY > LARGE)

    def typed(self) -> Typed:
        """Everything as it was typed."""
        data: Any = self.data  # a QueryDict
        return Typed(data["recipients"], data.getlist("lists"), {name: data[name] for name in TYPED if name in data})

    def confirmed(self, expected_price: Decimal | None) -> Confirmed:
        """After ``is_valid``: what is sent when a person confirmed the preview, which named ``expected_price``."""
        values = self.cleaned_data
        return Confirmed(values["sender"], values["text"], expected_price, **self.times())

    def refuse(self, error: SendingError, field: str = "") -> None:
        """Show why sending was refused at the field that it is about."""
        self.add_error(field or error.field or None, str(error))


class PriceForm(forms.Form):
    """The price that the preview showed."""

    # Absent where the account sees no money: its preview named no price.
    price = forms.DecimalField(required=False, max_digits=18, decimal_places=6, widget=forms.HiddenInput)

    def expected_price(self) -> Decimal | None:
        """The price shown, after ``is_valid``."""
        return self.cleaned_data["price"]


class ConfirmationForm(PriceForm):
    """What a preview adds to the form that it carries: the price, and a key that makes the sending happen once."""

    key = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)


def _day_input() -> forms.DateInput:
    return forms.DateInput({"type": "date", "class": "form-control"}, "%Y-%m-%d")


class PeriodForm(forms.Form):
    """Days in the account's zone, both included; the last 30 when nothing is chosen."""

    first = DayField(label="From", required=False, widget=_day_input())
    last = DayField(label="To", required=False, widget=_day_input())

    def __init__(self, data: Any, *, fills_period: bool = True, **kwargs: Any) -> None:
        """``data``: the query. ``fills_period``: show the last 30 days in From and To where the query has neither."""
        if fills_period and not data.get("first") and not data.get("last"):
            period = last_days(timezone.localdate())
            data = data.copy()
            data["first"], data["last"] = period.first.isoformat(), period.last.isoformat()
        super().__init__(data, **kwargs)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "first" in self.errors or "last" in self.errors:
            return cleaned
        last: date = cleaned.get("last") or max(timezone.localdate(), cleaned.get("first") or timezone.localdate())
        first: date = cleaned.get("first") or last - timedelta(days=DEFAULT_DAYS - 1)
        if first > last:
            raise ValidationError({"first": f"From ({first}) is after To ({last}); choose an earlier day."})
        if (last - first).days >= LONGEST_DAYS:
            raise ValidationError(
                {"first": f"The period has {(last - first).days + 1} days; choose at most {LONGEST_DAYS}."}
            )
        return cleaned | {"first": first, "last": last}

    def period(self) -> Period:
        """The chosen period; the last 30 days when the form has errors."""
        if self.is_valid():
            return Period(self.cleaned_data["first"], self.cleaned_data["last"])
        return last_days(timezone.localdate())

    def value(self, name: str) -> Any:
        """A field's cleaned value, "" when it is missing or wrong."""
        self.is_valid()
        return self.cleaned_data.get(name) or ""


class ClientPeriodForm(PeriodForm):
    """A period and, for an account with clients, whose messages. Takes a ``sight``."""

    client = forms.ChoiceField(label="Client", required=False, widget=PlainSelect({"class": "form-select"}))

    def __init__(self, data: Any, *, sight: Sight, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.sight = sight
        if not sight.clients:
            del self.fields["client"]
            return
        own = (sight.viewer.code, f"{sight.viewer.name} (own)")
        field: Any = self.fields["client"]
        field.choices = [("", "All"), own, *((client.code, client.name) for client in sight.clients)]
        field.error_messages["invalid_choice"] = "There is no such client; choose one of the list."

    def accounts(self) -> list[Account]:
        """The accounts that the choice covers; none while something is wrong, so that no other figures are shown."""
        if not self.is_valid():
            return []
        return self.sight.accounts(self.value("client"))


class MessageFilterForm(ClientPeriodForm):
    """What the list of messages is narrowed to."""

    state = forms.ChoiceField(label="State", required=False, widget=PlainSelect({"class": "form-select"}))
    recipient = forms.CharField(
        label="Recipient",
        required=False,
        max_length=40,
        widget=forms.TextInput({"inputmode": "tel", "class": "form-control"}),
    )

    field_order = ("recipient", "state", "client", "first", "last")

    def __init__(self, data: Any, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        field: Any = self.fields["state"]
        exact = [(state.value, state.label) for state in Message.State]
        groups = [(f"all-{name}", label) for name, (label, _, states) in GROUPS.items() if len(states) > 1]
        field.choices = [("", "All"), ("Groups", groups), ("Exactly", exact)]

    def clean_recipient(self) -> str:
        typed = self.cleaned_data["recipient"].strip()
        if not typed:
            return ""
        try:
            number = phonenumbers.parse(typed, self.sight.viewer.country or None)
        except phonenumbers.NumberParseException as error:
            raise ValidationError(
                f"{typed} is no telephone number; write it in local form, or with + and the country code."
            ) from error
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def states(self) -> tuple[str, ...]:
        """The states to show, () for all."""
        chosen: str = self.value("state")
        if chosen.startswith("all-"):
            return GROUPS[chosen.removeprefix("all-")][2]
        return (chosen,) if chosen else ()
