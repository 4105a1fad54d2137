"""Filters and tags of every template (built in, no ``{% load %}`` needed).

Filters: ``money``, ``as_lines``, ``message_lines``, ``unit_price``, ``phone``, ``moment``, ``day``, ``in_words``,
``state_badge``.
Tags: ``icon``, ``chart``, ``time_zone``, ``page_links``, ``form_errors``.
"""

import datetime as dt
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import phonenumbers
from django import template
from django.conf import settings
from django.core.paginator import Page
from django.forms import BaseForm
from django.forms.boundfield import BoundField
from django.urls import reverse
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from billing.models import CREDITS
from billing.statement_rows import Row
from billing.wording import credits_text
from messaging.models import Message

register = template.Library()

ICONS = settings.BASE_DIR / "static" / "vendor" / "tabler-icons"
MONEY_PLACES = 6
MINUS = "\u2212"


def _amount(value: Any, least_places: int) -> str:
    """Digits with thousands separators: ``least_places`` decimals, more (up to six) only while they are not zero."""
    if isinstance(value, float):
        raise TypeError("Money is Decimal; a float has already lost its last digits.")
    number = Decimal(value)
    digits = f"{abs(number):,.{MONEY_PLACES}f}"
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0").ljust(least_places, "0")
    sign = MINUS if number < 0 and (whole != "0" or fraction.strip("0")) else ""
    return f"{sign}{whole}.{fraction}"


def _priced(value: Any, currency: str, least_places: int) -> str:
    if value is None or value == "":
        return ""
    if currency == CREDITS:
        return credits_text(Decimal(value)).replace("-", MINUS)
    shown = f"{currency} {_amount(value, least_places)}".strip()
    # Letters, digits and signs: nothing to escape, which a statement of fifty lines would do two hundred times.
    return SafeString(shown) if not currency or currency.isalnum() else shown


@register.filter
def money(value: Any, currency: str = "") -> str:
    """``{{ 24|money:"AUD" }}`` = "AUD 24.00"; up to six decimals when they are significant; "" for None.

    Without a currency only the digits; SMS credits read "5 credits". Raises TypeError for a float.
    """
    return _priced(value, currency, 2)


@register.filter
def as_lines(rows: Sequence[Row], unit: str) -> list[tuple[str, ...]]:
    """The lines of a statement with their times and amounts as they are shown, each as text, amounts with their class.

    A template that calls a filter for each takes twice as long for a page of fifty.
    """
    return [
        (
            moment(row.moment), row.why, row.title, row.about, row.who, *_signed(row.amount, unit),
            money(row.balance, unit),
        )
        for row in rows
    ]  # fmt: skip


@register.filter
def message_lines(rows: Sequence[tuple[Message, bool]]) -> list[tuple[str, ...]]:
    """Lines of a list of messages as they are shown, each as text; of (message, whether its price may be seen).

    Address, recipient, state, the carrier's code, when accepted, client, sender, parts, price.
    """
    address, some_id = reverse("messaging:message-detail", args=[UUID(int=0)]), str(UUID(int=0))
    return [
        (
            address.replace(some_id, str(message.pk)), phone(message.recipient),
            state_badge(message.state, message.state_label), message.error_code,
            moment(message.accepted_at, "seconds"), message.account.name, message.sender, str(message.parts),
            _charged(message) if is_priced else "–",
        )
        for message, is_priced in rows
    ]  # fmt: skip


def _charged(message: Message) -> str:
    if message.costs_nothing:
        return SafeString('<span class="text-secondary">not charged</span>')
    return unit_price(message.price, message.quote.currency)


def _signed(amount: Decimal, unit: str) -> tuple[SafeString, str]:
    """The class of a movement's cell and its amount, with a plus where money came in."""
    shown = money(amount, unit)
    if amount <= 0:
        return SafeString("money"), shown
    return SafeString("money money-in"), SafeString("+") + shown


@register.filter
def unit_price(value: Any, currency: str = "") -> str:
    """A price per part, at least four decimals, so that columns of prices line up: "AUD 0.0790"."""
    return _priced(value, currency, 4)


@register.filter
def phone(value: str | None) -> str:
    """An E.164 number (with or without plus) in international writing: "+61 491 570 156"; anything else unchanged.

    Up to eight digits without a plus are a short code.
    """
    return _international(str(value or "").strip())


@lru_cache(20_000)
def _international(text: str) -> str:
    if not re.fullmatch(r"\+[1-9]\d{4,14}|[1-9]\d{8,14}", text):
        return text
    try:
        number = phonenumbers.parse("+" + text.lstrip("+"))
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


@register.filter
def moment(value: dt.datetime | None, precision: str = "minutes") -> str:
    """A point in time in the account's zone, as a ``<time>`` whose title names the zone.

    ``{{ at|moment }}`` = "20 Nov 2026, 14:05"; ``{{ at|moment:"seconds" }}`` = "20 Nov 2026, 14:05:09".
    """
    if value is None:
        return ""
    local = timezone.localtime(value)
    # A statement shows fifty of them: this is ten times as fast as Django's formatter, which can other languages.
    shown = f"{local.day} {local:%b %Y, %H:%M:%S}" if precision == "seconds" else f"{local.day} {local:%b %Y, %H:%M}"
    # Digits, month names and a zone of the tz database: nothing to escape.
    return SafeString(f'<time datetime="{local.isoformat()}" title="{_zone_at(local)}">{shown}</time>')


def _zone_at(local: dt.datetime) -> str:
    """ "Australia/Sydney (UTC+11:00)": the offset is that of the moment, as it changes with summer time."""
    return f"{local.tzinfo} (UTC{local.isoformat()[-6:]})"


@register.simple_tag
def time_zone() -> str:
    """The zone in which times are shown, with its offset now."""
    return _zone_at(timezone.localtime())


@register.filter
def day(value: dt.date | None) -> str:
    """A date, "20 Nov 2026"; of a point in time, the day that it falls on in the account's zone."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        value = timezone.localtime(value).date()
    # As in ``moment``: the report of a year shows seven hundred of them.
    return SafeString(f'<time datetime="{value.isoformat()}">{value.day} {value:%b %Y}</time>')


@register.filter
def in_words(duration: dt.timedelta | None) -> str:
    """A length of time for people, rounded up to whole minutes: "15 minutes", "1 hour 5 minutes"; "" for None."""
    if duration is None:
        return ""
    hours, minutes = divmod(math.ceil(duration.total_seconds() / 60), 60)
    parts = [(hours, "hour"), (minutes, "minute")]
    return " ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts if count) or "0 minutes"


TONES = {
    "good": "delivered active live paid succeeded completed credited done",
    "progress": "queued released sending submitted processing preparing running pending open checkout",
    "sent": "sent accepted captured",
    "waiting": "draft scheduled held waiting paused trial unknown warning grace",
    "bad": "undelivered rejected failed expired blocked suspended closed disputed refused invalid unpaid",
    "neutral": "cancelled canceled released_hold inactive none",
}
_TONE_OF_STATE = {state: tone for tone, states in TONES.items() for state in states.split()}


@register.filter
def state_badge(state: Any, label: str = "") -> SafeString:
    """A coloured badge for the state of a message, batch, account, top-up…: colour and word, never colour alone.

    The word is ``label``, or the state itself ("not_sent" reads "Not sent"). Unknown states are neutral.
    """
    value = str(getattr(state, "value", state) or "none")
    word = label or str(getattr(state, "label", "")) or value.replace("_", " ").capitalize()
    return _badge(_TONE_OF_STATE.get(value.lower(), "neutral"), word)


@lru_cache(500)
def _badge(tone: str, word: str) -> SafeString:
    return format_html('<span class="badge state state-{}">{}</span>', tone, word)


@cache
def _icon_body(name: str) -> str:
    """The paths of a vendored icon. Raises TemplateSyntaxError for a name that is not under static/vendor."""
    file = ICONS / f"{name}.svg"
    if not re.fullmatch(r"[a-z0-9-]+", name) or not file.is_file():
        raise template.TemplateSyntaxError(
            f"No icon {name!r} in static/vendor/tabler-icons; add it there and to the manifest."
        )
    found = re.search(r"<svg[^>]*>(.*)</svg>", file.read_text(), re.DOTALL)
    if found is None:
        raise template.TemplateSyntaxError(f"Icon {name!r} is no SVG.")
    return re.sub(r"\s*\n\s*", "", found[1])


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """An icon of static/vendor/tabler-icons, drawn in the text's colour: ``{% icon "send" %}``.

    Decorative (hidden from screen readers) unless ``label`` says what it means. ``css``: more classes.
    """
    meaning = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="icon {}" {} width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" focusable="false">{}</svg>',
        css,
        meaning,
        mark_safe(_icon_body(name)),  # noqa: S308 - a vendored file whose hash a test checks
    )


@dataclass(frozen=True)
class PageLink:
    """One step of a pagination: a page's number, an arrow (``icon`` with ``label``), or a gap (no url)."""

    url: str = ""
    number: int | None = None
    icon: str = ""
    label: str = ""
    is_current: bool = False


@register.simple_tag(takes_context=True)
def page_links(context: template.Context, page: Page, parameter: str = "page") -> list[PageLink]:
    """The links under a list, for ``_pagination.html``: previous, pages around the current one, next.

    They keep the request's other query values (search, sorting, filters).
    """
    query = context["request"].GET.copy()

    def url(number: int) -> str:
        query[parameter] = str(number)
        return f"?{query.urlencode()}"

    def arrow(icon_name: str, label: str, number: int | None) -> PageLink:
        return PageLink(url(number) if number else "", icon=icon_name, label=label)

    before = page.previous_page_number() if page.has_previous() else None
    after = page.next_page_number() if page.has_next() else None
    numbers = [
        PageLink(url(number), number, label=f"Page {number}", is_current=number == page.number)
        if isinstance(number, int)
        else PageLink()
        for number in page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    ]
    return [arrow("chevron-left", "Previous page", before), *numbers, arrow("chevron-right", "Next page", after)]


@register.simple_tag
def form_errors(form: BaseForm) -> list[tuple[str, str, str]]:
    """Each error of a form as (field's label, sentence, id to jump to); label and id are "" without a field."""
    found = [("", str(error), "") for error in form.non_field_errors()]
    for field in form:
        target = "" if field.is_hidden else _first_control(field)
        found += [(str(field.label), str(error), target) for error in field.errors]
    return found


def _first_control(field: BoundField) -> str:
    """The id that a link to the field jumps to: a group of radios has none of its own, its first button has."""
    return field.id_for_label or f"{field.auto_id}_0"


def _figure(value: Any, unit: str) -> str:
    return money(value, unit) if unit else SafeString(f"{value:,}")


def cells(css: str, figures: Iterable[str]) -> SafeString:
    """Cells of a table in one piece: a template takes ten times as long, a tenth of a second for the days of a year."""
    return SafeString("".join(f'<td class="{css}">{conditional_escape(figure)}</td>' for figure in figures))


@register.inclusion_tag("_chart.html")
def chart(chart_id: str, data: dict[str, Any], title: str, *, kind: str = "bar", unit: str = "") -> dict[str, Any]:
    """A chart over days with its figures as a table, which is all that a reader without JavaScript or sight needs.

    ``data``: {"days": [date, …], "series": [{"label": str, "values": [int | Decimal, …], "tone": str}, …]};
    ``tone`` is one of accent, good, bad, waiting. ``kind``: "bar" (series stacked) or "line". ``unit``: currency code
    of the values (shown as money), or "" for counts. Draws under ``static/js/charts.js``, which base.html loads.
    """
    series = [{"tone": "accent", **one, "total": _figure(sum(one["values"]), unit)} for one in data["series"]]
    rows = [
        (day(when), cells("number", [_figure(one["values"][index], unit) for one in series]))
        for index, when in enumerate(data["days"])
    ]
    plotted = {
        "days": [when.isoformat() for when in data["days"]],
        # Canvas coordinates, not money: the table beside it has the exact amounts.
        "series": [one | {"values": [float(value) for value in one["values"]]} for one in series],
        "kind": kind,
        "unit": unit,
    }
    return {"chart_id": chart_id, "title": title, "series": series, "rows": rows, "plotted": plotted}
