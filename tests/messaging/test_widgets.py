"""The select of lists is the one that Django draws."""

from typing import Any

import pytest
from django.forms import Select
from django.test.html import parse_html

from messaging.widgets import PlainSelect

CHOICES = [
    ("", "All"),
    ("Groups", [("all-waiting", "Waiting"), ('"><script>', "Waiting & <b>more</b>")]),
    ("sent", "Sent"),
    (7, "Seven"),
]


@pytest.mark.parametrize("value", [None, "", "sent", "all-waiting", '"><script>', "unheard of", 7, "7"])
def test_a_plain_select_reads_as_djangos(value: Any) -> None:
    attrs = {"id": "id_state", "aria-invalid": "true", "disabled": True, "required": False}
    drawn = [
        parse_html(kind({"class": "form-select"}, CHOICES).render("state", value, attrs))
        for kind in (PlainSelect, Select)
    ]
    assert drawn[0] == drawn[1]
