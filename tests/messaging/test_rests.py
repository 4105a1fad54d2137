"""Turns and rests (messaging/rests.py), and that visits to routes have them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from messaging import tasks
from messaging.rests import Rests


class Clock:
    """Time that passes only by working and by sleeping."""

    now = 1_000.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(clock: Clock) -> Callable[[int, float], float]:
    """Does a turn of so many seconds; returns how long it waited before."""
    rests = Rests(4, 0.1, clock=lambda: clock.now, sleep=clock.pass_by)

    def turn(key: int, seconds: float) -> float:
        asked = clock.now
        with rests.turn(key):
            waited = clock.now - asked
            clock.pass_by(seconds)
        return round(waited, 6)

    return turn


def test_a_turn_after_quiet_begins_at_once_and_others_after_a_rest_of_four_times_its_length(clock: Clock, work):
    assert work(1, 0.005) == 0
    assert work(1, 0.005) == 0.02
    clock.pass_by(0.015)
    assert work(1, 0.005) == 0.005
    clock.pass_by(0.02)
    assert work(1, 0.005) == 0


def test_no_rest_is_longer_than_a_tenth_of_a_second(work):
    assert work(1, 3) == 0
    assert work(1, 0) == 0.1


def test_rests_of_several_pass_at_the_same_time(work):
    assert [work(key, 0.005) for key in (1, 2, 3, 4, 5)] == [0, 0, 0, 0, 0]
    assert [work(key, 0.005) for key in (1, 2, 3, 4, 5)] == [0, 0, 0, 0, 0]
    assert [work(key, 0.001) for key in (4, 5)] == [0.015, 0.004]


def test_a_turn_that_breaks_is_rested_from_too(clock: Clock):
    rests = Rests(4, 0.1, clock=lambda: clock.now, sleep=clock.pass_by)
    with suppress(ZeroDivisionError), rests.turn(1):
        clock.pass_by(0.01)
        raise ZeroDivisionError
    with rests.turn(1):
        assert clock.now == pytest.approx(1_000.05)


def test_a_hint_that_comes_while_a_route_rests_is_part_of_the_visit_after_it(monkeypatch):
    done: list[Any] = []
    monkeypatch.setattr(tasks, "_visits", Rests(4, 0.1, sleep=lambda _: done.append("rested")))
    monkeypatch.setattr(tasks, "taken", lambda *hint: done.append("taken"))
    monkeypatch.setattr(tasks.dispatching, "dispatch_route", lambda route_id, is_asked: done.append(route_id))
    monkeypatch.setattr(tasks._visits, "_until", {7: float("inf")})
    tasks.dispatch_route(7)
    assert done == ["rested", "taken", 7]
