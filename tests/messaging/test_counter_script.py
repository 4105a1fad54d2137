"""The live counter (static/js/sms-text.js) counts as the portal prices and sends (smpp/text.py)."""

import random
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Browser
from smsutil.codecs import GSM_BASIC_CHARSET, GSM_EXT_CHARSET

from billing.models import CREDITS
from reseller.templatetags.portal import money
from smpp.text import UCS_2, segment

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "js" / "sms-text.js"
ALPHABET = (GSM_BASIC_CHARSET + GSM_EXT_CHARSET).replace("\x1b", "").replace("\r", "")
TEXTS = [
    "", "a", "a" * 160, "a" * 161, "a" * 306, "a" * 307, "€" * 80, "€" * 81, "a" * 152 + "€" + "b" * 10, "é" * 70,
    "ç" * 70, "ç" * 71, "😀" * 35, "😀" * 36, "a" * 66 + "😀" * 10, "“Hi” it’s", "\x1b", "\f^{}\\[~]|€", "a\nb", 
    "\U0001f469\u200d\U0001f466",
    "\u00a0", "`", ALPHABET, *GSM_BASIC_CHARSET.replace("\r", ""), *GSM_EXT_CHARSET,
]  # fmt: skip


def random_texts() -> list[str]:
    chance = random.Random(7)
    mixtures = [ALPHABET, "a€é😀語", "abc€[]", "ab’“ 😀"]
    return ["".join(chance.choices(chance.choice(mixtures), k=chance.randint(1, 700))) for _ in range(400)]


def test_the_counter_in_the_browser_agrees_with_the_portal(browser: Browser):
    texts = TEXTS + random_texts()
    page = browser.new_page()
    page.add_script_tag(path=SCRIPT)
    counted = page.evaluate("texts => texts.map((text) => SmsText.segment(text))", texts)
    foreign = page.evaluate("texts => texts.map((text) => SmsText.foreignCharacters(text))", texts)
    page.close()

    for text, found, characters in zip(texts, counted, foreign, strict=True):
        expected = segment(text)
        assert found == {
            "encoding": expected.encoding, "characters": expected.characters, "units": expected.units,
            "parts": expected.parts, "unitsLeft": expected.units_left,
        }, repr(text)  # fmt: skip
        forcing = [one for one in dict.fromkeys(text) if segment(one).encoding == UCS_2]
        assert characters == forcing, repr(text)


def test_the_browsers_line_ends_count_once(browser: Browser):
    page = browser.new_page()
    page.add_script_tag(path=SCRIPT)
    assert page.evaluate("SmsText.segment('a\\r\\nb\\rc')")["units"] == segment("a\nb\nc").units == 5
    page.close()


def test_a_price_in_the_browser_is_the_portals_to_the_last_place(browser: Browser):
    units = ["0.099", "0.012345", "1", "0.100000", "999.999999", "0"]
    cases = [(unit, parts, "AUD") for unit in units for parts in (1, 3, 10)]
    cases += [("1.000000", parts, "") for parts in (1, 3, 1500)]  # credits, which are whole
    page = browser.new_page()
    page.add_script_tag(path=SCRIPT.with_name("sms-total.js"))
    shown = page.evaluate("cases => cases.map((one) => SmsPrice.total(...one))", cases)
    page.close()
    assert shown == [money(Decimal(unit) * parts, currency or CREDITS) for unit, parts, currency in cases]
