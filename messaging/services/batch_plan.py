"""A plan: who would get what, who would not, and what it would cost. Made by planning.py, written by acceptance.py."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from accounts.models import Account
from billing.services.pricing import PriceList, UnitPrice
from messaging.models import Exclusion
from smpp.text import Segments

MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class PlannedRecipient:
    """A recipient that would get the message: E.164 number, the price of one part and the route that takes it.

    ``text`` is its own, None where it gets the batch's as it is; ``parts`` are that text's. ``cost`` is the carrier's
    for all parts in the account's currency, None where it is not known.
    """

    number: str
    price: UnitPrice
    route_id: int
    parts: int
    text: str | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PlannedExclusion:
    """A recipient that would be left out: ``value`` as it was typed, a reason (Exclusion.Reason) and it in words."""

    value: str
    reason: str
    detail: str

    @property
    def reason_label(self) -> str:
        return str(Exclusion.Reason(self.reason).label)


@dataclass(frozen=True, slots=True)
class Destination:
    """All recipients that share a price: how many, their parts, the payer's price of one, and what all parts cost."""

    prefix: str
    country: str
    count: int
    parts: int
    unit_price: Decimal
    total: Decimal


@dataclass(frozen=True)
class Plan:
    """What would be sent, to whom, and for how much. Money is the payer's, in its currency."""

    account: Account
    payer: Account
    prices: PriceList
    shows_money: bool  # whether the sending account may see any amount (PRODUCT.md, money rule 3)
    sender: str
    text: str  # as it was written, with its merge fields
    example: str  # as the first recipient gets it
    segments: Segments  # the example's
    encodings: frozenset[str]  # of all texts
    recipients: list[PlannedRecipient]
    exclusions: list[PlannedExclusion]
    destinations: list[Destination] = field(init=False)
    total: Decimal = field(init=False)  # what accepting the batch would hold, exactly

    def __post_init__(self) -> None:
        destinations = self._sum_destinations()
        object.__setattr__(self, "destinations", destinations)
        object.__setattr__(self, "total", sum((row.total for row in destinations), Decimal(0)))

    def _sum_destinations(self) -> list[Destination]:
        if len(self.recipients) == 1:  # as each single message has
            only = self.recipients[0]
            unit = only.price
            return [Destination(unit.prefix, unit.country, 1, only.parts, unit.price, unit.price * only.parts)]
        parts: defaultdict[str, list[int]] = defaultdict(list)
        prices: dict[str, UnitPrice] = {}
        for recipient in self.recipients:
            prefix = recipient.price.prefix
            parts[prefix].append(recipient.parts)
            prices[prefix] = recipient.price
        rows = []
        for prefix, one in prices.items():
            count, price = sum(parts[prefix]), one.price
            rows.append(Destination(prefix, one.country, len(parts[prefix]), count, price, price * count))
        return sorted(rows, key=lambda row: (-row.count, row.prefix))

    @property
    def encoding(self) -> str:
        """The alphabet: GSM-7 or UCS-2, or "mixed" where texts of both are among them."""
        return next(iter(self.encodings)) if len(self.encodings) == 1 else MIXED

    @property
    def has_own_texts(self) -> bool:
        """Whether recipients get texts that differ from what was written."""
        return any(recipient.text is not None for recipient in self.recipients)

    @property
    def characters(self) -> int:
        return self.segments.characters

    @property
    def parts(self) -> int:
        """Parts of one message: of the longest, where texts differ."""
        return max((recipient.parts for recipient in self.recipients), default=self.segments.parts)

    @property
    def fewest_parts(self) -> int:
        """Parts of the shortest message."""
        return min((recipient.parts for recipient in self.recipients), default=self.segments.parts)

    @property
    def part_count(self) -> int:
        """Parts of all messages."""
        return sum(row.parts for row in self.destinations)

    @property
    def message_count(self) -> int:
        return len(self.recipients)

    @property
    def subsidies(self) -> dict[int, Decimal]:
        """What accepting the batch would hold of accounts above the payer that sell below their own price."""
        found: defaultdict[int, Decimal] = defaultdict(Decimal)
        prices = {recipient.price.prefix: recipient.price for recipient in self.recipients}
        for row in self.destinations:
            for owner, margin in prices[row.prefix].earnings().items():
                if margin < 0:
                    found[owner] -= margin * row.parts
        return dict(found)

    @property
    def currency(self) -> str:
        return self.prices.currency

    @property
    def shows_credits(self) -> bool:
        """Whether the amounts are the sending account's own SMS credits."""
        return self.prices.uses_credits and self.payer.pk == self.account.pk

    @property
    def shows_amounts(self) -> bool:
        """Whether the sending account may see what the batch takes: money, or credits."""
        return self.shows_money or self.shows_credits

    def excluded(self, reason: str) -> list[PlannedExclusion]:
        """The exclusions with one reason of Exclusion.Reason."""
        return [row for row in self.exclusions if row.reason == reason]
