"""KEYWORDS: the form of a keyword, and the tester's."""

import re
from typing import Any

import phonenumbers
from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from phonenumbers import PhoneNumberFormat

from accounts.models import Account
from accounts.phones import NotMobile, read_mobile
from billing.days import DayField
from contacts import merge
from contacts.selectors import field_names
from keywords.exceptions import KeywordError
from keywords.models import Keyword
from keywords.selectors import aliases_of, numbers_of
from keywords.services.keywords import MOST_ALIASES, KeywordValues, word_errors
from virtual_numbers.action_forms import ActionsForm
from virtual_numbers.models import VirtualNumber

# Spaces separate no aliases: one of two words is refused with a sentence that says why.
_SEPARATORS = re.compile(r"[,;\r\n]+")
OptOutBehaviour = Keyword.OptOutBehaviour
SENDING_FIELDS = {"first_reply": "replies", "later_reply": "replies", "forward_mobiles": "forwards to mobiles"}


def _day(label: str, help_text: str) -> DayField:
    return DayField(
        label=label, required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), help_text=help_text
    )


def _words(**attrs: str) -> dict[str, str]:
    return {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false", **attrs}


class NumberField(forms.ModelChoiceField):
    """One of the numbers that the account holds, by its code."""

    def __init__(self, **kwargs: Any) -> None:
        missing = "This number is not yours any more; choose another one."
        super().__init__(
            VirtualNumber.objects.none(), label="Number", to_field_name="code", empty_label=None,
            error_messages={"required": "Choose a number.", "invalid_choice": missing}, **kwargs,
        )  # fmt: skip

    def label_from_instance(self, obj: Any) -> str:
        """As people write it: "+61 480 000 001"; a short code as it is."""
        if obj.kind == VirtualNumber.Kind.SHORT:
            return str(obj.number)
        return phonenumbers.format_number(phonenumbers.parse(obj.number), PhoneNumberFormat.INTERNATIONAL)

    def offer(self, numbers: list[VirtualNumber]) -> None:
        self.queryset = VirtualNumber.objects.filter(pk__in=[number.pk for number in numbers]).order_by("number")


class KeywordForm(ActionsForm):
    """All of a keyword. Takes ``account`` and, to change one, the ``keyword``, whose number and word stay."""

    # As on the page, so that the list of errors leads from top to bottom.
    field_order = (
        "word", "number", "aliases", "starts_on", "ends_on", "first_reply", "later_reply", "contact_list",
        "opt_out_behaviour", "forward_emails", "forward_mobiles", "forward_url",
    )  # fmt: skip

    number = NumberField(help_text="Phones text the keyword to this number.")
    word = forms.CharField(
        label="Keyword", widget=forms.TextInput(_words()), error_messages={"required": "Enter a word."},
        help_text="The first word of a message, in any script. Capitals, accents and punctuation do not count.",
    )  # fmt: skip
    aliases = forms.CharField(
        label="Aliases", required=False, widget=forms.Textarea(_words(rows="2")),
        help_text=f"Other words for the same, such as misspellings; separated by commas, up to {MOST_ALIASES}.",
    )  # fmt: skip
    starts_on = _day("Start date", "The first day on which it answers; empty = at once.")
    ends_on = _day("End date", "The last day on which it answers; empty = no end. It is paid for until you end it.")
    opt_out_behaviour = forms.ChoiceField(
        label="Opt-out behaviour", choices=OptOutBehaviour.choices,
        help_text="STOP and words like it opt the sender out whatever you choose here.",
    )  # fmt: skip

    def __init__(self, *args: Any, account: Account, keyword: Keyword | None = None, **kwargs: Any) -> None:
        if keyword is not None:
            kwargs["initial"] = self.initial_of(keyword) | kwargs.get("initial", {})
        super().__init__(*args, account=account, **kwargs)
        self.keyword = keyword
        if keyword is None:
            self.fields["number"].offer(numbers_of(account))  # type: ignore[attr-defined]
        else:
            del self.fields["number"], self.fields["word"]

    @staticmethod
    def initial_of(actions: Any) -> dict[str, Any]:
        """The form's values of a stored keyword."""
        own = ("starts_on", "ends_on", "opt_out_behaviour")
        return ActionsForm.initial_of(actions) | {name: getattr(actions, name) for name in own} | {
            "aliases": ", ".join(aliases_of(actions))
        }  # fmt: skip

    def clean_aliases(self) -> list[str]:
        words = (" ".join(word.split()) for word in _SEPARATORS.split(self.cleaned_data["aliases"]))
        return [word for word in words if word]

    def clean_ends_on(self) -> Any:
        day = self.cleaned_data["ends_on"]
        unchanged = self.keyword is not None and day == self.keyword.ends_on
        if day and not unchanged and day < timezone.localdate():
            raise ValidationError(f"{day} is over; choose today ({timezone.localdate()}) or a later day.")
        return day

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._check_words()
        starts, ends = data.get("starts_on"), data.get("ends_on")
        if starts and ends and ends < starts:
            self.add_error("ends_on", f"{ends} is before the start date, {starts}; choose that day or a later one.")
        if data.get("opt_out_behaviour") == OptOutBehaviour.OPT_OUT:
            self._refuse_what_follows_an_opt_out()
        self._check_sending()
        return self.cleaned_data

    @property
    def _number(self) -> VirtualNumber | None:
        return self.keyword.number if self.keyword else self.cleaned_data.get("number")

    def _check_words(self) -> None:
        """Whatever can be said of the words once the number is known; each at its field."""
        word = self.keyword.word if self.keyword else self.cleaned_data.get("word")
        if self._number is None or not word or "aliases" in self.errors:
            return
        aliases = self.cleaned_data["aliases"]
        for error in word_errors(number=self._number, word=word, aliases=aliases, keyword=self.keyword):
            self.refuse(error)

    def _refuse_what_follows_an_opt_out(self) -> None:
        for name in ("first_reply", "later_reply"):
            if self.cleaned_data.get(name):
                self.add_error(
                    name, "Whoever was opted out is never sent to. Leave the reply empty, or choose another opt-out "
                    "behaviour.",
                )  # fmt: skip
        if self.cleaned_data.get("contact_list"):
            self.add_error(
                "contact_list",
                "A keyword that opts its senders out adds them to no list. Choose “no list”, or another behaviour.",
            )

    def _check_sending(self) -> None:
        """A number that only receives cannot answer."""
        number = self._number
        wanted = [name for name in SENDING_FIELDS if self.cleaned_data.get(name)]
        if number is None or VirtualNumber.Capability.SMS_OUT in number.capabilities:
            return
        for name in wanted:
            self.add_error(name, f"{number} cannot send, so no {SENDING_FIELDS[name]} are possible. Leave this empty.")

    def merge_fields(self) -> list[str]:
        """The names that replies may have in braces."""
        return [*merge.STANDARD, *field_names(self.account)]

    def refuse(self, error: KeywordError) -> None:
        """Show what a service refused at the field that it is about."""
        self.add_error(error.field if error.field in self.fields else None, str(error))

    def values(self) -> KeywordValues:
        """What was entered; only after ``is_valid()``."""
        data = self.cleaned_data
        return KeywordValues(
            aliases=tuple(data["aliases"]), starts_on=data["starts_on"], ends_on=data["ends_on"],
            opt_out_behaviour=data["opt_out_behaviour"], **self.actions(),
        )  # fmt: skip


class PriceForm(forms.Form):
    """The monthly price that the page showed."""

    # Absent where the account sees no money.
    price = forms.DecimalField(required=False, max_digits=18, decimal_places=6, widget=forms.HiddenInput)


class TesterForm(forms.Form):
    """A message as it would come in. Takes the ``account`` whose numbers it may come to."""

    number = NumberField(help_text="Where the message comes in.")
    text = forms.CharField(
        label="Message", strip=False, max_length=1600, widget=forms.Textarea({"rows": 3}),
        error_messages={
            "required": "Enter the text of a message.",
            "max_length": "The message has %(show_value)s characters; at most %(limit_value)s are possible.",
        },
    )  # fmt: skip
    sender = forms.CharField(
        label="From", required=False, max_length=40, widget=forms.TextInput(_words(inputmode="tel")),
        help_text="A mobile number: its merge fields and opt-out count. Empty = an ordinary one of the country.",
    )  # fmt: skip
    visit = forms.ChoiceField(
        label="Has it written before?", required=False,
        choices=[("first", "No, it is new"), ("later", "Yes, it returns")],
    )  # fmt: skip

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        self.fields["number"].offer(numbers_of(account))  # type: ignore[attr-defined]

    def clean_sender(self) -> str:
        typed = self.cleaned_data["sender"].strip()
        if not typed:
            return ""
        number = read_mobile(typed, self.account.country)
        if isinstance(number, NotMobile):
            raise ValidationError(f"“{typed}”: {number.detail}")
        return number
