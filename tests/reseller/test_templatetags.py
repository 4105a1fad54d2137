"""Filters and tags that every page writes its figures with."""

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import timezone

from reseller.templatetags import portal

SYDNEY = zoneinfo.ZoneInfo("Australia/Sydney")


def draw(source: str, **values: Any) -> str:
    return Template(source).render(Context(values))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Decimal("24"), "AUD 24.00"),
        (Decimal("24.500000"), "AUD 24.50"),
        (Decimal("1234567.8"), "AUD 1,234,567.80"),
        (Decimal("0.079"), "AUD 0.079"),
        (Decimal("0.012345"), "AUD 0.012345"),
        (Decimal("-3.5"), "AUD \u22123.50"),
        (Decimal("-0.000001"), "AUD \u22120.000001"),
        (Decimal("-0.00"), "AUD 0.00"),
        (5, "AUD 5.00"),
        (None, ""),
    ],
)
def test_money_shows_two_decimals_and_more_only_when_they_say_something(amount: Any, shown: str) -> None:
    assert portal.money(amount, "AUD") == shown


def test_money_without_a_currency_is_only_the_digits() -> None:
    assert portal.money(Decimal("1000")) == "1,000.00"


def test_money_refuses_a_float() -> None:
    with pytest.raises(TypeError, match="Decimal"):
        portal.money(0.1, "AUD")


def test_unit_prices_have_at_least_four_decimals() -> None:
    assert portal.unit_price(Decimal("0.05"), "USD") == "USD 0.0500"
    assert portal.unit_price(Decimal("0.012345"), "USD") == "USD 0.012345"


@pytest.mark.parametrize("number", ["+61491570156", "61491570156"])
def test_phone_writes_numbers_internationally(number: str) -> None:
    assert portal.phone(number) == "+61 491 570 156"


@pytest.mark.parametrize(
    ("text", "shown"), [("Relay", "Relay"), ("", ""), (None, ""), ("0491", "0491"), ("19444", "19444")]
)
def test_phone_leaves_what_is_no_international_number(text: str | None, shown: str) -> None:
    assert portal.phone(text) == shown


def test_a_moment_is_shown_in_the_active_zone_with_its_offset() -> None:
    at = dt.datetime(2026, 11, 20, 13, 5, 9, tzinfo=dt.UTC)
    with timezone.override(SYDNEY):
        shown = portal.moment(at)
    assert "21 Nov 2026, 00:05<" in shown
    assert 'datetime="2026-11-21T00:05:09+11:00"' in shown
    assert 'title="Australia/Sydney (UTC+11:00)"' in shown


def test_a_moment_can_show_its_seconds() -> None:
    at = dt.datetime(2026, 7, 1, 0, 5, 9, tzinfo=dt.UTC)
    with timezone.override(SYDNEY):
        shown = portal.moment(at, "seconds")
    assert "1 Jul 2026, 10:05:09<" in shown
    assert "UTC+10:00" in shown


def test_the_day_of_a_moment_is_the_day_in_the_active_zone() -> None:
    at = dt.datetime(2026, 11, 20, 13, 5, tzinfo=dt.UTC)
    with timezone.override(SYDNEY):
        assert "21 Nov 2026" in portal.day(at)
    assert "20 Nov 2026" in portal.day(at.date())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 minute"), (60, "1 minute"), (61, "2 minutes"), (3900, "1 hour 5 minutes"), (14400, "4 hours")],
)
def test_lengths_of_time_are_rounded_up_to_minutes(seconds: int, words: str) -> None:
    assert portal.in_words(dt.timedelta(seconds=seconds)) == words


def test_a_state_shows_its_word_and_its_tone() -> None:
    assert portal.state_badge("delivered") == '<span class="badge state state-good">Delivered</span>'
    assert "state-bad" in portal.state_badge("undelivered")
    assert ">Not sent<" in portal.state_badge("not_sent")
    assert "state-neutral" in portal.state_badge("something new")


def test_a_state_escapes_its_label() -> None:
    assert "<b>" not in portal.state_badge("sent", "<b>")


def test_an_icon_is_hidden_from_readers_unless_it_means_something() -> None:
    assert 'aria-hidden="true"' in draw('{% icon "send" %}')
    labelled = draw('{% icon "send" label=meaning %}', meaning="Sent <now>")
    assert 'role="img" aria-label="Sent &lt;now&gt;"' in labelled
    assert "aria-hidden" not in labelled


@pytest.mark.parametrize("name", ["no-such-icon", "../../../manage"])
def test_an_unknown_icon_is_an_error(name: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="No icon"):
        draw(f'{{% icon "{name}" %}}')


def test_pages_keep_the_rest_of_the_query() -> None:
    page = Paginator(range(100), 10).page(5)
    request = RequestFactory().get("/clients/", {"q": "gym & co", "page": "5"})
    links = portal.page_links(Context({"request": request}), page)
    assert [link.number for link in links if link.number] == [1, 4, 5, 6, 10]
    assert [link.number for link in links if link.is_current] == [5]
    assert links[0].url == "?q=gym+%26+co&page=4"
    assert links[-1].url == "?q=gym+%26+co&page=6"


def test_the_first_page_has_no_way_back() -> None:
    request = RequestFactory().get("/clients/")
    assert portal.page_links(Context({"request": request}), Paginator(range(20), 10).page(1))[0].url == ""


class PayForm(forms.Form):
    name = forms.CharField(label="Client Account Name")
    payer = forms.ChoiceField(label="Who pays", widget=forms.RadioSelect, choices=[("i", "I Pay")])

    def clean(self) -> None:
        self.add_error(None, "The limit is below the minimum.")


def test_every_error_of_a_form_is_listed_with_the_field_to_jump_to() -> None:
    assert portal.form_errors(PayForm({})) == [
        ("", "The limit is below the minimum.", ""),
        ("Client Account Name", "This field is required.", "id_name"),
        ("Who pays", "This field is required.", "id_payer_0"),
    ]


def test_crispy_forms_start_with_the_summary_and_keep_what_was_typed() -> None:
    page = draw("{% load crispy_forms_tags %}{{ form|crispy }}", form=PayForm({"name": "Gym <1>"}))
    assert "2 things to correct" in page
    assert '<a class="alert-link" href="#id_payer_0">Who pays</a>' in page
    assert 'id="id_payer_0"' in page
    assert 'value="Gym &lt;1&gt;"' in page
    assert page.index("error-summary") < page.index('name="name"')


def test_a_form_without_errors_has_no_summary() -> None:
    assert "error-summary" not in draw("{% load crispy_forms_tags %}{{ form|crispy }}", form=PayForm())


def test_a_chart_carries_its_figures_as_a_table_and_as_data() -> None:
    data = {
        "days": [dt.date(2026, 11, 1), dt.date(2026, 11, 2)],
        "series": [{"label": "Margin </script>", "values": [Decimal("1.5"), Decimal("0.000001")]}],
    }
    page = draw('{% chart "margin" data "Margin" kind="line" unit="AUD" %}', data=data)
    assert '<script id="margin" type="application/json">' in page
    assert '"days": ["2026-11-01", "2026-11-02"]' in page
    assert "AUD 0.000001" in page
    assert "AUD 1.500001" in page, "the exact total"
    assert page.count("</script>") == 1
    assert 'data-chart="margin"' in page
