"""What the database alone refuses of keywords when the services are bypassed."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from keywords.models import Keyword, KeywordName
from tests.keywords.scene import OTHER_NUMBER, hold_number, put_keyword


@pytest.fixture
def join(client_member) -> Keyword:
    return put_keyword(client_member, hold_number(client_member), "JOIN")


def refused(deed, name: str) -> None:
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        deed()
    assert error.value.__cause__.diag.constraint_name == name


def test_a_keyword_is_never_deleted(join):
    refused(lambda: Keyword.objects.all()._raw_delete("default"), "keyword_stays")


def test_a_keyword_never_becomes_another_one(join, client_member, reseller):
    other = hold_number(client_member, OTHER_NUMBER)
    for change in ({"word": "OTHER"}, {"number": other}, {"account": reseller.account}, {"code": "OTHER"}):
        refused(lambda change=change: Keyword.objects.update(**change), "keyword_stays")


def test_an_ended_keyword_never_comes_back_and_gets_no_words(join):
    KeywordName.objects.all().delete()
    Keyword.objects.update(ended_at=timezone.now())
    refused(lambda: Keyword.objects.update(ended_at=None), "keyword_stays")
    refused(
        lambda: KeywordName.objects.create(keyword=join, number=join.number, name="x", normal="x"), "keyword_name_fits"
    )
    assert Keyword.objects.update(contact_list=None) == 1


def test_a_word_belongs_to_its_keywords_number(join, client_member):
    other = hold_number(client_member, OTHER_NUMBER)
    refused(lambda: KeywordName.objects.create(keyword=join, number=other, name="x", normal="x"), "keyword_name_fits")
    refused(lambda: KeywordName.objects.update(number=other), "keyword_name_fits")


def test_the_same_word_is_there_once_a_number(join):
    again = KeywordName(keyword=join, number=join.number, name="Join", normal="join")
    refused(again.save, "one_keyword_a_word")
