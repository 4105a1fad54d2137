"""Which keyword an inbound message is for: by its first word and the number that it came to, many at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytz
from django.db import connection

from accounts.models import Account
from contacts.models import ContactList
from keywords.models import Keyword
from keywords.reserved import OPT_OUT, reserved_in
from keywords.words import normal, split_first
from virtual_numbers.models import VirtualNumber


@dataclass(frozen=True)
class Match:
    """What the first word of a message means on the number that it came to.

    ``keyword``: the open one that takes the message. ``word``: the first word as it was written, "" without one.
    ``reserved``: "opt_out", "opt_in", "help" or "". ``rest``: the text after the word. ``resting``: the keyword that
    would take the message but does not listen now (``why_resting``).
    """

    keyword: Keyword | None = None
    word: str = ""
    reserved: str = ""
    rest: str = ""
    resting: Keyword | None = None


def match(number: VirtualNumber, text: str, now: datetime) -> Match:
    """What ``text`` means when it comes to ``number`` at ``now``."""
    return match_many([(number.pk, text)], now)[0]


def match_many(texts: Sequence[tuple[int, str]], now: datetime) -> list[Match]:
    """A match for each (key of the number, text), in their order; a handful of queries however many there are."""
    countries = dict(VirtualNumber.objects.filter(pk__in={pk for pk, _ in texts}).values_list("pk", "country"))
    reserved = reserved_in(countries.values())
    split = [split_first(text) for _, text in texts]
    meanings = [
        _meaning(reserved[countries[pk]], word, rest) for (pk, _), (word, rest) in zip(texts, split, strict=True)
    ]
    wanted = [(pk, normal(word)) for (pk, _), (word, _) in zip(texts, split, strict=True)]
    keywords = _keywords_of(pair for pair, meaning in zip(wanted, meanings, strict=True) if pair[1] and not meaning)
    return [
        _match_of(keywords.get(pair), word, rest, meaning, now)
        for pair, (word, rest), meaning in zip(wanted, split, meanings, strict=True)
    ]


def _meaning(reserved: Mapping[str, str], word: str, rest: str) -> str:
    """The reserved meaning of the first word; "opt out", written as two, stops messages too."""
    compared = normal(word)
    if not compared or compared in reserved:
        return reserved.get(compared, "")
    joined = reserved.get(compared + normal(split_first(rest)[0]), "")
    return joined if joined == OPT_OUT else ""


def _match_of(keyword: Keyword | None, word: str, rest: str, meaning: str, now: datetime) -> Match:
    if keyword is None or meaning:
        return Match(word=word, reserved=meaning, rest=rest)
    if why_resting(keyword, now):
        return Match(word=word, rest=rest, resting=keyword)
    return Match(keyword, word, rest=rest)


def why_resting(keyword: Keyword, now: datetime) -> str:
    """Why the keyword takes no messages now, as the end of a sentence; "" while it does."""
    if keyword.ended_at is not None:
        return "it has ended"
    if not keyword.subscription.works:
        return "it is suspended until its renewal is paid"
    if not _is_offered(keyword):
        return "keywords are switched off for this account"
    if keyword.status == Keyword.Status.CLOSED:
        return "it is closed"
    if not keyword.starts_on and not keyword.ends_on:
        return ""
    today = now.astimezone(pytz.timezone(keyword.account.time_zone)).date()
    if keyword.starts_on and today < keyword.starts_on:
        return f"it starts on {keyword.starts_on}"
    if keyword.ends_on and today > keyword.ends_on:
        return f"its last day was {keyword.ends_on}"
    return ""


def _is_offered(keyword: Keyword) -> bool:
    terms = getattr(keyword.account, "keyword_terms", None)
    return terms is None or terms.is_enabled


def _keywords_of(pairs: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Keyword]:
    """The keywords that answer to (key of the number, word as it is compared), whether they listen now or not.

    A keyword answers only for who holds the number: after a release or a return it is nobody's.
    """
    wanted = set(pairs)
    if not wanted:
        return {}
    numbers, words = zip(*wanted, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT name.number_id, name.normal, name.keyword_id
                 FROM unnest(%s::bigint[], %s::text[]) AS wanted (number_id, normal)
                 JOIN keywords_keywordname name
                   ON name.number_id = wanted.number_id AND name.normal = wanted.normal
                 JOIN keywords_keyword keyword ON keyword.id = name.keyword_id
                 JOIN numbers_lease lease
                   ON lease.number_id = name.number_id AND lease.ended_at IS NULL
                  AND lease.holder_id = keyword.account_id""",
            [list(numbers), list(words)],
        )
        found = cursor.fetchall()
    keywords = _load({row[2] for row in found})
    return {(number, word): keywords[pk] for number, word, pk in found}


def _load(keys: set[int]) -> dict[int, Keyword]:
    """Keywords with what belongs to them; accounts and lists, which many share, are read once each."""
    keywords = Keyword.objects.select_related("subscription").in_bulk(keys)
    accounts = Account.objects.select_related("keyword_terms").in_bulk({one.account_id for one in keywords.values()})
    lists = ContactList.objects.in_bulk({one.contact_list_id for one in keywords.values() if one.contact_list_id})
    for keyword in keywords.values():
        keyword.account = accounts[keyword.account_id]
        keyword.contact_list = lists.get(keyword.contact_list_id or 0)
    return keywords
