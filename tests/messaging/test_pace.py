"""The pace of a bind, by a clock of the test's own (messaging/connectors/pace.py)."""

from bisect import bisect_left

import pytest

from messaging.connectors.pace import NO_SHARE_SECONDS, Pacer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def submits(pacer: Pacer, clock: Clock, seconds: float, lag: float = 0.0) -> list[float]:
    """Moments of submits of a bind that always has work; every wait takes ``lag`` seconds longer than asked."""
    moments, end = [], clock.now + seconds
    while clock.now < end:
        wait = pacer.take()
        if wait:
            clock.now += wait + lag
        else:
            moments.append(clock.now)
    return moments


def busiest_second(moments: list[float]) -> int:
    return max(bisect_left(moments, start + 1) - index for index, start in enumerate(moments))


@pytest.mark.parametrize("rate", [1, 7, 40, 333, 2000])
@pytest.mark.parametrize("lag", [0.0, 0.003, 0.05])
def test_no_second_has_more_than_the_rate_and_nearly_all_of_it_is_used(rate, lag):
    clock = Clock()
    moments = submits(Pacer(rate, clock), clock, 5, lag)

    assert busiest_second(moments) <= rate
    assert len(moments) >= rate * 5 * (0.95 if lag < 0.01 else 0.88)


def test_submits_are_spread_over_the_second():
    clock = Clock()
    moments = submits(Pacer(100, clock), clock, 1)
    assert busiest_second([moment * 10 for moment in moments]) <= 31  # of 100 ms: a tenth and what is caught up


def test_throttling_halves_the_pace_which_then_recovers():
    clock = Clock()
    pacer = Pacer(100, clock)
    submits(pacer, clock, 2)
    for _ in range(10):  # the answers to one window are one word
        pacer.slow_down()

    slow = submits(pacer, clock, 1)
    assert 45 <= len(slow) <= 70
    submits(pacer, clock, 5)
    assert len(submits(pacer, clock, 2)) >= 190


def test_a_changed_rate_counts_what_was_submitted_before():
    clock = Clock()
    pacer = Pacer(100, clock)
    before = submits(pacer, clock, 0.5)
    pacer.lease(10)
    after = submits(pacer, clock, 2)

    assert before[-1] + 0.5 < after[0]
    assert busiest_second(after) <= 10


def test_a_bind_without_a_share_submits_nothing():
    assert Pacer().take() == NO_SHARE_SECONDS


def test_a_lease_ends():
    clock = Clock()
    pacer = Pacer(10, clock)
    pacer.lease(10, clock.now + 1.5)
    assert 14 <= len(submits(pacer, clock, 5)) <= 18
