"""What each line of an uploaded list would do to the inventory: add, change, leave as it is, or why it cannot."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from accounts.countries import country_choices, country_name
from billing.models import RateCard
from billing.wording import money_text
from virtual_numbers.import_files import Row
from virtual_numbers.models import NumberPrice, VirtualNumber
from virtual_numbers.numbering import UnreadableNumber, read_number

NEW, CHANGED, UNCHANGED, ERROR = "new", "changed", "unchanged", "error"
VERDICTS = (NEW, CHANGED, UNCHANGED, ERROR)
_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,6})?")
_FORMULA = re.compile(r"[=@\-]")
# Never asked by what is typed: the routes' own model belongs to a room above.
_Route: Any = VirtualNumber._meta.get_field("route").related_model


@dataclass(frozen=True)
class Values:
    """One line, understood. Amounts in ``currency``, a month and once."""

    number: str
    country: str
    kind: str
    capabilities: tuple[str, ...]
    route: str
    currency: str
    monthly: Decimal
    setup: Decimal

    @property
    def key(self) -> tuple[str, str]:
        """What a number is told apart by: a short code is its country's own."""
        return (self.country if self.kind == VirtualNumber.Kind.SHORT else "", self.number)

    @property
    def facts(self) -> tuple[Any, ...]:
        """What all lines of one number must agree in."""
        return (self.country, self.kind, self.capabilities, self.route)


@dataclass
class Line:
    """A line of the file with its verdict; ``notes`` say what is wrong, or what changes from what to what."""

    line: int
    cells: dict[str, str]
    verdict: str = NEW
    notes: list[str] = field(default_factory=list)
    values: Values | None = None

    def as_json(self) -> dict[str, Any]:
        return {"line": self.line, "cells": self.cells.copy(), "verdict": self.verdict, "notes": self.notes.copy()}


def judge(rows: Iterable[Row]) -> list[Line]:
    """Compare the rows with the inventory as it is now; a fixed number of queries."""
    known = _Known.load()
    lines = [_read(row, known) for row in rows]
    _compare_with_each_other(lines)
    _compare_with_inventory([line for line in lines if line.values])
    for line in lines:
        if line.verdict == ERROR:
            line.values = None
    return lines


# --- One line ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """What a line may name."""

    countries: frozenset[str]
    routes: frozenset[str]
    currencies: frozenset[str]

    @classmethod
    def load(cls) -> "_Known":
        return cls(
            frozenset(code for code, _ in country_choices()),
            frozenset(_Route.objects.values_list("code", flat=True)),
            frozenset(RateCard.objects.values_list("currency", flat=True)),
        )


class _Reader:
    """Reads the cells of one row and collects what is wrong with them."""

    def __init__(self, row: Row, known: _Known) -> None:
        # An apostrophe in front is how exports keep a spreadsheet from running a cell.
        self.cells = {name: cell.removeprefix("'").strip() for name, cell in row.cells.items()}
        self.known = known
        self.errors: list[str] = []

    def one_of(self, column: str, allowed: Iterable[str], *, upper: bool = False, empty: bool = False) -> str:
        """A word of a closed list; notes which words there are."""
        cell = self.cells[column].upper() if upper else self.cells[column].lower().replace("-", "_")
        if (empty and not cell) or cell in allowed:
            return cell
        self._refuse(column, f"use {_either(allowed)}")
        return ""

    def country(self) -> str:
        cell = self.cells["country"].upper()
        if cell not in self.known.countries:
            self._refuse("country", "use its two letters (ISO 3166), such as AU")
            return ""
        return cell

    def route(self) -> str:
        cell = self.cells["route"]
        if cell and cell not in self.known.routes:
            self._refuse("route", f"use the code of a route ({_either(self.known.routes)}) or leave it empty")
        return cell

    def capabilities(self) -> tuple[str, ...]:
        words = {word.lower() for word in re.split(r"[\s,;|+/]+", self.cells["capabilities"]) if word}
        unknown = sorted(words - set(VirtualNumber.Capability.values))
        if unknown or not words:
            self._refuse("capabilities", f"use {_either(VirtualNumber.Capability.values)}, several with spaces between")
        return in_order(words)

    def amount(self, column: str, *, empty: bool = False) -> Decimal:
        cell = self.cells[column]
        if empty and not cell:
            return Decimal(0)
        if not _AMOUNT.fullmatch(cell):
            self._refuse(column, "enter an amount with a point and at most 6 decimals, such as 19.00")
            return Decimal(0)
        return Decimal(cell)

    def number(self, country: str, kind: str) -> str:
        if not (country and kind):
            return ""  # what it is compared with is wrong already
        if not self.cells["number"] or _FORMULA.match(self.cells["number"]):
            self._refuse("number", "enter it in international form, such as +61491570156")
            return ""
        try:
            return read_number(self.cells["number"], country, kind)
        except UnreadableNumber as error:
            self.errors.append(str(error))
            return ""

    def _refuse(self, column: str, advice: str) -> None:
        cell = self.cells[column]
        if _FORMULA.match(cell):
            self.errors.append(f"{column}: “{cell[:30]}” looks like a formula; {advice}.")
        else:
            self.errors.append(f"{column}: “{cell[:30]}” is not right; {advice}." if cell else f"{column}: {advice}.")


def in_order(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Each capability once, in the order in which the portal names them."""
    given = set(capabilities)
    return tuple(value for value in VirtualNumber.Capability.values if value in given)


def _either(words: Iterable[str]) -> str:
    listed = sorted(words)
    shown = ", ".join(listed[:8])
    return f"{shown} and {len(listed) - 8} more" if len(listed) > 8 else shown


def _read(row: Row, known: _Known) -> Line:
    reader = _Reader(row, known)
    country, kind = reader.country(), reader.one_of("type", VirtualNumber.Kind.values)
    values = Values(
        number=reader.number(country, kind),
        country=country,
        kind=kind,
        capabilities=reader.capabilities(),
        route=reader.route(),
        currency=reader.one_of("currency", known.currencies, upper=True),
        monthly=reader.amount("monthly"),
        setup=reader.amount("setup", empty=True),
    )
    if reader.errors:
        return Line(row.line, row.cells, ERROR, reader.errors)
    return Line(row.line, row.cells, values=values)


# --- Lines together ----------------------------------------------------------------------------------------------


def _compare_with_each_other(lines: list[Line]) -> None:
    """One line a number and currency; lines of one number agree in all but prices."""
    first: dict[tuple[str, str], Line] = {}
    priced: dict[tuple[tuple[str, str], str], int] = {}
    for line in lines:
        values = line.values
        if values is None:
            continue
        earlier = first.setdefault(values.key, line)
        if earlier.values and earlier.values.facts != values.facts:
            line.notes.append(
                f"{values.number} stands on line {earlier.line} too, with another country, type, capabilities or "
                "route; they must be the same, as only prices differ by currency."
            )
        known = priced.setdefault((values.key, values.currency), line.line)
        if known != line.line:
            line.notes.append(f"The price of {values.number} in {values.currency} stands on line {known} already.")
        if line.notes:
            line.verdict, line.values = ERROR, None


def _compare_with_inventory(lines: list[Line]) -> None:
    numbers = VirtualNumber.objects.filter(number__in=[line.values.number for line in lines if line.values])
    found: dict[tuple[str, str], VirtualNumber] = {}
    for number in numbers.select_related("route").prefetch_related("prices"):
        found[number.country if number.kind == VirtualNumber.Kind.SHORT else "", number.number] = number
    for line in lines:
        assert line.values is not None  # noqa: S101 - filtered by the caller; for the type checker
        existing = found.get(line.values.key)
        if existing is not None:
            _compare(line, line.values, existing)


def _compare(line: Line, values: Values, number: VirtualNumber) -> None:
    if number.country != values.country:
        line.verdict = ERROR
        line.notes = [
            f"{number} is in the inventory as a number of {country_name(number.country)}; correct one of them."
        ]
        return
    if number.state == VirtualNumber.State.PORTED_OUT:
        line.verdict = ERROR
        line.notes = [f"{number} was ported out; set it free in the inventory first if it came back."]
        return
    if number.state == VirtualNumber.State.LEASED and number.kind != values.kind:
        line.verdict = ERROR
        line.notes = [
            f"{number} is leased as a number of type {number.kind}; its type cannot change until it is released."
        ]
        return
    price = next((one for one in number.prices.all() if one.currency == values.currency), None)
    line.notes = [*_changed_facts(values, number), *_changed_price(values, price)]
    line.verdict = CHANGED if line.notes else UNCHANGED
    if line.notes and number.state == VirtualNumber.State.LEASED:
        line.notes.append("It is leased: a new price counts from the next renewal on.")


def _changed_facts(values: Values, number: VirtualNumber) -> list[str]:
    route = number.route.code if number.route else ""
    pairs = [
        ("type", number.kind, values.kind),
        ("capabilities", " ".join(in_order(number.capabilities)), " ".join(values.capabilities)),
        ("route", route, values.route),
    ]
    return [f"{name}: {old or 'none'} → {new or 'none'}" for name, old, new in pairs if old != new]


def _changed_price(values: Values, price: NumberPrice | None) -> list[str]:
    if price is None:
        return [f"price: none in {values.currency} → {money_text(values.monthly, values.currency)} a month"]
    pairs = [("monthly", price.monthly, values.monthly), ("set-up", price.setup, values.setup)]
    return [
        f"{name}: {money_text(old, values.currency)} → {money_text(new, values.currency)}"
        for name, old, new in pairs
        if old != new
    ]
