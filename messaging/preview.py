"""What the preview of SEND SMS shows of a plan; amounts only to an account that may see them."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from accounts.countries import country_name
from billing.selectors import Balance, balance_of, credits_of
from messaging.models import Exclusion
from messaging.services.batch_plan import Plan, PlannedExclusion
from smpp.text import UCS_2, segment

SHOWN_EXCLUSIONS = 200


@dataclass(frozen=True)
class DestinationRow:
    """A destination with its country in words and the parts of all its messages."""

    country: str
    prefix: str
    count: int
    parts: int
    unit_price: Decimal
    total: Decimal


@dataclass(frozen=True)
class Preview:
    """A plan as the sending account's page shows it."""

    plan: Plan

    @property
    def destinations(self) -> list[DestinationRow]:
        return [
            DestinationRow(
                country_name(row.country) or "Unknown", row.prefix, row.count, row.parts, row.unit_price, row.total,
            )
            for row in self.plan.destinations
        ]  # fmt: skip

    @property
    def duplicates(self) -> int:
        return self._reasons[Exclusion.Reason.DUPLICATE]

    @property
    def refused(self) -> int:
        """Recipients left out for any reason but being there twice."""
        return len(self.plan.exclusions) - self.duplicates

    @cached_property
    def _reasons(self) -> Counter[str]:
        return Counter(row.reason for row in self.plan.exclusions)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """How many were left out for each reason, in words."""
        return [(str(Exclusion.Reason(reason).label), count) for reason, count in self._reasons.most_common()]

    @property
    def first_exclusions(self) -> list[PlannedExclusion]:
        return self.plan.exclusions[:SHOWN_EXCLUSIONS]

    @cached_property
    def foreign_characters(self) -> list[str]:
        """The characters that force UCS-2 on any text, each once; empty where all are GSM-7."""
        if UCS_2 not in self.plan.encodings:
            return []
        found = dict.fromkeys(self.plan.example)
        for recipient in self.plan.recipients:
            found |= dict.fromkeys(recipient.text or "")
        return [character for character in found if segment(character).encoding == UCS_2]

    @cached_property
    def balance(self) -> Balance | None:
        """The account's balance now, in money or in credits; None where it may see neither."""
        if self.plan.shows_credits:
            return credits_of(self.plan.payer)
        return balance_of(self.plan.payer) if self.plan.shows_money else None

    @property
    def after(self) -> Decimal | None:
        """What is available once the batch is accepted; negative = it will be refused."""
        return self.balance.available - self.plan.total if self.balance else None

    @property
    def shortfall(self) -> Decimal:
        """What is missing to send; 0 when it is covered or nobody here may know."""
        return -self.after if self.after is not None and self.after < 0 else Decimal(0)
