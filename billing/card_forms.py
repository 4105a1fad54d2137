"""BILLING, Cards: the automatic recharge."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from billing.exceptions import TopUpRefused
from billing.models import AutoRecharge, BillingTerms, SavedCard
from billing.services.topup_limits import check_method
from billing.wording import money_text


class RechargeForm(forms.Form):
    """When, how much and from which card; the box is the consent to charge it without asking."""

    threshold = forms.DecimalField(label="When less than this is available", min_value=0, max_digits=18)
    amount = forms.DecimalField(label="Add", max_digits=18)
    card = forms.ChoiceField(label="From the card")
    consent = forms.BooleanField(
        label="I agree that this card is charged automatically, without asking me each time, until I switch it off.",
        error_messages={"required": "Tick the box: without your consent no card is charged automatically."},
    )

    def __init__(self, *args: Any, terms: BillingTerms, cards: list[SavedCard], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terms, self.cards = terms, cards
        choices: Any = self.fields["card"]
        choices.choices = [(card.code, str(card)) for card in cards]
        if terms.method == BillingTerms.Method.CARD_FIXED:
            del self.fields["amount"]

    @classmethod
    def initial_of(cls, recharge: AutoRecharge | None) -> dict[str, Any]:
        """What the page shows before anything is typed."""
        if recharge is None:
            return {}
        values = {"threshold": recharge.threshold, "amount": recharge.amount}
        shown = {name: f"{value.normalize():f}" for name, value in values.items()}
        return shown | {"card": recharge.card.code if recharge.card else ""}

    def clean_amount(self) -> Decimal:
        """An amount that the terms allow; the sentence names their limits."""
        amount: Decimal = self.cleaned_data["amount"]
        try:
            check_method(self.terms, amount)
        except TopUpRefused as error:
            raise ValidationError(str(error)) from error
        return amount

    def chosen_amount(self) -> Decimal:
        """What to add, after ``is_valid``: the fixed amount where the terms have one."""
        return self.cleaned_data["amount"] if "amount" in self.fields else self.terms.fixed_topup or Decimal(0)

    def chosen_card(self) -> SavedCard:
        """The card, after ``is_valid``."""
        return next(card for card in self.cards if card.code == self.cleaned_data["card"])

    def amount_text(self) -> str:
        """The limits of the amount, for the page."""
        least, most = self.terms.minimum_topup or Decimal(0), self.terms.daily_topup_limit or Decimal(0)
        currency = self.terms.account.currency
        return f"From {money_text(least, currency)} to {money_text(most, currency)}."
