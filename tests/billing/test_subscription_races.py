"""Races for numbers on real connections. Each has a canary: the same race with its lock taken out must go wrong."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from django.core.management import call_command

from billing.exceptions import SubscriptionOver
from billing.models import LedgerTransaction, Subscription
from billing.services import service_movements, subscriptions
from billing.services.subscriptions import Counts
from keywords.models import Keyword, KeywordTerms
from keywords.services import keywords
from keywords.services.keywords import KeywordValues, create_keyword
from tests.billing.services import D, at, available, lease_number, make_number, movements_of, renew, set_margin
from tests.billing.test_races import as_owner
from tests.cast import Member, fund
from tests.conftest import CommittedDatabase
from tests.meeting import SURELY, meet
from virtual_numbers.exceptions import NumberTaken
from virtual_numbers.models import Lease, VirtualNumber
from virtual_numbers.services import leasing

RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def names(outcomes: list[Any]) -> Counter[str]:
    return Counter(type(outcome).__name__ for outcome in outcomes)


def do_not_lock(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """``select_for_update`` of this model's rows reads them without a lock."""
    monkeypatch.setattr(type(model.objects.all()), "select_for_update", lambda rows, **options: rows._chain())


# --- The same number leased twice ----------------------------------------------------------------------------------


def lease_twice(run_together: RunTogether, *members: Member) -> list[Any]:
    number = make_number()
    return run_together(len(members), lambda index: lease_number(members[index], number))


def test_of_two_who_lease_a_number_at_once_one_gets_it_and_pays(
    committed_db: CommittedDatabase, reseller: Member, outsider: Member, run_together: RunTogether
) -> None:
    fund(outsider, "100")
    outcomes = lease_twice(run_together, reseller, outsider, reseller, outsider)
    assert names(outcomes) == {"Lease": 1, "NumberTaken": 3}
    winner = next(one for one in outcomes if isinstance(one, Lease)).account
    for member in (reseller, outsider):
        assert available(member.account) == (D(81) if member.account == winner else D(100))
    assert (Subscription.objects.count(), Lease.objects.count()) == (1, 1)
    assert VirtualNumber.objects.get().state == "leased"
    call_command("verify_ledger")


def test_canary_without_the_numbers_lock_the_loser_gets_no_clear_answer(
    committed_db: CommittedDatabase,
    reseller: Member,
    outsider: Member,
    run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both see it free; what is left is the index of leases, which knows no words."""
    fund(outsider, "100")
    do_not_lock(monkeypatch, VirtualNumber)
    meet(monkeypatch, leasing, "price_for", patience=SURELY)
    assert names(lease_twice(run_together, reseller, outsider)) == {"Lease": 1, "IntegrityError": 1}


# --- The task of renewals twice at once ----------------------------------------------------------------------------


@pytest.fixture
def due(committed_db: CommittedDatabase, reseller: Member, client_member: Member) -> Lease:
    """Due on 10 February at 24.00, of which the reseller earns 5.00; the client has the money for three months."""
    set_margin(client_member, "5")
    fund(client_member, "86", key="four months")
    return lease_number(client_member, now=at("2027-01-10"))


def renew_together(run_together: RunTogether, times: int, day: str) -> Counts:
    """What all runs did, added up."""
    outcomes: list[Any] = run_together(times, lambda _: renew(at(day)))
    assert names(outcomes) == {"Counts": times}
    return Counts(*(sum(values) for values in zip(*(vars(one).values() for one in outcomes), strict=True)))


def test_renewals_running_four_times_at_once_charge_a_month_once(
    due: Lease, reseller: Member, client_member: Member, run_together: RunTogether
) -> None:
    assert renew_together(run_together, 4, "2027-02-10") == Counts(months=1)
    assert (available(client_member.account), available(reseller.account)) == (D(48), D(110))
    assert len(movements_of(due.subscription)) == 2
    call_command("verify_ledger")


def test_late_renewals_running_side_by_side_charge_every_month_once(
    due: Lease, client_member: Member, run_together: RunTogether
) -> None:
    assert renew_together(run_together, 4, "2027-04-09") == Counts(months=2)
    assert available(client_member.account) == D(24)


def test_canary_without_the_subscriptions_lock_the_second_run_fails_at_the_key(
    due: Lease, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The movement's key still keeps the money; nothing but the lock keeps the run from failing."""
    do_not_lock(monkeypatch, Subscription)
    meet(monkeypatch, subscriptions, "charge", patience=SURELY)
    assert renew_together(run_together, 2, "2027-02-10") == Counts(months=1, failed=1)


@pytest.mark.forges_books
def test_canary_without_lock_and_keys_a_month_is_charged_twice(
    due: Lease, client_member: Member, run_together: RunTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_not_lock(monkeypatch, Subscription)
    keyless = threading.local()

    def charge(**arguments: Any) -> Any:
        keyless.count = f"{threading.get_ident()}"
        return real(**arguments | {"key": f"{arguments['key']}:{keyless.count}"})

    real = service_movements.charge
    monkeypatch.setattr(subscriptions, "charge", charge)
    meet(monkeypatch, subscriptions, "charge", patience=SURELY)
    as_owner("DROP INDEX one_charge_a_month")
    assert renew_together(run_together, 2, "2027-02-10") == Counts(months=2)
    assert available(client_member.account) == D(24)


# --- Released while it renews --------------------------------------------------------------------------------------


def release_during_renewal(lease: Lease, monkeypatch: pytest.MonkeyPatch, run_together: RunTogether) -> list[Any]:
    """The renewal has read the subscription and is about to charge as the release begins."""
    charging = threading.Event()
    real = subscriptions.charge

    def slow_charge(**arguments: Any) -> Any:
        charging.set()
        released.wait(timeout=1)  # in vain where the release waits for the subscription's lock
        return real(**arguments)

    def work(index: int) -> Any:
        if index == 0:
            return renew(at("2027-02-10"))
        charging.wait(timeout=20)
        leasing.release(lease=lease, actor=None, now=at("2027-02-10"))
        released.set()
        return "released"

    released = threading.Event()
    monkeypatch.setattr(subscriptions, "charge", slow_charge)
    return run_together(2, work)


def as_it_ended(lease: Lease) -> tuple[str, str, int]:
    lease.subscription.refresh_from_db()
    lease.number.refresh_from_db()
    return lease.subscription.state, lease.number.state, len(movements_of(lease.subscription))


def test_a_release_during_the_renewal_waits_for_it_and_ends_all(
    due: Lease, client_member: Member, monkeypatch: pytest.MonkeyPatch, run_together: RunTogether
) -> None:
    assert release_during_renewal(due, monkeypatch, run_together) == [Counts(months=1), "released"]
    assert as_it_ended(due) == ("ended", "quarantined", 2)
    assert renew(at("2027-03-10")) == Counts()
    assert available(client_member.account) == D(48)
    call_command("verify_ledger")


def test_a_renewal_after_the_release_charges_nothing(
    due: Lease, client_member: Member, monkeypatch: pytest.MonkeyPatch, run_together: RunTogether
) -> None:
    """The run has listed the subscription as due when the release commits."""
    real = subscriptions._renew

    def after_release(pk: int, run: Any) -> None:
        leasing.release(lease=due, actor=None, now=at("2027-02-10"))
        real(pk, run)

    monkeypatch.setattr(subscriptions, "_renew", after_release)
    assert renew(at("2027-02-10")) == Counts()
    assert as_it_ended(due) == ("ended", "quarantined", 1)


def test_canary_without_the_subscriptions_lock_a_released_number_is_charged_for(
    due: Lease, client_member: Member, monkeypatch: pytest.MonkeyPatch, run_together: RunTogether
) -> None:
    do_not_lock(monkeypatch, Subscription)
    release_during_renewal(due, monkeypatch, run_together)
    assert as_it_ended(due) == ("ended", "quarantined", 2)
    released_at = Subscription.objects.get().ended_at
    charged = LedgerTransaction.objects.filter(kind="number").latest("pk")
    assert isinstance(released_at, datetime)
    assert charged.idempotency_key.endswith(":2027-02-10")  # after the release had answered


def test_a_number_released_twice_at_once_is_released_once(due: Lease, run_together: RunTogether) -> None:
    outcomes = run_together(4, lambda _: leasing.release(lease=due, actor=None, now=at("2027-02-01")))
    assert names(outcomes) == {"NoneType": 1, SubscriptionOver.__name__: 3}
    assert as_it_ended(due) == ("ended", "quarantined", 1)


# --- Released while it is given to a client ------------------------------------------------------------------------


def test_a_number_released_while_it_is_allocated_ends_with_nobody(
    committed_db: CommittedDatabase, reseller: Member, client_member: Member, run_together: RunTogether
) -> None:
    for round_ in range(5):
        lease = lease_number(reseller, make_number(f"+6148000001{round_}", monthly="1"), now=at("2027-01-10"))
        deeds: list[Callable[[], object]] = [
            lambda lease=lease: leasing.release(lease=lease, actor=None, now=at("2027-02-01")),
            lambda lease=lease: leasing.allocate(lease=lease, child=client_member.account, actor=None),
        ]  # fmt: skip
        outcomes = run_together(2, lambda index, deeds=deeds: deeds[index]())
        assert outcomes[0] is None
        assert isinstance(outcomes[1], Lease) or type(outcomes[1]).__name__ == "LeaseOver"
        assert as_it_ended(lease)[:2] == ("ended", "quarantined")
    with suppress(NumberTaken):
        lease_number(reseller, VirtualNumber.objects.first())
    assert Lease.objects.filter(ended_at=None).count() == 0


# --- Released while one of its keywords ends -----------------------------------------------------------------------


def test_a_number_is_released_although_one_of_its_keywords_ends_meanwhile(
    due: Lease, client_member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release has listed the number's keywords when somebody else ends one of them."""
    KeywordTerms.objects.create(account=client_member.account, is_enabled=True)
    for word in ("PIZZA", "PASTA"):
        create_keyword(
            account=client_member.account, number=due.number, word=word, values=KeywordValues(), expected=None,
            actor=None, now=at("2027-01-11"),
        )  # fmt: skip
    real, done = keywords.end_keyword, []

    def ended_before(*, keyword: Keyword, actor: Any, now: datetime) -> None:
        if not done:
            done.append(True)
            real(keyword=keyword, actor=None, now=now)
        real(keyword=keyword, actor=actor, now=now)

    monkeypatch.setattr(keywords, "end_keyword", ended_before)
    leasing.release(lease=due, actor=None, now=at("2027-02-01"))
    assert as_it_ended(due)[:2] == ("ended", "quarantined")
    assert not Keyword.objects.filter(ended_at=None).exists()
