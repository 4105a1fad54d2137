"""Two at once: the same word, the last place below the limit, an end against others. With canaries."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from keywords.exceptions import KeywordOver, KeywordRefused, WordRefused
from keywords.models import Keyword, KeywordName, KeywordTerms
from keywords.services import keywords as service
from keywords.services.keywords import KeywordValues, end_keyword, update_keyword
from keywords.services.renewals import renew_keywords
from tests.billing.services import D, at, available
from tests.cast import Member
from tests.keywords.test_services import NOW, make, own_number, switch_on
from tests.meeting import SURELY, meet
from virtual_numbers.models import VirtualNumber
from virtual_numbers.services import leasing

RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


@pytest.fixture
def number(committed_db: object, client_member: Member) -> VirtualNumber:
    switch_on(client_member, "1")
    return own_number(client_member)


def without_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_lock_terms", lambda account: KeywordTerms.objects.get(account=account))


def kinds(outcomes: list[Any]) -> Counter[str]:
    return Counter(type(outcome).__name__ for outcome in outcomes)


# --- The same word -------------------------------------------------------------------------------------------------


def make_twice(member: Member, number: VirtualNumber, run_together: RunTogether) -> list[Any]:
    return run_together(2, lambda index: make(member, number, ("Café", "CAFE")[index]))


def test_of_the_same_word_made_twice_at_once_one_is_made_and_paid(client_member, number, run_together, monkeypatch):
    meet(monkeypatch, service, "keyword_sale")
    outcomes = make_twice(client_member, number, run_together)
    assert kinds(outcomes) == {"Keyword": 1, WordRefused.__name__: 1}
    (refused,) = (one for one in outcomes if isinstance(one, WordRefused))
    assert "already leads to the keyword" in str(refused)
    assert Keyword.objects.count() == KeywordName.objects.count() == 1
    assert available(client_member.account) == D(9)
    call_command("verify_ledger")


def test_canary_without_the_lock_only_the_unique_name_stops_the_second(
    client_member, number, run_together, monkeypatch
):
    without_lock(monkeypatch)
    monkeypatch.setattr(service, "_check_holds", lambda account, number: None)
    meet(monkeypatch, service, "keyword_sale", patience=SURELY)
    outcomes = make_twice(client_member, number, run_together)
    assert kinds(outcomes) == {"Keyword": 1, IntegrityError.__name__: 1}
    assert available(client_member.account) == D(9)


def test_an_alias_and_a_new_keyword_never_share_a_word(client_member, number, run_together, monkeypatch):
    other = make(client_member, number, "other")
    meet(monkeypatch, service, "_write_names")
    outcomes = run_together(
        2,
        lambda index: (
            make(client_member, number, "join")
            if index
            else update_keyword(keyword=other, values=KeywordValues(aliases=("JOIN",)), actor=None)
        ),
    )
    assert kinds(outcomes) == {"Keyword": 1, WordRefused.__name__: 1}
    assert KeywordName.objects.filter(normal="join").count() == 1


# --- The limit -----------------------------------------------------------------------------------------------------


def fill_the_limit(member: Member, number: VirtualNumber, run_together: RunTogether) -> list[Any]:
    switch_on(member, "1", limit=1)
    return run_together(2, lambda index: make(member, number, ("one", "two")[index]))


def test_two_at_once_do_not_pass_the_limit(client_member, number, run_together, monkeypatch):
    meet(monkeypatch, service, "keyword_sale")
    assert kinds(fill_the_limit(client_member, number, run_together)) == {"Keyword": 1, KeywordRefused.__name__: 1}
    assert Keyword.objects.count() == 1
    assert available(client_member.account) == D(9)


def test_canary_without_the_lock_two_at_once_pass_the_limit(client_member, number, run_together, monkeypatch):
    without_lock(monkeypatch)
    monkeypatch.setattr(service, "_check_holds", lambda account, number: None)
    meet(monkeypatch, service, "keyword_sale", patience=SURELY)
    assert kinds(fill_the_limit(client_member, number, run_together)) == {"Keyword": 2}
    assert Keyword.objects.count() == 2


# --- Ends ----------------------------------------------------------------------------------------------------------


def test_ending_twice_at_once_ends_once(client_member, number, run_together):
    keyword = make(client_member, number)
    outcomes = run_together(2, lambda index: end_keyword(keyword=keyword, actor=None, now=NOW))
    assert kinds(outcomes) == {"NoneType": 1, KeywordOver.__name__: 1}


def test_a_release_against_a_new_keyword_leaves_none_in_force(client_member, number, run_together, monkeypatch):
    """Either the keyword is made and ends with the number, or the number has gone and it is refused."""
    lease = number.leases.get()
    meet(monkeypatch, service, "keyword_sale")
    outcomes = run_together(
        2,
        lambda index: (
            make(client_member, number) if index else leasing.release(lease=lease, actor=client_member.user, now=NOW)
        ),
    )
    assert kinds(outcomes) in ({"NoneType": 1, "Keyword": 1}, {"NoneType": 1, KeywordRefused.__name__: 1})
    assert not Keyword.objects.filter(ended_at=None).exists()
    assert not KeywordName.objects.exists()


def test_an_end_against_a_renewal_never_locks_up_and_ends(client_member, number, run_together):
    keyword = make(client_member, number)
    outcomes = run_together(
        2,
        lambda index: (
            renew_keywords(at("2026-12-22"))
            if index
            else end_keyword(keyword=keyword, actor=None, now=at("2026-12-22"))
        ),
    )
    assert kinds(outcomes) == {"NoneType": 1, "Counts": 1}
    assert outcomes[1].failed == 0
    assert Keyword.objects.get().ended_at is not None
    assert available(client_member.account) in (D(8), D(9))
    call_command("verify_ledger")
