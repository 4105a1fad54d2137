"""When a batch is sent and until when it may be: a part of SEND SMS, and the form that changes a batch's time."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Account
from messaging.exceptions import SendingError
from messaging.services.scheduling import make_schedule

NOW, LATER = "now", "later"
WHEN = [(NOW, "Now"), (LATER, "At date and time")]
VALIDITY = {
    1: "1 hour", 6: "6 hours", 24: "1 day", 72: "3 days", 168: "7 days", 336: "14 days", 720: "30 days",
}  # fmt: skip
_WRITTEN = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


class Times(TypedDict):
    """As accept_batch takes it."""

    send_at: datetime | None
    valid_until: datetime | None


class LocalMomentField(forms.CharField):
    """A day and time on the clocks of ``zone``; cleaned to an aware moment.

    A time that comes twice, when clocks go back, is the first of the two; one that they skip is refused.
    """

    zone = UTC

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local", "step": "60"}, "%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value.astimezone(self.zone).replace(tzinfo=None) if isinstance(value, datetime) else value

    def to_python(self, value: Any) -> Any:
        typed = super().to_python(value)
        if not typed:
            return None
        for pattern in _WRITTEN:
            try:
                local = datetime.strptime(typed, pattern)  # noqa: DTZ007 (the zone is the account's)
            except ValueError:
                continue
            return self._aware(local)
        raise ValidationError(f"{typed[:40]} is no date and time; write it as 2026-11-30 14:05.")

    def _aware(self, local: datetime) -> datetime:
        try:
            moment = local.replace(tzinfo=self.zone).astimezone(UTC)
        except OverflowError as error:
            raise ValidationError(f"{local:%Y-%m-%d} is too far away.") from error
        after = moment.astimezone(self.zone)
        if after.replace(tzinfo=None) != local:
            raise ValidationError(
                f"{local:%Y-%m-%d %H:%M} does not exist in {self.zone}: clocks go forward over it."
                f" Choose {after:%H:%M}, or another time."
            )
        return moment


class WhenForm(forms.Form):
    """Now, or at a date and time of the ``account``'s clocks."""

    when = forms.ChoiceField(
        label="When", choices=WHEN, initial=NOW, required=False, widget=forms.RadioSelect({"class": "form-check-input"})
    )
    send_at = LocalMomentField(label="Date and time", required=False)

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        field: Any = self.fields["send_at"]
        field.zone = ZoneInfo(account.time_zone)
        field.help_text = f"On the clocks of {account.time_zone}, up to 30 days ahead."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        is_later = cleaned.get("when") == LATER
        if not is_later and self.data.get("send_at"):
            self.errors.pop("send_at", None)
            self.add_error("send_at", "“Now” is chosen, but there is a time: choose “At date and time”, or empty this.")
        elif is_later and not cleaned.get("send_at") and "send_at" not in self.errors:
            self.add_error("send_at", "Enter the day and time to send at, or choose “Now”.")
        elif is_later and "send_at" not in self.errors:
            self._check()
        return self.cleaned_data

    def _check(self) -> None:
        try:
            make_schedule(**self.times())
        except SendingError as error:
            self.add_error(error.field, str(error))

    def times(self) -> Times:
        """When to send, after ``is_valid``; None = at once."""
        is_later = self.cleaned_data.get("when") == LATER
        return {"send_at": self.cleaned_data.get("send_at") if is_later else None, "valid_until": None}


class ScheduleForm(WhenForm):
    """When, and for how long the messages are worth sending."""

    valid_for = forms.ChoiceField(
        label="Valid for",
        required=False,
        help_text="From the time of sending on. What could not be sent by then expires unsent.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = settings.VALIDITY_HOURS
        choices = [(str(hour), label) for hour, label in VALIDITY.items()]
        if hours not in VALIDITY:
            choices.insert(0, ("", f"{hours} hours" if hours else "As long as it takes"))
        field: Any = self.fields["valid_for"]
        field.choices = choices
        field.initial = str(hours) if hours in VALIDITY else ""

    def times(self) -> Times:
        times, hours = super().times(), self.cleaned_data.get("valid_for")
        if hours:
            times["valid_until"] = (times["send_at"] or timezone.now()) + timedelta(hours=int(hours))
        return times
