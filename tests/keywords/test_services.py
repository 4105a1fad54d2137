"""Making, changing, closing and ending keywords: what they cost whom, and what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounts.models import AuditEntry
from billing.exceptions import InsufficientFunds, PriceChanged
from billing.models import LedgerTransaction, Subscription
from contacts.models import ContactList
from keywords.exceptions import KeywordError, KeywordOver, KeywordRefused, UnfitWord, WordRefused
from keywords.matching import match
from keywords.models import Keyword, KeywordName, ReservedWord
from keywords.selectors import aliases_of, keywords_of, numbers_of
from keywords.services.keywords import (
    KeywordValues,
    create_keyword,
    end_keyword,
    renew_secret,
    set_status,
    update_keyword,
)
from keywords.services.terms import update_terms
from keywords.words import normal
from tests.billing.services import available, lease_number, make_number, movements_of, revenue, sides
from tests.cast import Member, check_now
from virtual_numbers.models import VirtualNumber
from virtual_numbers.services import leasing

D = Decimal
NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
PHONE = "+61491570156"


def switch_on(member: Member, price: str = "5", limit: int = 0, *, is_enabled: bool = True) -> None:
    update_terms(account=member.account, is_enabled=is_enabled, price=D(price), limit=limit, actor=None)


def own_number(member: Member, number: str = "+61480000001") -> VirtualNumber:
    """A number that the member leases for nothing, so that keywords alone move money."""
    return lease_number(member, make_number(number, monthly="0"), NOW).number


def make(member: Member, number: VirtualNumber, word: str = "JOIN", **values) -> Keyword:
    expected, now = values.pop("expected", None), values.pop("now", NOW)
    return create_keyword(
        account=member.account, number=number, word=word, values=KeywordValues(**values), expected=expected,
        actor=member.user, now=now,
    )  # fmt: skip


@pytest.fixture
def number(client_member: Member) -> VirtualNumber:
    switch_on(client_member)
    return own_number(client_member)


# --- Money ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "parent", "platform_share"),
    [("5", "4", "1"), ("0.01", "0.008", "0.002"), ("9.999999", "7.999999", "2"), ("0.000001", "0.000001", "0")],
)
def test_of_a_sale_the_platform_keeps_a_fifth_and_the_parent_gets_the_rest(
    reseller, client_member, number, price, parent, platform_share
):
    switch_on(client_member, price)
    keyword = make(client_member, number, expected=D(price))
    check_now()
    assert available(client_member.account) == D(10) - D(price)
    assert available(reseller.account) == D(100) + D(parent)
    assert revenue() == D(platform_share)
    (movement,) = movements_of(keyword.subscription)
    assert movement.kind == "keyword"
    assert sum(sides(movement).values()) == 0


def test_a_parent_that_pays_for_its_client_pays_the_platforms_share_alone(reseller, billed_member):
    switch_on(billed_member, "0.01")
    keyword = make(billed_member, own_number(billed_member))
    check_now()
    assert available(reseller.account) == D("99.998")
    assert revenue() == D("0.002")
    assert sides(movements_of(keyword.subscription)[0]) == {"Reseller": D("-0.002"), "Relay": D("0.002")}


def test_a_sale_of_the_platforms_own_client_is_all_revenue(reseller):
    switch_on(reseller, "5")
    make(reseller, own_number(reseller))
    assert available(reseller.account) == D(95)
    assert revenue() == D(5)


def test_a_keyword_for_nothing_moves_no_money(client_member, number):
    switch_on(client_member, "0")
    before = LedgerTransaction.objects.count()
    assert make(client_member, number).pk
    assert LedgerTransaction.objects.count() == before


def test_too_little_money_makes_no_keyword(client_member, number):
    switch_on(client_member, "10.01")
    with pytest.raises(InsufficientFunds, match=r"AUD 0\.01 are missing"):
        make(client_member, number)
    assert not Keyword.objects.exists()
    assert available(client_member.account) == D(10)


def test_a_price_other_than_the_shown_one_is_not_charged(client_member, number):
    with pytest.raises(PriceChanged, match=r"costs AUD 5\.00 a month now, not AUD 4\.00"):
        make(client_member, number, expected=D(4))
    assert available(client_member.account) == D(10)
    assert not Keyword.objects.exists()


# --- Whether the account may ---------------------------------------------------------------------------------------


def test_without_the_switch_there_are_no_keywords(client_member, number):
    switch_on(client_member, is_enabled=False)
    with pytest.raises(KeywordRefused, match="switched off"):
        make(client_member, number)
    assert available(client_member.account) == D(10)


def test_an_account_that_never_had_terms_has_no_keywords(reseller):
    with pytest.raises(KeywordRefused, match="switched off"):
        make(reseller, own_number(reseller))


def test_the_limit_counts_keywords_in_force(client_member, number):
    switch_on(client_member, "1", limit=2)
    first = make(client_member, number, "one", aliases=("uno", "un"))
    make(client_member, number, "two")
    with pytest.raises(KeywordRefused, match="You have 2 keywords and may have 2"):
        make(client_member, number, "three")
    end_keyword(keyword=first, actor=None, now=NOW)
    make(client_member, number, "three")
    assert keywords_of(client_member.account).count() == 2
    assert available(client_member.account) == D(7)


def test_a_limit_of_0_is_none(client_member, number):
    switch_on(client_member, "0", limit=0)
    for word in ("a", "b", "c", "d"):
        make(client_member, number, word)
    assert keywords_of(client_member.account).count() == 4


def test_a_keyword_needs_a_number_of_its_own_account(reseller, client_member, number):
    theirs = own_number(reseller, "+61480000002")
    with pytest.raises(KeywordRefused, match="is not one of your numbers") as refused:
        make(client_member, theirs)
    assert refused.value.field == "number"
    assert numbers_of(client_member.account) == [number]


def test_an_allocated_number_serves_the_client_and_not_its_parent(reseller, client_member, number):
    switch_on(reseller)
    lease = lease_number(reseller, make_number("+61480000002", monthly="0"), NOW)
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    assert make(client_member, lease.number).pk
    with pytest.raises(KeywordRefused, match="is not one of your numbers"):
        make(reseller, lease.number)


def test_a_suspended_number_takes_no_new_keyword(client_member, number):
    Subscription.objects.filter(lease__number=number).update(
        state="suspended", due_since=NOW.date(), suspended_since=NOW.date()
    )
    with pytest.raises(KeywordRefused, match="suspended until its renewal is paid"):
        make(client_member, number)
    assert numbers_of(client_member.account) == []


# --- Words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "kind", "said"),
    [
        ("stop", WordRefused, "“stop” is reserved"),
        ("Opt–Out", WordRefused, "“Opt–Out” is reserved"),
        ("", UnfitWord, "Enter a word."),
        ("🎉", UnfitWord, "contains 🎉"),
        ("x" * 200, UnfitWord, "has 200 characters"),
        ("join now", UnfitWord, "more than one word"),
        ("CAFÉ", WordRefused, "“CAFÉ” already leads to the keyword cafe on +61480000001"),
        ("ESPRESSO", WordRefused, "“ESPRESSO” already leads to the keyword cafe"),
    ],
)
def test_a_word_that_cannot_be_had_is_refused_at_its_field_and_costs_nothing(client_member, number, word, kind, said):
    make(client_member, number, "cafe", aliases=("espresso",))
    before = available(client_member.account)
    with pytest.raises(kind) as refused:
        make(client_member, number, word)
    assert said in str(refused.value)
    assert refused.value.field == "word"
    with pytest.raises(kind) as refused:
        make(client_member, number, "fine", aliases=("good", word))
    assert said in str(refused.value)
    assert refused.value.field == "aliases"
    assert available(client_member.account) == before
    assert Keyword.objects.count() == 1


@pytest.mark.parametrize(("word", "aliases"), [("join", ("JOIN",)), ("join", ("jöin",)), ("a", ("b", "B"))])
def test_an_alias_equal_to_another_word_of_the_keyword_is_refused(client_member, number, word, aliases):
    with pytest.raises(WordRefused, match="are the same word") as refused:
        make(client_member, number, word, aliases=aliases)
    assert refused.value.field == "aliases"


def test_at_most_twenty_aliases(client_member, number):
    with pytest.raises(WordRefused, match="21 aliases are too many"):
        make(client_member, number, aliases=tuple(f"word{index}" for index in range(21)))


def test_words_of_staff_and_of_the_numbers_country_are_reserved(client_member, number):
    ReservedWord.objects.create(country="AU", word="Bugger", normal=normal("Bugger"), meaning="opt_out")
    ReservedWord.objects.create(country="NZ", word="Nah", normal=normal("Nah"), meaning="opt_out")
    with pytest.raises(WordRefused, match="reserved"):
        make(client_member, number, "BUGGER")
    assert match(number, "bugger off", NOW).reserved == "opt_out"
    assert make(client_member, number, "nah").pk
    ReservedWord.objects.create(word="Everywhere", normal="everywhere", meaning="help")
    assert match(number, "everywhere", NOW).reserved == "help"


def test_the_same_word_fits_on_another_number(client_member, number):
    make(client_member, number)
    assert make(client_member, own_number(client_member, "+61480000002")).pk


# --- Change, close and end -----------------------------------------------------------------------------------------


def test_a_new_keyword_has_all_that_was_given(client_member, number):
    members = ContactList.objects.create(account=client_member.account, name="Members")
    values = KeywordValues(
        aliases=("enter", "Entrée"), starts_on=date(2026, 11, 1), ends_on=date(2026, 12, 1), contact_list=members,
        opt_out_behaviour="opt_in", first_reply="Hi", later_reply="Again", forward_emails=("a@b.example",),
        forward_mobiles=(PHONE,), forward_url="https://b.example/",
    )  # fmt: skip
    made = create_keyword(
        account=client_member.account, number=number, word=" Join ", values=values, expected=D(5),
        actor=client_member.user, now=NOW,
    )  # fmt: skip
    found = keywords_of(client_member.account).get(pk=made.pk)
    assert found.word == "Join"
    assert found.subscription.label == "Keyword Join on +61480000001"
    assert aliases_of(found) == ["enter", "Entrée"]
    assert {name: getattr(found, name) for name in values.columns()} == values.columns()
    assert len(found.webhook_secret) == 43
    assert match(number, "ENTREE", NOW).keyword == found
    entry = AuditEntry.objects.get(action="keyword.started")
    assert (entry.subject, entry.actor) == (found.subscription.code, client_member.user)
    assert entry.data["label"] == "Keyword Join on +61480000001"


def test_a_change_replaces_everything_but_word_and_number(client_member, number):
    keyword = make(client_member, number, aliases=("enter", "entry"), first_reply="Hi")
    assert keyword.webhook_secret == ""
    before = available(client_member.account)
    values = KeywordValues(aliases=("entry", "walkin"), later_reply="Again", forward_url="https://b.example/")
    update_keyword(keyword=keyword, values=values, actor=client_member.user)
    found = keywords_of(client_member.account).get()
    assert aliases_of(found) == ["entry", "walkin"]
    assert (found.first_reply, found.later_reply, len(found.webhook_secret)) == ("", "Again", 43)
    assert match(number, "enter", NOW).keyword is None
    assert match(number, "walkin", NOW).keyword == found
    assert available(client_member.account) == before
    changed = AuditEntry.objects.get(action="keyword.changed")
    assert changed.data["changed"] == ["aliases", "first_reply", "forward_url", "later_reply"]
    update_keyword(keyword=keyword, values=values, actor=client_member.user)
    assert AuditEntry.objects.filter(action="keyword.changed").count() == 1


def test_a_change_may_not_take_anothers_word(client_member, number):
    make(client_member, number, "join")
    other = make(client_member, number, "win", aliases=("prize",))
    with pytest.raises(WordRefused, match="already leads to the keyword join"):
        update_keyword(keyword=other, values=KeywordValues(aliases=("prize", "JOIN")), actor=None)
    assert aliases_of(keywords_of(client_member.account).get(pk=other.pk)) == ["prize"]


def test_a_closed_keyword_takes_nothing_until_it_is_opened(client_member, number):
    keyword = make(client_member, number)
    assert set_status(keyword=keyword, status="closed", actor=client_member.user)
    assert match(number, "join", NOW).resting == keyword
    assert not set_status(keyword=keyword, status="closed", actor=client_member.user)
    assert set_status(keyword=keyword, status="open", actor=client_member.user)
    assert match(number, "join", NOW).keyword == keyword
    deeds = AuditEntry.objects.filter(subject=keyword.code).order_by("pk").values_list("action", flat=True)
    assert list(deeds) == ["keyword.closed", "keyword.opened"]


def test_an_ended_keyword_frees_its_words_and_cannot_be_changed(client_member, number):
    keyword = make(client_member, number, aliases=("enter",))
    end_keyword(keyword=keyword, actor=client_member.user, now=NOW)
    assert not KeywordName.objects.exists()
    assert match(number, "join", NOW).keyword is None
    assert available(client_member.account) == D(5)
    for deed in (
        lambda: end_keyword(keyword=keyword, actor=None, now=NOW),
        lambda: set_status(keyword=keyword, status="closed", actor=None),
        lambda: update_keyword(keyword=keyword, values=KeywordValues(), actor=None),
        lambda: renew_secret(keyword=keyword, actor=None),
    ):
        with pytest.raises(KeywordOver):
            deed()
    again = make(client_member, number, "enter")
    assert match(number, "enter", NOW).keyword == again
    assert available(client_member.account) == D(0)


def test_a_new_secret_replaces_the_old_one(client_member, number):
    keyword = make(client_member, number, forward_url="https://b.example/")
    renew_secret(keyword=keyword, actor=client_member.user)
    new = Keyword.objects.get().webhook_secret
    assert new != keyword.webhook_secret
    assert not AuditEntry.objects.filter(data__icontains=new).exists()


# --- Numbers that leave --------------------------------------------------------------------------------------------


def test_a_released_number_takes_its_keywords_with_it(client_member, number):
    keyword = make(client_member, number, aliases=("enter",))
    leasing.release(lease=number.leases.get(), actor=client_member.user, now=NOW)
    found = Keyword.objects.get(pk=keyword.pk)
    assert (found.ended_at, found.subscription.state) == (NOW, "ended")
    assert not KeywordName.objects.exists()


def test_a_number_that_is_taken_back_takes_the_clients_keywords_with_it(reseller, client_member):
    switch_on(client_member)
    switch_on(reseller)
    lease = lease_number(reseller, make_number(monthly="0"), NOW)
    parents = make(reseller, lease.number)
    leasing.allocate(lease=lease, child=client_member.account, actor=None)
    assert Keyword.objects.get(pk=parents.pk).ended_at is not None
    childs = make(client_member, lease.number)
    leasing.take_back(lease=lease, actor=None)
    assert Keyword.objects.get(pk=childs.pk).ended_at is not None
    assert make(reseller, lease.number).pk


def test_a_word_left_behind_by_who_held_the_number_before_is_free(reseller, client_member, number):
    switch_on(reseller)
    old = make(client_member, number)
    number.leases.update(account=reseller.account, holder=reseller.account)
    new = make(reseller, number)
    assert Keyword.objects.get(pk=old.pk).ended_at == NOW
    assert match(number, "join", NOW).keyword == new


def test_every_refusal_is_of_the_rooms_base():
    kinds = (KeywordOver, KeywordRefused, UnfitWord, WordRefused)
    assert all(issubclass(kind, KeywordError) for kind in kinds)
