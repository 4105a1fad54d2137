"""The door for single messages: callers that come at once share a transaction, and each gets its own answer."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Hold, LedgerTransaction
from billing.selectors import balance_of
from messaging.exceptions import BadText, NotEnoughMoney
from messaging.models import Batch
from messaging.services import single_door
from messaging.services.acceptance import Single
from messaging.services.single_door import SingleDoor
from tests.cast import Member

D = Decimal


def single(member: Member, number: int, text: str = "Hello", key: str = "") -> Single:
    return Single(member.account, member.user, "rest", "Shop", text, f"+6141234{number:04}", idempotency_key=key)


def test_callers_at_once_share_transactions_and_the_wallet_pays_for_what_it_covers(
    committed_db: object, client_member: Member, run_together: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    # 10.00 cover 142 messages of 0.07.
    door = SingleDoor(idle_seconds=0.2)
    answers = run_together(160, lambda n: door.accept(single(client_member, n)))

    batches = [one for one in answers if isinstance(one, Batch)]
    refused = [one for one in answers if isinstance(one, NotEnoughMoney)]
    assert (len(batches), len(refused)) == (142, 18)
    assert balance_of(client_member.account).held == D("9.94")
    assert Hold.objects.count() == 142
    moments = LedgerTransaction.objects.filter(kind="hold").values_list("created_at", flat=True).distinct()
    assert len(moments) < 142 / 2  # each transaction has one moment


def test_each_caller_gets_its_own_answer_and_a_key_its_one_batch(committed_db: object, client_member: Member) -> None:
    door = SingleDoor(threads=1, idle_seconds=0.2)
    futures = [
        door.hand_in(one)
        for one in (
            single(client_member, 1, key="order-1"), single(client_member, 2, text=""),
            single(client_member, 1, key="order-1"), single(client_member, 3),
        )
    ]  # fmt: skip
    first, again, other = (futures[n].result(30) for n in (0, 2, 3))
    with pytest.raises(BadText):
        futures[1].result(30)
    assert first == again != other
    assert Batch.objects.count() == 2


def test_a_group_of_many_is_followed_by_the_next_once_as_many_are_back(
    committed_db: object, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_door, "RETURN_SECONDS", 30)
    taken, go_on, accept = threading.Event(), threading.Event(), single_door.accept_singles

    def accept_late(singles: list[Single]) -> Any:
        taken.set()
        go_on.wait(30)
        return accept(singles)

    monkeypatch.setattr(single_door, "accept_singles", accept_late)
    door = SingleDoor(threads=1, idle_seconds=0.2)
    door.hand_in(single(client_member, 0))
    assert taken.wait(30)
    begun = time.monotonic()
    for first in (20, 40, 60):
        futures = [door.hand_in(single(client_member, first + n)) for n in range(20)]
        if first == 60:
            monkeypatch.setattr(single_door, "RETURN_SECONDS", 0)  # nobody comes back after these
        go_on.set()
        assert all(isinstance(one.result(30), Batch) for one in futures)
    assert time.monotonic() - begun < 30


def test_a_group_that_is_held_up_does_not_hold_up_the_next(
    committed_db: object, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, held, accept = threading.Event(), threading.Event(), single_door.accept_singles

    def accept_late(singles: list[Single]) -> Any:
        if singles[0].text == "Held up":
            taken.set()
            held.wait(30)
        return accept(singles)

    monkeypatch.setattr(single_door, "accept_singles", accept_late)
    door = SingleDoor(idle_seconds=0.2)
    first = door.hand_in(single(client_member, 1, text="Held up"))
    assert taken.wait(30)
    assert isinstance(door.accept(single(client_member, 2)), Batch)
    assert not first.done()
    held.set()
    assert isinstance(first.result(30), Batch)


def test_its_threads_end_when_nothing_comes_and_begin_again(committed_db: object, client_member: Member) -> None:
    door = SingleDoor(threads=1, idle_seconds=0.05)
    door.accept(single(client_member, 1))
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "single-door"]
    worker.join(10)
    assert not worker.is_alive()
    door.accept(single(client_member, 2))
    assert Batch.objects.count() == 2
    for thread in threading.enumerate():
        if thread.name == "single-door":
            thread.join(10)
