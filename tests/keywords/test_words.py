"""Words as they are compared and as a keyword may have them; words that no keyword may have."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.countries import country_choices
from keywords.exceptions import UnfitWord
from keywords.reserved import BY_COUNTRY, HELP, OPT_IN, OPT_OUT, built_in
from keywords.words import LONGEST_NORMAL, check_word, normal, split_first

SAME = [
    ("JOIN", "join", "Join", "jöin", "ＪＯＩＮ", "J\u0301oin"),
    ("Café", "CAFE", "cafe\u0301"),
    ("OPT-OUT", "optout", "opt–out", "Opt‑Out"),
    ("don't", "DONT", "don’t"),
    ("Łódź", "lodz"),
    ("straße", "STRASSE"),
    ("İPTAL", "iptal", "ıptal", "IPTAL"),
    ("Στόπ", "ΣΤΟΠ"),
    ("ещё", "ЕЩЕ"),
    ("إلغاء", "الغاء"),
    ("שָׁלוֹם", "שלום"),
    ("ガス", "ｶﾞｽ"),
    ("한국", "한국"),
    ("win2024", "win٢٠٢٤"),
]
DIFFERENT = [("ガス", "カス"), ("หยุด", "หยด"), ("कि", "का"), ("join", "joint"), ("СТОП", "CTOP")]


@pytest.mark.parametrize("words", SAME, ids=lambda words: words[0])
def test_words_that_read_the_same_are_the_same(words):
    assert len({normal(word) for word in words}) == 1
    assert normal(words[0])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_letters_that_differ_in_their_script_stay_different(one, other):
    assert normal(one) != normal(other)


@given(st.text(max_size=30))
def test_comparing_twice_changes_nothing(text):
    assert normal(normal(text)) == normal(text)


@given(st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x24F), min_size=1, max_size=20))
def test_capitals_make_no_difference(text):
    assert normal(text.upper()) == normal(text.lower()) == normal(text)


@pytest.mark.parametrize(
    ("text", "word", "rest"),
    [
        ("JOIN", "JOIN", ""),
        ("  join  Ann Lee ", "join", "Ann Lee"),
        ("👍 (JOIN), Ann!", "JOIN", "Ann!"),
        ("STOP.", "STOP", ""),
        ("opt-out now", "opt-out", "now"),
        ("win/lose", "win", "/lose"),
        ("join\u00a0me", "join", "me"),
        ("1️⃣ yes", "1️⃣", "yes"),
        ("加入", "加入", ""),
        ("🎉🎉", "", ""),
        ("", "", ""),
        ("...", "", ""),
    ],
)
def test_the_first_word_is_found_among_signs(text, word, rest):
    assert split_first(text) == (word, rest)


@given(st.text(max_size=200))
def test_any_text_has_a_first_word_or_none(text):
    word, rest = split_first(text)
    assert word in text
    assert rest in text
    assert bool(word) == any(unicodedata.category(character)[0] in "LN" for character in text)


@pytest.mark.parametrize("word", ["JOIN", "Café", "加入", "مسابقة", "24-7", "don't", "x" * 40, "ﷺﷺﷺﷺﷺ"])
def test_a_word_of_any_script_fits(word):
    assert check_word(f"  {word} ") == word


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "Enter a word."),
        ("   ", "Enter a word."),
        ("🎉", "“🎉” contains 🎉; a word has letters and digits"),
        ("R&B", "“R&B” contains &;"),
        ("JOIN!", "“JOIN!” contains !;"),
        ("join now", "“join now” is more than one word"),
        ("x" * 200, "has 200 characters; a word has at most 40."),
        ("--", "“--” has no letter or digit"),
        ("ﷺ" * 30, "too long once its signs are written out"),
    ],
)
def test_a_word_that_no_phone_could_send_is_refused_with_its_value_and_the_rule(word, said):
    with pytest.raises(UnfitWord) as refused:
        check_word(word)
    assert said in str(refused.value)


@given(st.text(max_size=60))
def test_a_word_that_fits_is_found_again_in_a_message(text):
    try:
        word = check_word(text)
    except UnfitWord:
        return
    assert 0 < len(normal(word)) <= LONGEST_NORMAL
    assert normal(split_first(f"{word} and more")[0]) == normal(word)


def test_the_english_words_are_reserved_in_every_country():
    words = "STOP STOPALL UNSUB UNSUBSCRIBE CANCEL END QUIT OPTOUT OPT-OUT HELP INFO START"
    for country, _ in country_choices():
        assert {normal(word) for word in words.split()} <= set(built_in(country))


@pytest.mark.parametrize(
    ("country", "word", "meaning"),
    [
        ("CA", "ARRÊT", OPT_OUT), ("FR", "aide", HELP), ("TR", "ret", OPT_OUT), ("IL", "הסר", OPT_OUT),
        ("JP", "停止", OPT_OUT), ("RU", "Стоп", OPT_OUT), ("ES", "ALTA", OPT_IN), ("GR", "Στοπ", OPT_OUT),
    ],
)  # fmt: skip
def test_a_country_has_words_of_its_own(country, word, meaning):
    assert built_in(country)[normal(word)] == meaning
    assert normal(word) not in built_in("AU")


def test_every_reserved_word_can_be_sent_and_means_one_thing():
    known = {country for country, _ in country_choices()}
    for country, sets in BY_COUNTRY.items():
        assert country in known
        meanings: dict[str, set[str]] = {}
        for one in sets:
            for meaning, words in one.items():
                for word in words.split():
                    assert check_word(word) == word
                    meanings.setdefault(normal(word), set()).add(meaning)
        assert {word for word, found in meanings.items() if len(found) > 1} == set()
