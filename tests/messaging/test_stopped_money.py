"""Money that cannot move: a frozen wallet refuses to send."""

from decimal import Decimal

import pytest

from billing.models import LedgerAccount
from billing.selectors import balance_of
from messaging.exceptions import SendingNotAllowed
from messaging.models import Batch, Message
from tests.cast import LogIn, Member
from tests.messaging.rows import AU, accept
from tests.messaging.test_send_page import hidden

D = Decimal


def freeze(member: Member) -> None:
    LedgerAccount.objects.filter(owner=member.account, kind="wallet").update(is_frozen=True)


def test_nothing_is_accepted_while_a_payment_is_disputed(client_member: Member) -> None:
    freeze(client_member)
    with pytest.raises(SendingNotAllowed, match="disputed"):
        accept(client_member)
    assert not Batch.objects.exists()
    assert not Message.objects.exists()
    assert balance_of(client_member.account).available == D(10)


def test_the_preview_of_a_frozen_account_offers_no_sending_and_forcing_it_sends_nothing(
    client_member: Member, log_in: LogIn
) -> None:
    browser = log_in(client_member.user)
    form = {"sender": "Shop", "text": "Hi", "recipients": AU, "step": "preview"}
    offered = browser.post("/send/", form).content.decode()
    assert 'value="send"' in offered
    freeze(client_member)
    page = browser.post("/send/", form).content.decode()
    assert "nothing can be sent until the bank has decided" in page
    assert 'value="send"' not in page
    assert "CHECK AGAIN" in page
    given = {"step": "send", "key": hidden(page, "key"), "price": hidden(page, "price")}
    forced = browser.post("/send/", form | given)
    assert "disputed" in forced.content.decode()
    assert not Batch.objects.exists()


def test_a_client_whose_parent_pays_hears_nothing_of_its_parents_dispute(
    billed_member: Member, reseller: Member
) -> None:
    freeze(reseller)
    with pytest.raises(SendingNotAllowed) as refusal:
        accept(billed_member)
    assert str(refusal.value) == "Sending is stopped for this account. Ask whoever manages it."
    assert not Batch.objects.exists()
