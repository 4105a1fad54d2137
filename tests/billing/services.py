"""Numbers and keywords in tests of money: a number with prices, terms on the way, and what wallets have."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.models import Account
from accounts.services.accounts import get_platform
from billing.models import LedgerAccount, LedgerTransaction, Subscription
from billing.selectors import balance_of
from tests.cast import Member
from virtual_numbers.models import Lease, NumberPrice, NumberTerms, VirtualNumber
from virtual_numbers.services import leasing

D = Decimal


def make_number(
    number: str = "+61480000001", monthly: str = "19", setup: str = "0", currency: str = "AUD"
) -> VirtualNumber:
    """A free number of the inventory, priced in one currency."""
    made = VirtualNumber.objects.create(number=number, country="AU", capabilities=["sms_in", "sms_out"])
    NumberPrice.objects.create(number=made, currency=currency, monthly=D(monthly), setup=D(setup))
    return made


def set_margin(member: Member, margin: str) -> None:
    NumberTerms.objects.update_or_create(account=member.account, defaults={"margin": D(margin)})


def lease_number(member: Member, number: VirtualNumber | None = None, now: datetime | None = None) -> Lease:
    """The member leases a number (by default a new one) at its price."""
    number = number or make_number()
    return leasing.lease(account=member.account, number=number, expected=None, actor=member.user, now=now)


def renew(now: datetime) -> leasing.Counts:
    return leasing.renew_numbers(now)


def available(account: Account) -> Decimal:
    return balance_of(account).available


def revenue(currency: str = "AUD") -> Decimal:
    """What the platform has earned."""
    found = LedgerAccount.objects.filter(owner=get_platform(), kind="revenue", currency=currency).first()
    return found.balance if found else D(0)


def sides(movement: LedgerTransaction) -> dict[str, Decimal]:
    """What a movement took (negative) and gave, by the owner's name."""
    return {entry.ledger_account.owner.name: entry.amount for entry in movement.entries.all()}


def movements_of(subscription: Subscription) -> list[LedgerTransaction]:
    return list(LedgerTransaction.objects.filter(reference=subscription.code).order_by("pk"))


def at(text: str) -> datetime:
    """Noon in Sydney of a day: "2027-01-31"."""
    return datetime.fromisoformat(f"{text}T12:00:00+11:00")


def every_day(begin: datetime, days: int, deed: Callable[[datetime], object]) -> None:
    """Let the portal live through the days after ``begin``, one deed a day."""
    for day in range(1, days + 1):
        deed(begin + timedelta(days=day))


def in_days(days: int) -> datetime:
    return timezone.now() + timedelta(days=days)
