"""What a number and a keyword can be told to do with an inbound message, as people type it (InboundActions)."""

import re
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator, validate_email

from accounts.models import Account
from accounts.phones import NotMobile, read_mobile, split_recipients
from contacts import merge
from contacts.models import ContactList
from contacts.selectors import field_names, lists_of
from smpp.text import segment

# As of any message that is sent (messaging/services/texts.py, a room above; a test compares them).
MOST_REPLY_PARTS = 10
MOST_FORWARDS = 10
_SEPARATORS = re.compile(r"[,;\s]+")


def _lines(label: str, help_text: str, **attrs: str) -> forms.CharField:
    shape = {"rows": 2, "spellcheck": "false", "autocomplete": "off", **attrs}
    return forms.CharField(label=label, required=False, widget=forms.Textarea(shape), help_text=help_text)


def _reply(label: str, help_text: str) -> forms.CharField:
    shape = {"rows": 3, "data-count-text": ""}
    return forms.CharField(label=label, required=False, widget=forms.Textarea(shape), help_text=help_text)


class ActionsForm(forms.Form):
    """Replies, list and forwards. Takes the ``account`` whose lists, merge fields and country count."""

    first_reply = _reply("First reply", "To a sender that writes here for the first time; empty = no reply.")
    later_reply = _reply("Later reply", "To a sender that has written here before; empty = no reply.")
    contact_list = forms.ModelChoiceField(
        ContactList.objects.none(), label="Add senders to", to_field_name="code", required=False,
        empty_label="no list", help_text="Whoever writes here goes on this list, once.",
        error_messages={"invalid_choice": "This list is gone; choose another one."},
    )  # fmt: skip
    forward_emails = _lines("Forward to e-mails", f"One a line, up to {MOST_FORWARDS}.", inputmode="email")
    forward_mobiles = _lines(
        "Forward to mobiles", f"One a line, up to {MOST_FORWARDS}. Each is sent like any message of yours.",
        inputmode="tel",
    )  # fmt: skip
    forward_url = forms.CharField(
        label="Forward to URL", required=False, max_length=400,
        widget=forms.URLInput(attrs={"autocomplete": "off", "placeholder": "https://"}),
        help_text="Each message is posted there as JSON and signed with a secret that you get when you save.",
    )  # fmt: skip

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        lists: Any = self.fields["contact_list"]
        lists.queryset = lists_of(account)
        lists.label_from_instance = lambda one: f"{one.name} ({one.size:,})"

    @staticmethod
    def initial_of(actions: Any) -> dict[str, Any]:
        """The form's values of stored InboundActions; {} for None."""
        if actions is None:
            return {}
        return {
            "first_reply": actions.first_reply,
            "later_reply": actions.later_reply,
            "contact_list": actions.contact_list.code if actions.contact_list else "",
            "forward_emails": "\n".join(actions.forward_emails),
            "forward_mobiles": "\n".join(actions.forward_mobiles),
            "forward_url": actions.forward_url,
        }

    def actions(self) -> dict[str, Any]:
        """What was entered, by the columns of InboundActions; only after ``is_valid()``."""
        names = ("first_reply", "later_reply", "contact_list", "forward_emails", "forward_mobiles", "forward_url")
        return {name: self.cleaned_data[name] for name in names}

    def clean_first_reply(self) -> str:
        return self._check_text("first_reply")

    def clean_later_reply(self) -> str:
        return self._check_text("later_reply")

    def _check_text(self, name: str) -> str:
        text: str = self.cleaned_data[name].replace("\r\n", "\n").replace("\r", "\n")
        parts = segment(merge.without_fields(text)).parts
        if text and parts > MOST_REPLY_PARTS:
            raise ValidationError(
                f"The text would need {parts} parts; at most {MOST_REPLY_PARTS} are possible. Shorten it."
            )
        known = [*merge.STANDARD, *field_names(self.account)]
        unknown = [name for name in merge.names_in(text) if name not in known]
        if unknown:
            fields = ", ".join(f"{{{name}}}" for name in known)
            raise ValidationError(f"{{{unknown[0]}}} is no merge field of your contacts; there are {fields}.")
        return text

    def clean_forward_emails(self) -> list[str]:
        found = [one for one in _SEPARATORS.split(self.cleaned_data["forward_emails"]) if one]
        problems = []
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                problems.append(f"“{address[:60]}” is not an e-mail address; write it as name@company.example.")
        return _checked(found, problems, str.lower)

    def clean_forward_mobiles(self) -> list[str]:
        found, problems = [], []
        for typed in split_recipients(self.cleaned_data["forward_mobiles"], self.account.country):
            if not typed.strip():
                continue
            number = read_mobile(typed, self.account.country)
            if isinstance(number, NotMobile):
                problems.append(f"{typed[:30]}: {number.detail}")
            else:
                found.append(number)
        return _checked(found, problems, str)

    def clean_forward_url(self) -> str:
        url: str = self.cleaned_data["forward_url"].strip()
        if not url:
            return ""
        try:
            URLValidator(schemes=["http", "https"])(url)
        except ValidationError:
            raise ValidationError(
                f"“{url[:60]}” is not an address; enter one such as https://example.com/sms."
            ) from None
        if urlsplit(url).username is not None:
            raise ValidationError("Leave name and password out of the address; the signature tells who posts.")
        return url


def _checked(found: list[str], problems: list[str], normal: Any) -> list[str]:
    """Each once, in the order typed. Raises ValidationError with every problem."""
    once = list({normal(one): one for one in found}.values())
    if len(once) > MOST_FORWARDS:
        problems.append(f"There are {len(once)}; at most {MOST_FORWARDS} are possible. Take some out.")
    if problems:
        raise ValidationError([ValidationError(problem) for problem in problems])
    return once
