"""The history on a client's page says every deed about money in words."""

import re
from pathlib import Path

import billing
from clients.wording import DEEDS


def test_the_history_has_words_for_every_deed_about_money() -> None:
    sources = Path(billing.__file__).parent.rglob("*.py")
    deeds = {deed for path in sources for deed in re.findall(r'action="([a-z_]+\.[a-z_]+)"', path.read_text())}
    assert {"topup.paid", "recharge.paused", "refund.booked", "payment.booked"} <= deeds
    assert deeds - set(DEEDS) == set()
    assert len(set(DEEDS.values())) == len(DEEDS), "no two deeds read alike"
