"""The history of a client: every deed about money in words, and whose it was as far as the reader may know."""

import re
from pathlib import Path

import billing
from accounts.models import User
from billing.services.credits import transfer_credits
from clients.wording import DEEDS
from tests.billing.credits import make_credits_client
from tests.cast import PASSWORD, LogIn, Member, fund, make_client
from tests.reading import text_of


def test_the_history_has_words_for_every_deed_about_money() -> None:
    sources = Path(billing.__file__).parent.rglob("*.py")
    deeds = {deed for path in sources for deed in re.findall(r'action="([a-z_]+\.[a-z_]+)"', path.read_text())}
    assert {"topup.paid", "recharge.paused", "refund.booked", "payment.booked"} <= deeds
    assert deeds - set(DEEDS) == set()
    assert len(set(DEEDS.values())) == len(DEEDS), "no two deeds read alike"


def test_people_above_the_reader_stay_unnamed(reseller: Member, log_in: LogIn) -> None:
    """The reseller and staff do something for a client's client; its parent reads both, and itself by name."""
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Alex Root")
    middle = make_client(reseller, "Middle")
    middle.account.can_have_children = True
    middle.account.save(update_fields=["can_have_children"])
    child = make_credits_client(middle, "Lower")
    fund(middle, "20")
    for actor, quantity in ((staff, 10), (reseller.user, 20), (middle.user, 30)):
        transfer_credits(
            client=child.account, quantity=quantity, actor=actor, expected_price=None, idempotency_key=f"by-{quantity}"
        )
    for page in ("", "credits/"):
        text = text_of(log_in(middle.user).get(f"/clients/{child.account.code}/{page}").content.decode())
        history = text.split("History")[-1]
        assert "Support" in history
        assert "Your provider" in history
        assert middle.user.name in history
        assert staff.name not in text
        assert not re.search(rf"\b{reseller.user.name}\b", text)
