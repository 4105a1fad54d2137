"""People as they are pasted (contacts/pasting.py)."""

import pytest

from contacts.pasting import read_people
from contacts.services.lists import Person

A, B = "+61412345678", "+61412345679"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("0412 345 678", [Person(A)]),
        ("0412345678, 0412345679", [Person(A), Person(B)]),
        ("0412345678 0412345679\n\n ; \n", [Person(A), Person(B)]),
        ("0412345678, Anna, Smith\n+61412345679;Ben", [Person(A, "Anna", "Smith"), Person(B, "Ben")]),
        ("0412 345 678 Anna Smith", [Person(A, "Anna", "Smith")]),
        ("0412345678\tAnna Maria\tvan der Smit", [Person(A, "Anna Maria", "van der Smit")]),
        ("0412345678 Zoë, 0412345679 李 伟", [Person(A, "Zoë"), Person(B, "李", "伟")]),
    ],
)
def test_numbers_and_the_names_behind_them_are_read(text: str, people: list[Person]):
    found = read_people(text, "AU")
    assert (found.people, found.problems) == (people, [])


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("nobody", "Contains letters; a number has digits only."),
        ("02 9374 4000", "This is a fixed line, not a mobile number."),
        ("Anna, 0412345678", "Anna: Contains letters; a number has digits only."),
        ("0412345678, Anna, B, C", "More than a first and a last name stand behind the number."),
        ("0412345678, " + "x" * 61, f"{'x' * 40}… has 61 characters; a name has at most 60."),
        ("0412345678, 041234567", "041234567: Too short for a mobile number of Australia."),
    ],
)
def test_a_line_with_a_problem_is_named_and_adds_nobody(line: str, detail: str):
    found = read_people(f"{A}\n\n{line}\n{B}", "AU")
    assert [person.number for person in found.people] == [A, B]
    assert [(problem.line, problem.text, problem.detail) for problem in found.problems] == [(3, line, detail)]
    assert (found.rest, found.lines) == (line, 3)
