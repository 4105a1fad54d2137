"""Staff's screens: who has keywords, all keywords, and words that no keyword may have."""

from decimal import Decimal
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from keywords.models import KeywordTerms, ReservedWord
from keywords.reserved import shown_words
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.test_services import make, own_number, switch_on

TERMS, KEYWORDS, WORDS = (f"/admin/keywords/{name}/" for name in ("keywordterms", "keyword", "reservedword"))


@pytest.fixture
def staff(stage: None, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Sam Staff"))


def reserve(staff: Client, **values: str):
    return staff.post(f"{WORDS}add/", {"country": "AU", "word": "Bugger", "meaning": "opt_out"} | values, follow=True)


def test_staff_switch_keywords_on_for_a_reseller_and_the_change_is_noted(staff, reseller):
    answer = staff.post(
        f"{TERMS}add/", {"account": reseller.account.pk, "is_enabled": "on", "price": "2.5", "limit": "7"}
    )
    assert answer.status_code == 302
    terms = KeywordTerms.objects.get()
    assert (terms.account, terms.is_enabled, terms.price, terms.limit) == (reseller.account, True, Decimal("2.5"), 7)
    staff.post(f"{TERMS}{terms.pk}/change/", {"price": "3", "limit": "0"})
    terms.refresh_from_db()
    assert (terms.is_enabled, terms.price, terms.limit) == (False, Decimal(3), 0)
    deeds = AuditEntry.objects.filter(action__startswith="keyword_terms").order_by("pk")
    assert [(entry.action, entry.actor.name) for entry in deeds] == [
        ("keyword_terms.created", "Sam Staff"), ("keyword_terms.updated", "Sam Staff"),
    ]  # fmt: skip


def test_a_negative_price_is_refused(staff, reseller):
    page = staff.post(f"{TERMS}add/", {"account": reseller.account.pk, "price": "-1", "limit": "0"})
    assert page.status_code == 200
    assert not KeywordTerms.objects.exists()


def test_staff_read_keywords_without_their_secrets(staff, client_member: Member):
    switch_on(client_member)
    keyword = make(
        client_member, own_number(client_member), "Café", aliases=("espresso",), forward_url="https://b.example/"
    )  # fmt: skip
    assert "Café" in unescape(staff.get(f"{KEYWORDS}?q=ESPRESSO").content.decode())
    page = unescape(staff.get(f"{KEYWORDS}{keyword.pk}/change/").content.decode())
    assert "espresso" in page
    assert keyword.webhook_secret not in page
    assert staff.post(f"{KEYWORDS}{keyword.pk}/change/", {"word": "other"}).status_code == 403


def test_a_reserved_word_counts_at_once_and_says_whose_keywords_it_took(staff, client_member):
    switch_on(client_member)
    make(client_member, own_number(client_member), "BUGGER")
    page = unescape(reserve(staff).content.decode())
    assert "1 keyword in force had this word, which leads to none of them now." in page
    assert ReservedWord.objects.get().normal == "bugger"
    assert "Bugger" in shown_words("AU")["opt_out"]
    assert "Bugger" not in shown_words("NZ")["opt_out"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"word": "two words"}, "“two words” is more than one word"),
        ({"word": "🎉"}, "contains 🎉"),
        ({"word": "stóp"}, "“stóp” is reserved there already."),
        ({"country": "", "word": "HELP"}, "“HELP” is reserved there already."),
    ],
)
def test_a_word_that_cannot_be_reserved_is_said(staff, values, said):
    assert said in unescape(reserve(staff, **values).content.decode())
    assert not ReservedWord.objects.exists()


def test_a_word_is_reserved_once_a_country(staff):
    reserve(staff)
    assert "is reserved there already." in unescape(reserve(staff, word="BÜGGER").content.decode())
    reserve(staff, country="NZ")
    assert ReservedWord.objects.count() == 2
