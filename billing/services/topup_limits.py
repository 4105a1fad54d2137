"""Which amounts an account may add now (PRODUCT.md, money rule 3): its method's amounts and the rolling 24 hours."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from django.db.models import Q

from billing.exceptions import NotAllowed, TopUpRefused
from billing.gateways.money import charge_step, to_minor_units
from billing.models import BillingTerms, TopUp
from billing.wording import local_text, money_text

WINDOW = timedelta(hours=24)
# A payment page lives this long. Stripe wants at least 30 minutes from its own "now"; the rest is room for retries.
CHECKOUT_LIFETIME = timedelta(minutes=35)
# An expired page cannot be paid, but word of a payment in its last second may still be on its way.
LATE_WORD = timedelta(minutes=10)
LONGEST_LIST = 10
# First digits of amounts that read well, from many to few.
_NICE = (
    ("1", "1.5", "2", "2.5", "3", "4", "5", "7.5"),
    ("1", "2", "2.5", "5", "7.5"),
    ("1", "2", "5"),
    ("1", "5"),
    ("1",),
)


@dataclass(frozen=True)
class Room:
    """What of a daily limit is used; ``limit`` None = there is no limit. Amounts in the account's currency."""

    limit: Decimal | None
    used: Decimal
    # When how much stops counting, soonest first.
    releases: tuple[tuple[datetime, Decimal], ...] = ()

    @property
    def left(self) -> Decimal | None:
        """What may be added now; never below zero."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.used)

    def fits(self, amount: Decimal) -> bool:
        """Whether ``amount`` may be added now."""
        return self.left is None or amount <= self.left

    def release_for(self, amount: Decimal) -> tuple[datetime, Decimal] | None:
        """The first moment at which ``amount`` fits, with what has freed up by then; None when it never fits."""
        if self.limit is None or amount > self.limit:
            return None
        freed = accumulate(released for _, released in self.releases)
        for (moment, _), total in zip(self.releases, freed, strict=True):
            if amount <= self.limit - self.used + total:
                return moment, total
        return None


def room_of(terms: BillingTerms, now: datetime) -> Room:
    """How much of the account's daily limit is left at ``now``.

    Counted are payments of the last 24 hours and payment pages that may still be paid, so that two pages opened side
    by side cannot pass the limit together.
    """
    counted = TopUp.objects.filter(
        Q(state=TopUp.State.PAID, paid_at__gt=now - WINDOW)
        | Q(state=TopUp.State.DISPUTED, created_at__gt=now - WINDOW)
        | Q(state=TopUp.State.PENDING, expires_at__gt=now - LATE_WORD)
        | Q(state=TopUp.State.PENDING, is_processing=True),
        account=terms.account_id,
    )
    releases = sorted((_release_of(topup, now), topup.amount) for topup in counted)
    used = sum((amount for _, amount in releases), Decimal(0))
    return Room(limit=terms.daily_topup_limit, used=used, releases=tuple(releases))


def _release_of(topup: TopUp, now: datetime) -> datetime:
    if topup.is_processing and topup.state == TopUp.State.PENDING:  # as if it were paid now
        return now + WINDOW
    if topup.state == TopUp.State.PENDING:
        return topup.expires_at + LATE_WORD
    return (topup.paid_at or topup.created_at) + WINDOW


def check_amount(*, terms: BillingTerms, amount: Decimal, now: datetime) -> None:
    """Raise NotAllowed, TopUpRefused or FractionOfMinorUnit, with a sentence, when ``amount`` may not be added now."""
    account = terms.account
    if not terms.pays_by_card:
        raise NotAllowed(f"{account.name} does not add credit by card.")
    check_method(terms, amount)
    to_minor_units(amount, account.currency)
    room = room_of(terms, now)
    if not room.fits(amount):
        raise TopUpRefused(_over_limit(terms, amount, room))


def check_method(terms: BillingTerms, amount: Decimal) -> None:
    """Raise TopUpRefused, with a sentence, when ``amount`` is not one that the card terms ever allow."""
    currency = terms.account.currency
    asked = money_text(amount, currency)
    if terms.method == BillingTerms.Method.CARD_FIXED:
        if amount != terms.fixed_topup:
            fixed = money_text(terms.fixed_topup or Decimal(0), currency)
            raise TopUpRefused(f"Amount {asked}: this account adds credit in one fixed amount, {fixed}.")
        return
    least, most = terms.minimum_topup or Decimal(0), terms.daily_topup_limit or Decimal(0)
    if amount < least:
        raise TopUpRefused(f"Amount {asked} is below the minimum of {money_text(least, currency)}; choose more.")
    if amount > most:
        raise TopUpRefused(
            f"Amount {asked} is above the daily top-up limit of {money_text(most, currency)}; choose less."
        )


def _over_limit(terms: BillingTerms, amount: Decimal, room: Room) -> str:
    """The refusal: the limit, what is left, and when how much frees up."""
    account, left = terms.account, room.left or Decimal(0)
    asked, limit = (money_text(value, account.currency) for value in (amount, room.limit or Decimal(0)))
    words = [
        f"Amount {asked} would pass the limit of {limit} in 24 hours:"
        f" {money_text(left, account.currency) if left else 'nothing'} is left."
    ]
    if release := room.release_for(amount):
        moment, freed = release
        words.append(f"{money_text(freed, account.currency)} frees up on {local_text(moment, account)}.")
    if terms.method == BillingTerms.Method.CARD_VARIABLE and left >= (terms.minimum_topup or 0):
        words.append("Choose less, or come back then.")
    return " ".join(words)


def available_amounts(terms: BillingTerms) -> list[Decimal]:
    """The amounts to choose from: the fixed one, or at most ten that read well from the minimum to the daily limit."""
    if terms.method == BillingTerms.Method.CARD_FIXED and terms.fixed_topup:
        return [terms.fixed_topup]
    if terms.method != BillingTerms.Method.CARD_VARIABLE or not (terms.minimum_topup and terms.daily_topup_limit):
        return []
    least, most = terms.minimum_topup, terms.daily_topup_limit
    for digits in _NICE:
        amounts = sorted({least, *_nice_between(least, most, digits), most})
        payable = [amount for amount in amounts if _is_payable(amount, terms.account.currency)]
        if len(payable) <= LONGEST_LIST:
            return payable
    return payable


def _nice_between(least: Decimal, most: Decimal, digits: tuple[str, ...]) -> list[Decimal]:
    scales = range(least.adjusted(), most.adjusted() + 1)
    amounts = (Decimal(digit).scaleb(scale) + Decimal(0) for scale in scales for digit in digits)
    return [amount for amount in amounts if least < amount < most]


def _is_payable(amount: Decimal, currency: str) -> bool:
    return amount % charge_step(currency) == 0
