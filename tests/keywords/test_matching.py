"""Which keyword takes a message: by number, word, status, days, payment and who holds the number."""

from datetime import UTC, date, datetime

import pytest
from django.utils import timezone

from billing.models import Subscription
from keywords.matching import match, match_many
from keywords.models import Keyword
from tests.cast import Member
from tests.keywords.scene import NUMBER, OTHER_NUMBER, hold_number, put_keyword
from virtual_numbers.models import Lease, VirtualNumber

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)  # noon of the same day in Sydney


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    return hold_number(client_member)


@pytest.fixture
def join(client_member: Member, number: VirtualNumber) -> Keyword:
    return put_keyword(client_member, number, "Café", "win", "gagné")


@pytest.mark.parametrize("text", ["Café", "CAFE please", "café!", "WIN me", "Gagne", "  👍 win"])
def test_the_first_word_or_an_alias_leads_to_the_keyword(number, join, text):
    assert match(number, text, NOW).keyword == join


@pytest.mark.parametrize("text", ["please win", "winner", "", "🎉", "x" * 2000])
def test_any_other_text_leads_to_none(number, join, text):
    assert match(number, text, NOW).keyword is None


def test_a_match_names_the_word_as_written_and_the_rest(number, join):
    found = match(number, "Gagné! Ann Lee", NOW)
    assert (found.word, found.rest, found.reserved, found.resting) == ("Gagné", "Ann Lee", "", None)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("STOP", "opt_out"), ("stop.", "opt_out"), ("Stop sending me this", "opt_out"), ("OPT-OUT", "opt_out"),
        ("opt out", "opt_out"), ("Opt – Out", "opt_out"), ("start", "opt_in"), ("Help", "help"), ("info?", "help"),
        ("please stop", ""), ("opt in", ""),
    ],
)  # fmt: skip
def test_reserved_words_come_first(number, join, text, meaning):
    assert match(number, text, NOW).reserved == meaning


def test_a_word_is_reserved_in_its_own_country_alone(client_member):
    turkish = hold_number(client_member, "+905300000001", country="TR")
    australian = hold_number(client_member, OTHER_NUMBER)
    put_keyword(client_member, australian, "ret")
    assert match(turkish, "RET", NOW).reserved == "opt_out"
    assert match(australian, "RET", NOW).keyword is not None


def test_a_reserved_word_wins_over_a_keyword_that_was_there_before_it(client_member, number):
    put_keyword(client_member, number, "stop")
    assert match(number, "stop", NOW).keyword is None
    assert match(number, "stop", NOW).reserved == "opt_out"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "closed"},
        {"starts_on": date(2026, 11, 23)},
        {"ends_on": date(2026, 11, 21)},
    ],
    ids=["closed", "not yet", "over"],
)
def test_a_keyword_that_does_not_listen_rests(number, join, change):
    Keyword.objects.filter(pk=join.pk).update(**change)
    found = match(number, "win", NOW)
    assert found.keyword is None
    assert found.resting == join


def test_days_are_the_accounts_own(number, join):
    Keyword.objects.filter(pk=join.pk).update(starts_on=date(2026, 11, 22), ends_on=date(2026, 11, 22))
    first, last = datetime(2026, 11, 21, 13, tzinfo=UTC), datetime(2026, 11, 22, 12, 59, tzinfo=UTC)
    assert match(number, "win", first).keyword == match(number, "win", last).keyword == join
    assert match(number, "win", datetime(2026, 11, 21, 12, 59, tzinfo=UTC)).keyword is None
    assert match(number, "win", datetime(2026, 11, 22, 13, tzinfo=UTC)).keyword is None


@pytest.mark.parametrize(("state", "takes"), [("active", True), ("grace", True), ("suspended", False)])
def test_a_keyword_works_in_grace_and_not_while_suspended(number, join, state, takes):
    due = NOW.date() if state != "active" else None
    suspended = due if state == "suspended" else None
    Subscription.objects.filter(keyword=join).update(state=state, due_since=due, suspended_since=suspended)
    assert (match(number, "win", NOW).keyword == join) is takes


def test_a_keyword_is_nobodys_once_its_account_does_not_hold_the_number(reseller, number, join):
    Lease.objects.filter(number=number).update(ended_at=timezone.now())
    assert match(number, "win", NOW).keyword is None
    Lease.objects.filter(number=number).update(ended_at=None, account=reseller.account, holder=reseller.account)
    assert match(number, "win", NOW).keyword is None


def test_the_same_word_on_two_numbers_is_two_keywords(client_member, reseller, number, join):
    other = hold_number(reseller, OTHER_NUMBER)
    theirs = put_keyword(reseller, other, "WIN")
    found = match_many([(number.pk, "win"), (other.pk, "win"), (number.pk, "cafe"), (other.pk, "cafe")], NOW)
    assert [one.keyword for one in found] == [join, theirs, join, None]


def test_many_messages_are_matched_in_a_handful_of_queries(number, join, django_assert_num_queries):
    texts = [(number.pk, text) for text in ("win", "stop", "hello", "", "café") * 40]
    with django_assert_num_queries(5):
        found = match_many(texts, NOW)
    assert [one.keyword for one in found[:5]] == [join, None, None, None, join]
    assert len(found) == 200
    assert match_many([], NOW) == []


def test_a_short_code_has_its_countrys_words(client_member):
    code = hold_number(client_member, "19991", country="CA")
    assert match(code, "Arrêt", NOW).reserved == "opt_out"
    assert VirtualNumber.objects.get(number="19991").number != NUMBER
