"""A long-running process does not walk through what it has loaded each time that some objects were added."""

import gc
from collections.abc import Iterator

import pytest

from accounts.garbage import spare_collections


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Generations that were collected, while the collector is as this process had it before."""
    before, seen = gc.get_threshold(), list[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def test_a_set_of_messages_comes_and_goes_without_a_collection(collections):
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    assert [[] for _ in range(10_000)]
    assert collections  # Python's own setting collects meanwhile
    spare_collections()
    assert gc.get_freeze_count() > 10_000
    collections.clear()
    for _ in range(5):
        assert [[] for _ in range(10_000)]
    assert collections == []


def test_what_refers_to_itself_is_found_all_the_same(collections):
    spare_collections()
    collections.clear()
    for _ in range(30_000):
        loop: list[object] = []
        loop.append(loop)
    assert collections == [0]
