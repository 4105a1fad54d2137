"""What the preview of SEND SMS shows of a plan; amounts only to an account that may see them."""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from accounts.countries import country_name
from accounts.models import Account
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
    """A plan as the sending account's page shows it: its figures without its recipients, so that it can be kept."""

    account: Account
    sender: str
    example: str  # as the first recipient gets it
    first_number: str
    has_own_texts: bool
    encoding: str
    foreign_characters: list[str]  # that force UCS-2 on any text, each once; empty where all are GSM-7
    characters: int  # of the example, as units_left
    units_left: int
    parts: int  # of the longest message
    fewest_parts: int
    message_count: int
    part_count: int
    total: Decimal
    currency: str
    shows_money: bool
    shows_credits: bool
    destinations: list[DestinationRow]
    exclusion_count: int
    reasons: list[tuple[str, int]]  # how many were left out for each reason of Exclusion.Reason, most first
    first_exclusions: list[PlannedExclusion]

    @property
    def shows_amounts(self) -> bool:
        """Whether the account may see what the batch takes: money, or credits."""
        return self.shows_money or self.shows_credits

    @property
    def duplicates(self) -> int:
        return dict(self.reasons).get(Exclusion.Reason.DUPLICATE, 0)

    @property
    def refused(self) -> int:
        """Recipients left out for any reason but being there twice."""
        return self.exclusion_count - self.duplicates

    @property
    def reasons_in_words(self) -> list[tuple[str, int]]:
        return [(str(Exclusion.Reason(reason).label), count) for reason, count in self.reasons]

    @cached_property
    def balance(self) -> Balance | None:
        """The account's balance now, in money or in credits; None where it may see neither."""
        if self.shows_credits:
            return credits_of(self.account)
        return balance_of(self.account) if self.shows_money else None

    @property
    def after(self) -> Decimal | None:
        """What is available once the batch is accepted; negative = it will be refused."""
        return self.balance.available - self.total if self.balance else None

    @property
    def shortfall(self) -> Decimal:
        """What is missing to send; 0 when it is covered or nobody here may know."""
        return -self.after if self.after is not None and self.after < 0 else Decimal(0)


def preview_of(plan: Plan) -> Preview:
    """The preview of a plan."""
    return Preview(
        account=plan.account, sender=plan.sender, example=plan.example,
        first_number=plan.recipients[0].number if plan.recipients else "", has_own_texts=plan.has_own_texts,
        encoding=plan.encoding, foreign_characters=_foreign_characters(plan), characters=plan.characters,
        units_left=plan.segments.units_left, parts=plan.parts, fewest_parts=plan.fewest_parts,
        message_count=plan.message_count, part_count=plan.part_count, total=plan.total, currency=plan.currency,
        shows_money=plan.shows_money, shows_credits=plan.shows_credits,
        destinations=[
            DestinationRow(
                country_name(row.country) or "Unknown", row.prefix, row.count, row.parts, row.unit_price, row.total,
            )
            for row in plan.destinations
        ],
        exclusion_count=len(plan.exclusions), reasons=Counter(row.reason for row in plan.exclusions).most_common(),
        first_exclusions=plan.exclusions[:SHOWN_EXCLUSIONS],
    )  # fmt: skip


def _foreign_characters(plan: Plan) -> list[str]:
    if UCS_2 not in plan.encodings:
        return []
    found = dict.fromkeys(plan.example)
    for recipient in plan.recipients:
        found |= dict.fromkeys(recipient.text or "")
    return [character for character in found if segment(character).encoding == UCS_2]


def to_json(preview: Preview) -> dict[str, Any]:
    """The preview as JSON can keep it: amounts as texts."""
    fields = {name: value for name, value in vars(preview).items() if name in Preview.__dataclass_fields__}
    fields |= {"account": None, "total": f"{preview.total:.6f}"}
    fields["destinations"] = [
        asdict(row) | {"unit_price": f"{row.unit_price:.6f}", "total": f"{row.total:.6f}"}
        for row in preview.destinations
    ]
    return fields | {"first_exclusions": [asdict(row) for row in preview.first_exclusions]}


def from_json(account: Account, kept: dict[str, Any], *, shows_money: bool) -> Preview:
    """The account's preview that ``to_json`` kept; no money any more where the account may not see it by now."""
    destinations = [
        DestinationRow(**row | {"unit_price": Decimal(row["unit_price"]), "total": Decimal(row["total"])})
        for row in kept["destinations"]
    ]
    preview = Preview(**kept | {
        "account": account,
        "total": Decimal(kept["total"]),
        "destinations": destinations,
        "reasons": [(reason, count) for reason, count in kept["reasons"]],
        "first_exclusions": [PlannedExclusion(**row) for row in kept["first_exclusions"]],
    })  # fmt: skip
    return replace(preview, shows_money=preview.shows_money and shows_money)
