"""Merge fields (contacts/merge.py)."""

import pytest

from contacts.merge import has_fields, names_in, render, without_fields
from contacts.models import Contact

ANNA = Contact(
    number="+61412345678", first_name="Anna", last_name="", fields={"city": "Ulm", "size": 7, "first": "{number}"}
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {first_name}!", "Hi Anna!"),
        ("{first_name} {last_name}|{number}", "Anna |+61412345678"),
        ("{city}, {size}", "Ulm, 7"),
        ("{last_name|friend} {first_name|friend}", "friend Anna"),
        ("{last_name|}{nothing}", ""),
        ("{first}", "{number}"),
        ("{ first_name} {First_name} {} {{city}} {9a}", "{ first_name} {First_name} {} {Ulm} {9a}"),
        ("no field", "no field"),
    ],
)
def test_fields_become_the_contacts_values(text: str, expected: str):
    assert render(text, ANNA) == expected


def test_nobody_has_no_values():
    assert render("Hi {first_name|there}{number}!", None) == "Hi there!"


def test_the_fields_of_a_text_are_found():
    assert names_in("{city} {first_name|x} {city} { no}") == ["city", "first_name"]
    assert has_fields("{a}")
    assert not has_fields("{ a} {A} {}")
    assert without_fields("a{b|ccc}d") == "ad"
