"""People as they are pasted: numbers cut and read as on SEND SMS, with the name that may stand behind each."""

from dataclasses import dataclass

from accounts.phones import NotMobile, read_mobile, split_recipients
from contacts.services.lists import MAX_NAME, Person

MAX_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that cannot be added: where it stood (from 1), the line itself and what is wrong with it."""

    line: int
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """What was pasted: people, the lines with a problem, and how many lines there were that were not empty."""

    people: list[Person]
    problems: list[Problem]
    lines: int

    @property
    def rest(self) -> str:
        """What is still to be corrected, as it was typed."""
        return "\n".join(problem.text for problem in self.problems)


def read_people(text: str, region: str) -> Pasted:
    """Read pasted lines: numbers, any of them followed by a name. ``region`` reads local numbers (ISO 3166).

    Behind a number, "Anna Smith" is a first and a last name, and so are "Anna" and "Smith" behind separators; what
    stands there without a digit is a name. A line with anything wrong adds nobody.
    """
    people: list[Person] = []
    problems: list[Problem] = []
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" ,;|\t")]
    for number, line in lines:
        found = _read_line(line, region)
        if isinstance(found, str):
            problems.append(Problem(number, line.strip(), found))
        else:
            people += found
    return Pasted(people, problems, len(lines))


def _read_line(line: str, region: str) -> list[Person] | str:
    """The people of one line, or what is wrong with it."""
    people: list[tuple[str, list[str]]] = []
    for value in split_recipients(line, region):
        if people and not any(character.isdigit() for character in value):
            people[-1][1].append(value)
            continue
        number = read_mobile(value, region)
        if isinstance(number, NotMobile):
            return number.detail if value == line.strip() else f"{value[:40]}: {number.detail}"
        people.append((number, []))
    found = [_person(number, words) for number, words in people]
    too_long = next((part for one in found for part in (one.first_name, one.last_name) if len(part) > MAX_NAME), "")
    if too_long:
        return f"{too_long[:40]}… has {len(too_long)} characters; a name has at most {MAX_NAME}."
    if any(len(words) > 2 for _, words in people):
        return "More than a first and a last name stand behind the number."
    return found


def _person(number: str, words: list[str]) -> Person:
    if len(words) == 1:
        words = words[0].split(None, 1)
    return Person(number, *words[:2])
