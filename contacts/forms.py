"""Lists, members, contacts and opt-outs as people type them."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import Account
from accounts.phones import NotMobile, read_mobile
from contacts import merge
from contacts.models import Contact
from contacts.pasting import MAX_LINES, Pasted, read_people
from contacts.services.lists import MAX_VALUE

_FIELD_LINE = re.compile(r"([a-z][a-z0-9_]{0,39})\s*[:=]\s*(.*)", re.IGNORECASE)
MAX_FIELDS = 30


class SearchForm(forms.Form):
    """What a list of people is narrowed to."""

    q = forms.CharField(
        label="Number or name", required=False, max_length=60, widget=forms.TextInput({"class": "form-control"})
    )

    def search(self) -> str:
        """What to look for; "" for all, and where it is too long to be a number or a name."""
        return " ".join(self.cleaned_data["q"].split()) if self.is_valid() else ""


class ListForm(forms.Form):
    """A list's name."""

    name = forms.CharField(
        label="Name",
        max_length=60,
        widget=forms.TextInput({"autocomplete": "off"}),
        error_messages={
            "required": "Enter a name for the list, such as Customers.",
            "max_length": "The name has %(show_value)d characters; at most %(limit_value)d are possible. Shorten it.",
        },
    )

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())


class PeopleForm(forms.Form):
    """Numbers, and names after them, as they were pasted. Takes the ``account``, whose country reads local numbers."""

    people = forms.CharField(
        label="Numbers",
        strip=False,
        widget=forms.Textarea({"rows": 10, "spellcheck": "false", "autocomplete": "off"}),
        error_messages={"required": "Enter at least one number."},
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account

    def clean_people(self) -> Pasted:
        found = read_people(self.cleaned_data["people"], self.account.country)
        if found.lines > MAX_LINES:
            raise ValidationError(
                f"There are {found.lines:,} lines; at most {MAX_LINES:,} can be added at once."
                " Add them in several turns."
            )
        if not found.people and not found.problems:
            raise ValidationError("Enter at least one number.")
        return found


class ContactForm(forms.Form):
    """A contact's name and its merge fields, one a line."""

    first_name = forms.CharField(label="First name", required=False, max_length=60)
    last_name = forms.CharField(label="Last name", required=False, max_length=60)
    fields_text = forms.CharField(
        label="Further fields",
        required=False,
        widget=forms.Textarea({"rows": 5, "spellcheck": "false"}),
        help_text="One a line, a name and a value: city: Sydney. In a text, {city} becomes Sydney.",
    )

    @classmethod
    def initial_of(cls, contact: Contact) -> dict[str, str]:
        """The form's values of a contact."""
        lines = "\n".join(f"{name}: {value}" for name, value in sorted(contact.fields.items()))
        return {"first_name": contact.first_name, "last_name": contact.last_name, "fields_text": lines}

    def clean_fields_text(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        problems: list[str] = []
        for number, line in enumerate(self.cleaned_data["fields_text"].splitlines(), 1):
            if not line.strip():
                continue
            problem = self._read_line(line.strip(), fields)
            if problem:
                problems.append(f"Line {number}: {problem}")
        if len(fields) > MAX_FIELDS:
            problems.append(f"There are {len(fields)} fields; a contact has at most {MAX_FIELDS}.")
        if problems:
            raise ValidationError([ValidationError(problem) for problem in problems])
        return fields

    def _read_line(self, line: str, fields: dict[str, str]) -> str:
        """Take one field in; returns what is wrong with the line, "" when nothing is."""
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            return f"“{line[:40]}” is no name and value; write it as city: Sydney."
        name, value = match[1].lower(), match[2].strip()
        if name in merge.STANDARD:
            return f"{name} is a field that every contact has; choose another name."
        if name in fields:
            return f"{name} stands there twice; keep one of them."
        if len(value) > MAX_VALUE:
            return f"The value of {name} has {len(value)} characters; at most {MAX_VALUE} are possible."
        fields[name] = value
        return ""


class OptOutForm(forms.Form):
    """A number that must not be sent to any more. Takes the ``account``, whose country reads local numbers."""

    number = forms.CharField(
        label="Number",
        max_length=40,
        widget=forms.TextInput({"inputmode": "tel", "autocomplete": "off"}),
        error_messages={"required": "Enter the number that opted out."},
    )
    detail = forms.CharField(
        label="Note",
        required=False,
        max_length=160,
        help_text="How you know, such as: asked by e-mail on 3 May.",
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account

    def clean_number(self) -> str:
        typed = self.cleaned_data["number"].strip()
        number = read_mobile(typed, self.account.country)
        if isinstance(number, NotMobile):
            raise ValidationError(f"{typed}: {number.detail}")
        return number


class OptInForm(forms.Form):
    """Why somebody who opted out may be sent to again: the word of that person, confirmed."""

    reason = forms.CharField(
        label="How did this person agree?",
        max_length=160,
        help_text="Kept with the opt-out, for whoever asks later: signed the form at the counter on 3 May.",
        error_messages={"required": "Say how this person agreed to get messages again."},
    )
    is_confirmed = forms.BooleanField(
        label="This person asked to get messages again.",
        error_messages={"required": "Confirm that this person asked for it; without that, sending may be unlawful."},
    )
