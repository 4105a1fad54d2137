"""The demo's numbers: thirty in the inventory, four of them leased, one of these given to a client."""

from datetime import datetime, timedelta
from decimal import Decimal

from messaging.models import Route
from reseller.demo.funds import pay_by_card
from reseller.demo.people import Person
from virtual_numbers.models import Lease, NumberPrice, VirtualNumber
from virtual_numbers.services.leasing import allocate, lease

Kind = VirtualNumber.Kind
# What a number costs a month and once at set-up, by type and currency.
_PRICES: dict[str, dict[str, tuple[str, str]]] = {
    Kind.LONG: {"AUD": ("19", "0"), "USD": ("12.50", "0"), "EUR": ("11.50", "0"), "GBP": ("9.90", "0")},
    Kind.TOLL_FREE: {"AUD": ("35", "10"), "USD": ("24", "7"), "EUR": ("22", "6"), "GBP": ("19", "5")},
    Kind.SHORT: {"AUD": ("450", "300"), "USD": ("300", "200"), "EUR": ("280", "190"), "GBP": ("240", "160")},
}
# Australia's are numbers that its regulator keeps for fiction.
_NUMBERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("AU", Kind.LONG, (
        "+61491571266", "+61491572549", "+61491572665", "+61491572983", "+61491573087", "+61491573770",
        "+61491574118", "+61491574632", "+61491575254", "+61491575789",
    )),
    ("AU", Kind.TOLL_FREE, ("+611800975707", "+611800975711")),
    ("AU", Kind.SHORT, ("19444",)),
    ("NZ", Kind.LONG, ("+64211200001", "+64211200002", "+64211200003", "+64211200004", "+64211200005")),
    ("GB", Kind.LONG, ("+447400900123", "+447400900124", "+447400900125", "+447400900126", "+447400900127")),
    ("US", Kind.LONG, ("+13125550101", "+13125550102", "+13125550103", "+13125550104", "+13125550105")),
    ("US", Kind.TOLL_FREE, ("+18335550123", "+18335550124")),
)  # fmt: skip
LEASED_FOR = timedelta(days=20)


def load_numbers(route: Route) -> None:
    """Put the numbers into the inventory; their messages arrive on the simulator's route."""
    numbers = VirtualNumber.objects.bulk_create(
        VirtualNumber(number=number, country=country, kind=kind, route=route, capabilities=["sms_in", "sms_out"])
        for country, kind, listed in _NUMBERS
        for number in listed
    )
    NumberPrice.objects.bulk_create(
        NumberPrice(number=number, currency=currency, monthly=Decimal(monthly), setup=Decimal(setup))
        for number in numbers
        for currency, (monthly, setup) in _PRICES[number.kind].items()
    )


def lease_numbers(people: dict[str, Person], now: datetime) -> dict[str, Lease]:
    """Lease as the demo's people did some weeks ago; by who uses the number, "spare" for the one that nobody does."""
    at = now - LEASED_FOR
    # Numbers and keywords are paid from a top-up of their own: the history fills wallets for messages alone.
    pay_by_card(people["client"], Decimal(60), at - timedelta(hours=1))
    plan = (
        ("reseller", "reseller", 0, "Support"), ("spare", "reseller", 1, ""),
        ("billed", "reseller", 2, "Bayside Books"), ("client", "client", 3, "Appointments"),
    )  # fmt: skip
    leases = {}
    for name, payer, place, label in plan:
        number = VirtualNumber.objects.get(number=_NUMBERS[0][2][place])
        person = people[payer]
        leases[name] = lease(
            account=person.account, number=number, expected=None, label=label, actor=person.user, now=at
        )
    leases["billed"] = allocate(lease=leases["billed"], child=people["billed"].account, actor=people["reseller"].user)
    return leases
