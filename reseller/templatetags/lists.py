"""Lines of long lists as they are shown, each as text: ``{% load lists %}``.

A template that calls a filter and asks a condition for each cell takes several times as long for a page.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from messaging.margins import Earned, MarginReport
from messaging.models import Batch
from messaging.reports import Figures
from messaging.selectors import Sight
from reseller.templatetags.portal import cells, day, moment, money, phone, state_badge, unit_price

register = template.Library()

TEXT_LENGTH = 45  # characters of a batch's text
DOORS = dict(Batch.Door.choices)
STATES = dict(Batch.State.choices)
EXAMPLE = str(UUID(int=0).hex)


@register.filter
def batch_lines(rows: Sequence[tuple[Batch, bool]]) -> list[tuple[str, ...]]:
    """Lines of a list of batches, of (batch with ``is_finished``, whether its price may be seen).

    Address, code, state, when, client, text, sender and door, messages, how many were left out ("" for none), price.
    """
    address = reverse("messaging:batch-detail", args=[EXAMPLE])
    return [
        (
            address.replace(EXAMPLE, batch.code), batch.code, _state(batch), moment(batch.created_at),
            batch.account.name, Truncator(batch.text).chars(TEXT_LENGTH),
            f"{phone(batch.sender)} · {DOORS.get(batch.door, batch.door)}",
            f"{batch.message_count:,}" if batch.accepted_at else "–",
            f"{batch.excluded_count:,}" if batch.excluded_count else "",
            unit_price(batch.price, batch.currency) if is_priced and batch.accepted_at else "–",
        )
        for batch, is_priced in rows
    ]  # fmt: skip


def _state(batch: Any) -> SafeString:
    """As messaging/_batch_state.html."""
    return state_badge("finished") if batch.is_finished else state_badge(batch.state, STATES.get(batch.state, ""))


@register.simple_tag
def figure_lines(
    rows: Sequence[tuple[Any, Figures]], sight: Sight, currency: str, *, shows_margin: bool, is_days: bool
) -> list[tuple[str, SafeString]]:
    """Lines of a report of (day or name, figures): the day or name, and the cells of its figures."""
    lines = []
    for name, row in rows:
        counts = (row.messages, row.sent, row.delivered, row.failed, row.parts)
        amounts = []
        if sight.shows_amounts:
            amounts.append(money(row.spend, currency) if sight.counts_credits else unit_price(row.spend))
        if shows_margin:
            amounts.append(unit_price(row.margin))
        shown = cells("number", [SafeString(f"{count:,}") for count in counts]) + cells("money", amounts)
        lines.append((day(name) if is_days else name, shown))
    return lines


@register.simple_tag
def margin_lines(
    rows: Sequence[tuple[Any, Earned]], report: MarginReport, *, is_days: bool
) -> list[tuple[str, SafeString]]:
    """Lines of a report of margins of (day or name, what was earned): the day or name, and the labelled cells."""
    lines = []
    for name, earned in rows:
        counts = [("Messages", earned.messages), ("Parts", earned.parts)]
        if report.has_credits:
            counts.append(("SMS credits", earned.credits))
        if report.has_services:
            counts.append(("Months", earned.months))
        amounts = [("Client's price", earned.charged), ("Your price", earned.cost), ("Your margin", earned.margin)]
        shown = [f'<td class="number" data-label="{label}">{count:,}</td>' for label, count in counts]
        shown += [f'<td class="money" data-label="{label}">{unit_price(amount)}</td>' for label, amount in amounts]
        lines.append((day(name) if is_days else name, SafeString("".join(shown))))
    return lines
