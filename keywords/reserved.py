"""Words that always mean the same to phones: they stop messages, start them again or ask for help.

No keyword can take them on a number of the country (issue 4; CTIA Messaging Principles 5.1.3 and the FCC's rule on
revoking consent, 47 CFR 64.1200(a)(10), for the English ones). Staff add words for a country in the admin.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from keywords.models import ReservedWord
from keywords.words import normal

OPT_OUT, OPT_IN, HELP = "opt_out", "opt_in", "help"

# In every country.
EVERYWHERE = {
    OPT_OUT: "STOP STOPALL UNSUB UNSUBSCRIBE CANCEL END QUIT OPTOUT OPT-OUT",
    OPT_IN: "START UNSTOP OPTIN OPT-IN",
    HELP: "HELP INFO",
}

_ARABIC = {OPT_OUT: "توقف إيقاف إلغاء", OPT_IN: "ابدأ اشتراك", HELP: "مساعدة"}
_FRENCH = {OPT_OUT: "ARRET ARRETER DESABONNER", OPT_IN: "DEBUT REPRENDRE", HELP: "AIDE"}
_GERMAN = {OPT_OUT: "STOPP ABMELDEN ABBESTELLEN", OPT_IN: "ANMELDEN", HELP: "HILFE"}
_SPANISH = {OPT_OUT: "BAJA ALTO PARAR CANCELAR", OPT_IN: "ALTA", HELP: "AYUDA"}
_PORTUGUESE = {OPT_OUT: "SAIR PARAR CANCELAR", OPT_IN: "INICIAR VOLTAR", HELP: "AJUDA"}
_ITALIAN = {OPT_OUT: "BASTA CANCELLA DISISCRIVI", OPT_IN: "INIZIA", HELP: "AIUTO"}
_DUTCH = {OPT_OUT: "AFMELDEN UIT", OPT_IN: "AANMELDEN", HELP: "HULP"}
_CHINESE = {OPT_OUT: "退订 退訂 取消", OPT_IN: "订阅 訂閱", HELP: "帮助 幫助"}
_RUSSIAN = {OPT_OUT: "СТОП ОТПИСКА ОТПИСАТЬСЯ", OPT_IN: "СТАРТ ПОДПИСКА", HELP: "ПОМОЩЬ"}
_MALAY = {OPT_OUT: "BERHENTI BATAL", OPT_IN: "MULA", HELP: "BANTUAN"}

# In single countries, beside those in every country.
BY_COUNTRY: dict[str, list[dict[str, str]]] = {
    "AE": [_ARABIC], "AR": [_SPANISH], "AT": [_GERMAN], "BE": [_DUTCH, _FRENCH, _GERMAN], "BR": [_PORTUGUESE],
    "CA": [_FRENCH], "CH": [_GERMAN, _FRENCH, _ITALIAN], "CL": [_SPANISH], "CN": [_CHINESE, {OPT_OUT: "TD"}],
    "CO": [_SPANISH], "CZ": [{OPT_OUT: "KONEC ZRUSIT", OPT_IN: "ZACIT", HELP: "POMOC"}], "DE": [_GERMAN],
    "DK": [{OPT_OUT: "AFMELD AFMELDING", OPT_IN: "TILMELD", HELP: "HJÆLP"}], "EG": [_ARABIC], "ES": [_SPANISH],
    "FI": [{OPT_OUT: "LOPETA PERUUTA", OPT_IN: "ALOITA", HELP: "OHJE APUA"}], "FR": [_FRENCH],
    "GR": [{OPT_OUT: "ΣΤΟΠ ΔΙΑΚΟΠΗ ΔΙΑΓΡΑΦΗ", OPT_IN: "ΕΝΑΡΞΗ", HELP: "ΒΟΗΘΕΙΑ"}], "HK": [_CHINESE],
    "HU": [{OPT_OUT: "LEIRATKOZAS ALLJ", OPT_IN: "FELIRATKOZAS", HELP: "SEGITSEG"}],
    "ID": [{OPT_OUT: "BERHENTI UNREG BATAL", OPT_IN: "MULAI", HELP: "BANTUAN"}],
    "IL": [{OPT_OUT: "הסר הסרה", OPT_IN: "הצטרף", HELP: "עזרה"}, _ARABIC],
    "IN": [{OPT_OUT: "बंद रोकें", OPT_IN: "शुरू", HELP: "मदद सहायता"}], "IT": [_ITALIAN],
    "JP": [{OPT_OUT: "停止 配信停止 解除 ストップ", OPT_IN: "開始 再開", HELP: "ヘルプ"}],
    "KR": [{OPT_OUT: "수신거부 거부 중지", OPT_IN: "시작 수신동의", HELP: "도움말"}], "KZ": [_RUSSIAN],
    "LU": [_FRENCH, _GERMAN], "MA": [_ARABIC, _FRENCH], "MX": [_SPANISH], "MY": [_MALAY], "NL": [_DUTCH],
    "NO": [{OPT_OUT: "STOPP AVSLUTT", HELP: "HJELP"}], "PE": [_SPANISH],
    "PL": [{OPT_OUT: "KONIEC REZYGNUJE WYPISZ", OPT_IN: "WZNOW", HELP: "POMOC"}], "PT": [_PORTUGUESE],
    "RO": [{OPT_OUT: "OPRESTE DEZABONARE", OPT_IN: "ABONARE", HELP: "AJUTOR"}], "RU": [_RUSSIAN], "SA": [_ARABIC],
    "SE": [{OPT_OUT: "STOPP AVSLUTA", OPT_IN: "STARTA", HELP: "HJÄLP"}], "SG": [_CHINESE, _MALAY],
    "TH": [{OPT_OUT: "หยุด ยกเลิก", OPT_IN: "เริ่ม", HELP: "ช่วยเหลือ"}],
    "TR": [{OPT_OUT: "RET RED IPTAL DUR", OPT_IN: "BASLA", HELP: "YARDIM"}], "TW": [_CHINESE],
    "UA": [{OPT_OUT: "СТОП ВІДПИСКА", OPT_IN: "СТАРТ", HELP: "ДОПОМОГА"}],
    "US": [{OPT_OUT: "REVOKE ALTO PARAR CANCELAR", HELP: "AYUDA"}],
    "VN": [{OPT_OUT: "HUY DUNG TC", HELP: "TROGIUP"}],
}  # fmt: skip


@cache
def built_in(country: str) -> Mapping[str, str]:
    """{word as it is compared: opt_out, opt_in or help} on numbers of the country (ISO 3166)."""
    sets = [EVERYWHERE, *BY_COUNTRY.get(country, [])]
    return {normal(word): meaning for one in sets for meaning, words in one.items() for word in words.split()}


def reserved_in(countries: Iterable[str]) -> dict[str, dict[str, str]]:
    """{country: {word as it is compared: meaning}} with what staff added; one query."""
    wanted = set(countries)
    found = {country: dict(built_in(country)) for country in wanted}
    for added in ReservedWord.objects.filter(country__in=[*wanted, ""]) if wanted else []:
        for country in [added.country] if added.country else wanted:
            found[country].setdefault(added.normal, added.meaning)
    return found


def shown_words(country: str) -> dict[str, list[str]]:
    """{meaning: words as people read them} on numbers of a country, for its pages."""
    sets = [EVERYWHERE, *BY_COUNTRY.get(country, [])]
    words = {
        meaning: [word for one in sets for word in one.get(meaning, "").split()] for meaning in (OPT_OUT, OPT_IN, HELP)
    }
    for added in ReservedWord.objects.filter(country__in=[country, ""]).order_by("pk"):
        words[added.meaning].append(added.word)
    return {meaning: list(dict.fromkeys(found)) for meaning, found in words.items()}
