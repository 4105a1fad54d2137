import re

import pytest
from django import forms

from accounts.widgets import LongSelect

CHOICES = [
    ("", "---"),
    ("A&B", "x <b>"),
    ('Group "q"', [("a/b", "A 'B'"), ("c", "C")]),
    ("c", "C again"),
]


@pytest.mark.parametrize("value", ["", None, "A&B", "a/b", "c", "unknown"])
def test_a_long_select_is_what_django_makes_of_it(value: str | None) -> None:
    rendered = [
        re.sub(r"\s*\n\s*", "", kind(attrs={"class": "wide"}, choices=CHOICES).render("zone", value, {"id": "id_zone"}))
        for kind in (LongSelect, forms.Select)
    ]
    assert rendered[0] == rendered[1]
    assert rendered[0].count(" selected") == (value != "unknown")
