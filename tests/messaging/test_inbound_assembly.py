"""Long messages are made whole from parts in any order (messaging/services/inbound_assembly.py)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from messaging.models import time_of
from messaging.services.inbound_assembly import Part, assemble
from smpp.text import encode_parts
from smpp.text import split_header as split

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=10)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=150, max_size=700)


def identifier(number: int, at: datetime = NOW) -> UUID:
    """An id of that moment; higher numbers came later."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) + (7 << 76) + number)


def parts_of(text: str, *, reference: str = "1", sender: str = "+1") -> list[Part]:
    encoded = encode_parts(text, 1)
    return [
        Part(
            identifier(0), sender, "+2", "", split(part.esm_class, part.payload)[0], part.data_coding,
            reference if len(encoded) > 1 else "", len(encoded), number, "", None, "",
        )
        for number, part in enumerate(encoded, start=1)
    ]  # fmt: skip


def arrive(parts: list[Part], at: datetime = NOW) -> list[Part]:
    """The parts with ids in the order in which they came."""
    return [part._replace(id=identifier(number, at)) for number, part in enumerate(parts)]


@given(st.lists(TEXT, min_size=1, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_messages_are_whole_in_whatever_order_their_parts_come(texts: list[str], chance):
    parts = [part for number, text in enumerate(texts) for part in parts_of(text, reference=str(number))]
    chance.shuffle(parts)
    arrived, waiting = assemble(arrive(parts), NOW, PATIENCE)
    assert sorted(one.text for one in arrived) == sorted(texts)
    assert waiting == {}
    assert [one.first.id for one in arrived] == sorted(one.first.id for one in arrived)


@given(TEXT, st.randoms(use_true_random=False), st.data())
def test_what_is_missing_waits_and_is_then_named(text: str, chance, data: st.DataObject):
    parts = parts_of(text * 2)
    chance.shuffle(parts)
    left_out = data.draw(st.integers(1, max(1, len(parts) - 1)))
    came = arrive(parts[left_out:])
    arrived, waiting = assemble(came, NOW + PATIENCE - timedelta(seconds=1), PATIENCE)
    assert arrived == []
    assert waiting == {part.id: time_of(came[0].id) + PATIENCE for part in came}

    arrived, waiting = assemble(came, NOW + PATIENCE, PATIENCE)
    assert waiting == {}
    assert len(arrived) == (1 if came else 0)
    for one in arrived:
        assert one.missing == left_out
        for part in parts[:left_out]:
            assert f"[part {part.sequence} of {part.total} did not arrive]" in one.text


def test_one_reference_of_two_messages_at_once_fills_the_older_first():
    first, second = parts_of("a" * 300), parts_of("b" * 300)
    arrived, _ = assemble(arrive([first[0], second[0], first[1], second[1]]), NOW, PATIENCE)
    assert [one.text for one in arrived] == ["a" * 300, "b" * 300]


def test_a_part_long_after_the_others_begins_a_new_message():
    first, last = parts_of("a" * 300)
    late = last._replace(id=identifier(1, NOW + PATIENCE + timedelta(seconds=1)))
    arrived, waiting = assemble([*arrive([first]), late], NOW + PATIENCE + timedelta(seconds=2), PATIENCE)
    assert [one.missing for one in arrived] == [1]
    assert list(waiting) == [late.id]


def test_parts_that_a_carrier_decoded_itself_are_joined_as_they_are():
    texts = ["One ", "two ", "three"]
    parts = [
        Part(identifier(number), "+1", "+2", text, None, 0, "r", 3, number + 1, "", None, "")
        for number, text in enumerate(texts)
    ]
    [whole], _ = assemble(parts, NOW, PATIENCE)
    assert whole.text == "One two three"
