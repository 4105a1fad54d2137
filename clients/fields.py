"""Form fields of the room: exact amounts of money."""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from billing.wording import money_text

_NUMBER = re.compile(r"[+-]?\d{1,12}(\.\d{0,12})?")
MARGIN_STEP = Decimal("0.000001")


def plain_amount(amount: Decimal) -> str:
    """As one types it: "50.00", "0.0205"; at least two decimals, no separators, no currency."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


class AmountField(forms.Field):
    """An amount of ``currency`` (set by the form) from ``least`` to ``most``, in whole steps of ``step``.

    Cleans to Decimal, or None when empty. Its errors name the value, the limit and what to enter.
    """

    def __init__(self, *, least: str, most: str, step: Decimal = MARGIN_STEP, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**kwargs)
        self.least, self.most, self.step = Decimal(least), Decimal(most), step
        self.currency = ""

    def prepare_value(self, value: Any) -> Any:
        return plain_amount(Decimal(value)) if isinstance(value, Decimal | int) else value

    def to_python(self, value: Any) -> Decimal | None:
        text = str(value or "").strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise ValidationError(f"“{text[:30]}” is not an amount; enter digits with a point, such as 12.50.")
        return Decimal(text)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is None:
            return
        shown = money_text(value, self.currency)
        if value < self.least:
            raise ValidationError(f"{shown} is too little; enter {money_text(self.least, self.currency)} or more.")
        if value > self.most:
            raise ValidationError(f"{shown} is too much; enter {money_text(self.most, self.currency)} or less.")
        if value % self.step:
            raise ValidationError(f"{value.normalize():f} is too fine; enter {_steps_in_words(self.step)}.")


def _steps_in_words(step: Decimal) -> str:
    decimals = max(0, -int(step.normalize().as_tuple().exponent))
    if not decimals:
        return "a whole amount" if step == 1 else f"whole {step.normalize():f}s"
    return f"an amount with at most {decimals} decimals"
