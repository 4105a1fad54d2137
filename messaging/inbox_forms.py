"""What people type in the inbox."""

import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import User
from messaging.exceptions import SendingError
from messaging.inbox import Show
from messaging.services.conversations import ReplyTerms
from messaging.services.planning import check_text


class InboxFilterForm(forms.Form):
    """What the list of conversations is narrowed to; what makes no sense narrows nothing."""

    show = forms.ChoiceField(choices=Show.CHOICES, required=False, widget=forms.HiddenInput)
    search = forms.CharField(
        label="Search",
        required=False,
        max_length=100,
        widget=forms.TextInput(
            {"type": "search", "class": "form-control", "placeholder": "Number, name or text", "autocomplete": "off"}
        ),
    )

    def value(self, name: str) -> str:
        """A field's cleaned value, "" when it is missing or wrong."""
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")


class ReplyForm(forms.Form):
    """A reply, with a key that sends it once and the price of a part that the person saw (absent: they saw none)."""

    text = forms.CharField(
        label="Reply",
        strip=False,
        widget=forms.Textarea({"rows": 3, "class": "form-control", "aria-describedby": "text-counter"}),
        error_messages={"required": "Enter the text of the message."},
    )
    key = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)
    unit_price = forms.DecimalField(required=False, max_digits=18, decimal_places=6, widget=forms.HiddenInput)

    @classmethod
    def empty(cls, terms: ReplyTerms) -> "ReplyForm":
        """A form to write in, at the price of now."""
        return cls(initial={"key": uuid.uuid4().hex, "unit_price": _price(terms)})

    def take_price(self, terms: ReplyTerms) -> None:
        """Show what was typed at the price of now, so that sending it again agrees to that."""
        self.data = {name: self.data[name] for name in self.data} | {"unit_price": _price(terms)}

    def clean_text(self) -> str:
        try:
            return check_text(self.cleaned_data["text"])
        except SendingError as error:
            raise ValidationError(str(error)) from error


def _price(terms: ReplyTerms) -> str:
    return "" if terms.unit_price is None else f"{terms.unit_price:.6f}"


class AssignForm(forms.Form):
    """Who takes the conversation on. Takes the ``users`` that may be chosen; empty = nobody."""

    user = forms.ChoiceField(
        label="Assigned to",
        required=False,
        widget=forms.Select({"class": "form-select form-select-sm"}),
        error_messages={"invalid_choice": "This person does not belong to the account any more; choose another."},
    )

    def __init__(self, *args: Any, users: list[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._users = {user.username: user for user in users}
        field: Any = self.fields["user"]
        field.choices = [("", "Nobody"), *((login, str(user)) for login, user in self._users.items())]

    def chosen(self) -> User | None:
        """The chosen person, after ``is_valid``."""
        return self._users.get(self.cleaned_data["user"])
