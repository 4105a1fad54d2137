"""Margins below zero: the parent sells below its own price and pays the difference, once it has said so."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import Account
from billing.wording import money_text
from clients.fields import MARGIN_STEP, AmountField
from clients.prices import example_price

CONFIRMATION = "accept_loss"
LARGEST_MARGIN = "100.00"


class MarginField(AmountField):
    """What a parent adds to its price of a part; below zero it pays that much of each part itself."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(least=f"-{LARGEST_MARGIN}", most=LARGEST_MARGIN, **kwargs)


def confirmation_field() -> forms.BooleanField:
    """The tick without which no margin below zero is saved; templates/clients/_loss.html words and shows it."""
    return forms.BooleanField(required=False)


def typed_loss(margin: Any) -> Decimal | None:
    """What the parent would pay of each part at a margin as typed; None at zero and above, and for no amount."""
    field = MarginField(required=False)
    try:
        found = field.clean(field.prepare_value(margin))
    except ValidationError:
        return None
    return -found if found is not None and found < 0 else None


def check_margin(parent: Account, country: str, margin: Decimal, is_confirmed: bool) -> None:
    """Raises ValidationError for a margin that makes a part free, or that is below zero without the tick."""
    if margin >= 0:
        return
    example, shown = example_price(parent, country, margin), money_text(margin, parent.currency)
    if not example.error and example.client <= 0:
        least = money_text(MARGIN_STEP - example.own, parent.currency)
        raise ValidationError(
            f"With {shown} a part to {example.country_name} would cost "
            f"{money_text(example.client, parent.currency)}, and no message is free; enter {least} or more."
        )
    if not is_confirmed:
        raise ValidationError(
            f"{shown} is below zero: of each part you would pay {money_text(-margin, parent.currency)} yourself. "
            "Tick the box to confirm it, or enter 0.00 or more."
        )
