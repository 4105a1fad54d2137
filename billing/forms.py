"""BILLING: which amount to add, and which part of the statement to show."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Account
from billing.days import DayField
from billing.gateways.exceptions import FractionOfMinorUnit
from billing.gateways.money import to_minor_units
from billing.models import CREDITS, BillingTerms, LedgerTransaction, SavedCard
from billing.services.topup_limits import Room, available_amounts
from billing.statements import KINDS, PARENTS_KINDS, Period
from billing.wording import money_text

LONGEST_PERIOD_DAYS = 366
DEFAULT_PERIOD_DAYS = 30
_Kind = LedgerTransaction.Kind
# What a statement of SMS credits can be narrowed to.
KINDS_OF_CREDITS: dict[str, str] = {
    _Kind.CREDITS: "Received",
    _Kind.TAKEBACK: "Taken back",
    _Kind.HOLD: "Set aside for messages",
    _Kind.RELEASE: "Given back",
}


class AddCreditForm(forms.Form):
    """Choose one of the amounts that the account's terms offer, or enter another; one fixed amount leaves no choice."""

    amount = forms.TypedChoiceField(
        label="Amount",
        coerce=Decimal,
        empty_value=None,
        required=False,
        widget=forms.RadioSelect,
        error_messages={
            "invalid_choice": "%(value)s is not one of the amounts of this account; choose one of the list.",
        },
    )
    other = forms.DecimalField(
        label="Another amount",
        required=False,
        max_digits=18,
        localize=False,
        error_messages={"invalid": "Enter an amount in figures, such as 35 or 35.50."},
    )

    pay_with = forms.ChoiceField(label="Pay with", required=False, widget=forms.RadioSelect)
    save_card = forms.BooleanField(label="Save this card for later payments", required=False)

    def __init__(
        self, *args: Any, terms: BillingTerms, room: Room, cards: Sequence[SavedCard] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.terms, self.room, self.cards = terms, room, cards
        pay_with: Any = self.fields["pay_with"]
        pay_with.choices = [("", "Another card"), *((card.code, str(card)) for card in cards)]
        pay_with.initial = cards[0].code if cards else ""
        self.amounts = available_amounts(terms)
        self.payable = [amount for amount in self.amounts if room.fits(amount)]
        if terms.method == BillingTerms.Method.CARD_FIXED:
            del self.fields["amount"], self.fields["other"]
        else:
            field: Any = self.fields["amount"]
            field.choices = [(_value_of(amount), money_text(amount, terms.account.currency)) for amount in self.amounts]
            asked = self.initial.get("other")
            field.initial = _value_of(self.payable[0]) if self.payable and not asked else None

    @property
    def least(self) -> Decimal:
        """The smallest amount of the free field."""
        return self.terms.minimum_topup or Decimal(0)

    @property
    def most(self) -> Decimal:
        """The largest amount of the free field: what is left of the daily limit."""
        return self.room.left if self.room.left is not None else self.terms.daily_topup_limit or Decimal(0)

    @property
    def can_pay(self) -> bool:
        """Whether there is an amount that may be added now."""
        return bool(self.payable) or ("other" in self.fields and self.least <= self.most)

    def clean_other(self) -> Decimal | None:
        """Between the minimum and what is left of the daily limit, in whole coins of the currency."""
        other = self.cleaned_data["other"]
        if other is None:
            return None
        currency = self.terms.account.currency
        asked, least, most = (money_text(value, currency) for value in (other, self.least, self.most))
        if self.least > self.most:
            limit = money_text(self.terms.daily_topup_limit or Decimal(0), currency)
            raise ValidationError(
                f"{asked} cannot be added now: {most} is left of the limit of {limit} in 24 hours, less than the"
                f" minimum of {least}."
            )
        if not self.least <= other <= self.most:
            raise ValidationError(
                f"{asked} is {'below' if other < self.least else 'above'} what can be added now; enter {least} to"
                f" {most}."
            )
        try:
            to_minor_units(other, currency)
        except FractionOfMinorUnit as error:
            raise ValidationError(str(error)) from error
        return other

    def clean(self) -> dict[str, Any]:
        """One of the two amounts must be there; what is typed goes before what is chosen."""
        cleaned = super().clean() or self.cleaned_data
        typed = "other" in self.errors or cleaned.get("other") is not None
        if "amount" in self.fields and not typed and "amount" not in self.errors and cleaned.get("amount") is None:
            self.add_error("amount", "Choose an amount.")
        return cleaned

    def options(self) -> list[dict[str, Any]]:
        """The amounts as the page shows them: value, amount, chosen, whether it may be added now."""
        chosen = self["amount"].value()
        return [
            {
                "value": _value_of(amount),
                "amount": amount,
                "is_chosen": str(chosen) == _value_of(amount),
                "is_payable": amount in self.payable,
            }
            for amount in self.amounts
        ]

    def chosen_card(self) -> SavedCard | None:
        """The kept card to charge, after ``is_valid``; None for the payment page."""
        return next((card for card in self.cards if card.code == self.cleaned_data["pay_with"]), None)

    def chosen_amount(self) -> Decimal:
        """The amount to add, after ``is_valid``."""
        if "amount" not in self.fields:
            return self.amounts[0]
        other = self.cleaned_data["other"]
        return other if other is not None else self.cleaned_data["amount"]


def _value_of(amount: Decimal) -> str:
    """ "50" or "12.5": one writing of an amount whatever its zeros."""
    return f"{amount.normalize():f}"


def kinds_for(account: Account, currency: str = "") -> dict[str, str]:
    """The kinds of movement that the account's statement in ``currency`` (its own by default) can have."""
    if currency == CREDITS:
        return KINDS_OF_CREDITS
    return KINDS | PARENTS_KINDS if account.can_have_children else KINDS


class StatementForm(forms.Form):
    """Days, both included and in the account's zone, and the kind of movement: of ``kinds``, value → words."""

    first = DayField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = DayField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    kind = forms.ChoiceField(label="Movements", required=False)

    def __init__(self, *args: Any, kinds: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind_field: Any = self.fields["kind"]
        kind_field.choices = [("", "All"), *kinds.items()]

    def clean(self) -> dict[str, Any]:
        """Fill in the last 30 days and check that the period is one."""
        cleaned = super().clean() or self.cleaned_data
        last = cleaned.get("last") or timezone.localdate()
        first = cleaned.get("first") or last - timedelta(days=DEFAULT_PERIOD_DAYS - 1)
        if "first" in self.errors or "last" in self.errors:
            return cleaned
        if first > last:
            raise ValidationError({"first": f"From ({first}) is after To ({last}); choose an earlier day."})
        if (last - first).days >= LONGEST_PERIOD_DAYS:
            message = f"The period has {(last - first).days + 1} days; choose at most {LONGEST_PERIOD_DAYS}."
            raise ValidationError({"first": message})
        return cleaned | {"first": first, "last": last}

    def period(self) -> Period:
        """The chosen period, or the last 30 days when the form has errors."""
        if self.is_valid():
            return Period(self.cleaned_data["first"], self.cleaned_data["last"])
        return default_period(timezone.localdate())

    def kind_value(self) -> str:
        """The chosen kind, "" for all."""
        return self.cleaned_data.get("kind", "") if self.is_valid() else ""


def default_period(today: date) -> Period:
    """The last 30 days."""
    return Period(today - timedelta(days=DEFAULT_PERIOD_DAYS - 1), today)
