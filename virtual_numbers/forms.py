"""Leasing, naming and allocating numbers."""

from decimal import Decimal
from typing import Any

from django import forms

from accounts.models import Account


class LabelForm(forms.Form):
    """What a leased number is called by those who lease it."""

    label = forms.CharField(
        label="Label", required=False, max_length=60, help_text="For your own eyes, such as: Bookings.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip

    def clean_label(self) -> str:
        return " ".join(self.cleaned_data["label"].split())


class LeaseForm(LabelForm):
    """The confirmation: the price that was shown comes back with it."""

    # Absent where the account sees no money: its page named no price.
    expected = forms.DecimalField(required=False, max_digits=18, decimal_places=6, widget=forms.HiddenInput)

    def expected_price(self) -> Decimal | None:
        """The price shown, after ``is_valid``."""
        return self.cleaned_data["expected"]


class AllocateForm(forms.Form):
    """Which direct client gets the number. Takes ``account``: whoever leases it."""

    client = forms.ModelChoiceField(
        Account.objects.none(), label="Client", to_field_name="code", empty_label="Choose a client",
        error_messages={
            "required": "Choose the client that shall use the number.",
            "invalid_choice": "There is no such client; choose one of the list.",
        },
    )  # fmt: skip

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clients: Any = self.fields["client"]
        clients.queryset = Account.objects.children_of(account).order_by("name")
