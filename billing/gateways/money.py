"""Exact conversion between Decimal amounts and the integers in which card processors count."""

from decimal import Decimal

from billing.gateways.exceptions import FractionOfMinorUnit

# Source of the three sets: Stripe's documentation, "Supported currencies".
_WITHOUT_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
# Have no coins any more, but are still counted in hundredths, which must be whole.
_WHOLE_HUNDREDS = frozenset({"ISK", "UGX"})


def _factor_and_step(currency: str) -> tuple[int, int]:
    """Minor units per unit of `currency`, and the smallest number of minor units that can be charged."""
    code = currency.upper()
    if code in _WITHOUT_DECIMALS:
        return 1, 1
    if code in _THREE_DECIMALS:
        return 1000, 10  # the card networks' last digit must be 0
    if code in _WHOLE_HUNDREDS:
        return 100, 100
    return 100, 1


def charge_step(currency: str) -> Decimal:
    """The smallest amount of `currency` by which card payments can differ, such as 0.01 for USD and 1 for JPY."""
    factor, step = _factor_and_step(currency)
    return Decimal(step) / factor


def to_minor_units(amount: Decimal, currency: str) -> int:
    """Convert 12.34 USD to 1234 and 500 JPY to 500.

    Raises FractionOfMinorUnit when the currency has no coin for the amount; nothing is ever rounded.
    """
    factor, step = _factor_and_step(currency)
    units = amount * factor
    if units != units.to_integral_value() or int(units) % step:
        raise FractionOfMinorUnit(amount, currency.upper(), charge_step(currency))
    return int(units)


def from_minor_units(units: int, currency: str) -> Decimal:
    """Convert 1234 minor units of USD to Decimal 12.34."""
    factor, _step = _factor_and_step(currency)
    return Decimal(units) / factor
