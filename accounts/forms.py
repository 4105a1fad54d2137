"""Log-in and password reset; SETTINGS: one's name and e-mail, the account's contact and time zone, one's password."""

from typing import Any

from allauth.account.forms import LoginForm, ResetPasswordForm, ResetPasswordKeyForm
from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from accounts.countries import time_zone_choices
from accounts.models import Account, User
from accounts.services.users import login_taken
from accounts.widgets import LongSelect


class LogInForm(LoginForm):
    """Log in with e-mail or login name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "E-mail or login name"
        self.fields["login"].widget.attrs = {"autocomplete": "username", "autofocus": True, "autocapitalize": "none"}
        self.fields["password"].help_text = ""  # the link to the reset stands under the form
        self.fields["remember"].label = "Stay logged in on this device"
        _drop_placeholders(self)


class AskResetForm(ResetPasswordForm):
    """First step of a password reset: whose."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail"
        _drop_placeholders(self)


class ResetForm(ResetPasswordKeyForm):
    """Last step of a password reset: the new password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label = "New password"
        self.fields["password1"].help_text = password_validation.password_validators_help_text_html()
        self.fields["password2"].label = "New password again"
        _drop_placeholders(self)


def _drop_placeholders(form: forms.BaseForm) -> None:
    """A placeholder that repeats the label vanishes when one types and is too pale to read."""
    for field in form.fields.values():
        field.widget.attrs.pop("placeholder", None)


class ProfileForm(forms.Form):
    """The person, and for an owner the account's contact and time zone. Takes ``user``, ``account``, ``may_manage``."""

    name = forms.CharField(label="Your name", max_length=100)
    email = forms.EmailField(
        label="Your e-mail",
        max_length=254,
        help_text="You log in with it, and receipts and notices are sent to it.",
    )
    current_password = forms.CharField(
        label="Your current password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text="Only needed to change the e-mail.",
    )
    contact_name = forms.CharField(
        label="Contact name of the account", max_length=100, help_text="The person responsible for this account."
    )
    time_zone = forms.ChoiceField(
        label="Time zone", help_text="All times on these pages are shown in this zone.", widget=LongSelect
    )

    ACCOUNT_FIELDS = ("contact_name", "time_zone")

    def __init__(self, *args: Any, user: User, account: Account, may_manage: bool, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "name": user.name,
            "email": user.email,
            "contact_name": account.contact_name,
            "time_zone": account.time_zone,
        }
        super().__init__(*args, **kwargs)
        self.user = user
        if may_manage:
            self.fields["time_zone"].choices = _zones(account)  # type: ignore[attr-defined]
        else:
            for name in self.ACCOUNT_FIELDS:
                del self.fields[name]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if login_taken(email, but=self.user):
            raise ValidationError(f"{email} is already used by someone on this portal; enter another e-mail.")
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        changes_email = data.get("email", self.user.email) != self.user.email
        if changes_email and not self.user.check_password(data.get("current_password") or ""):
            self.add_error("current_password", "To change the e-mail, enter the password that you log in with now.")
        return data

    def account_details(self) -> dict[str, str]:
        """What changes on the account; empty for someone who may not manage it."""
        return {name: self.cleaned_data[name] for name in self.ACCOUNT_FIELDS if name in self.fields}


def _zones(account: Account) -> list[Any]:
    """The country's zones, then all; a zone that the list no longer knows stays selectable while it is in use."""
    groups: list[Any] = time_zone_choices(account.country)
    known = {zone for _, zones in groups for zone, _ in zones}
    if account.time_zone not in known:
        groups.insert(0, ("In use", [(account.time_zone, account.time_zone.replace("_", " "))]))
    return groups


class PasswordForm(forms.Form):
    """Change one's own password. Takes ``user``."""

    current = forms.CharField(
        label="Current password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validation.password_validators_help_text_html(),
    )
    again = forms.CharField(
        label="New password again", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        if not self.user.check_password(current):
            raise ValidationError("That is not your current password; type it again.")
        return current

    def clean_new(self) -> str:
        new: str = self.cleaned_data["new"]
        password_validation.validate_password(new, self.user)
        return new

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "new" in data and "again" in data and data["new"] != data["again"]:
            self.add_error("again", "The two new passwords differ; type the same one twice.")
        return data
