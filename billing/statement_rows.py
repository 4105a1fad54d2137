"""A statement's lines as its page shows them."""

import html
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString

from billing.statements import Line


class Row(NamedTuple):
    """One line. Its texts are HTML and escaped.

    ``why``: address of "Why this amount". ``about``: the note, with the batch or receipt that the line refers to.
    """

    moment: datetime
    why: str
    title: str
    about: str
    who: str
    amount: Decimal
    balance: Decimal


def rows_of(lines: Sequence[Line], *, opens_receipts: bool) -> list[Row]:
    """The lines with their addresses; receipts can be opened only by who may pay."""
    why, batch = _addresses("messaging:movement", UUID(int=0)), _addresses("messaging:batch-detail", "CODE")
    receipt = _addresses("billing:topup-detail", "CODE") if opens_receipts else lambda code: ""
    return [_row(line, why, batch, receipt) for line in lines]


Address = Callable[[object], str]


def _row(line: Line, why: Address, batch: Address, receipt: Address) -> Row:
    entry, movement = line.entry, line.entry.transaction
    source, code, page = "", "", ""
    if line.topup_code:
        source, code, page = "Receipt", line.topup_code, receipt(line.topup_code)
    elif line.batch_code:
        source, code, page = "Batch", line.batch_code, batch(line.batch_code)
    return Row(
        movement.created_at, _escaped(why(movement.public_id)), _escaped(line.title),
        _about(_escaped(line.note), source, _escaped(code), _escaped(page)), _escaped(line.who), entry.amount,
        entry.balance_after,
    )  # fmt: skip


def _about(note: str, source: str, code: str, page: str) -> SafeString:
    """The note and, linked where there is a ``page`` for the visitor, the reference. Put together here because a
    template takes ten times as long over its conditions, on fifty lines a page."""
    if not code:
        return SafeString(note)
    dot = "· " if note else ""
    reference = f'<a class="text-decoration-underline" href="{page}">{code}</a>' if page else code
    return SafeString(f'{note} <span class="text-nowrap">{dot}{source} {reference}</span>')


def _escaped(text: str) -> SafeString:
    """As Django's ``escape``, without its care for translations that are still to be made."""
    return SafeString(html.escape(text))


def _addresses(view: str, example: object) -> Address:
    """Addresses of one view: Django looks for the pattern once, with ``example``, instead of once for each line."""
    before, after = reverse(view, args=[example]).rsplit(str(example), 1)
    return lambda key: f"{before}{key}{after}"
