"""Whose turn it is: weighted round-robin between the accounts that wait for one route in one class."""

import math
from collections.abc import Mapping


def apportion(room: int, weights: Mapping[int, int], credits: dict[int, float]) -> dict[int, int]:
    """Divide ``room`` messages among accounts by weight, exactly; returns how many each may send, 0 included.

    What an account was owed and not given, or given ahead, stays in ``credits`` (account: messages, between about -1
    and 1) for the next time. So with more accounts than room everybody is served in turn, and over time each gets its
    share to the message. An account that comes anew is owed nothing.
    """
    total = sum(weights.values())
    # Who has left took its credit along; what is divided is the room and nothing else.
    surplus = sum(credits.get(account, 0.0) for account in weights)
    due = {
        account: credits.get(account, 0.0) + (room - surplus) * weight / total for account, weight in weights.items()
    }
    given = {account: max(0, math.floor(one)) for account, one in due.items()}
    rest = room - sum(given.values())
    by_need = sorted(due, key=lambda account: (given[account] - due[account], account))
    for account in by_need[: max(rest, 0)]:
        given[account] += 1
    for account in reversed(by_need):
        if rest >= 0:
            break
        if given[account]:
            given[account] -= 1
            rest += 1
    for account, one in due.items():
        credits[account] = one - given[account]
    return given
