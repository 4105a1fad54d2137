"""Money that cannot move: a frozen wallet refuses to send."""

from decimal import Decimal

import pytest

from billing.models import LedgerAccount
from billing.selectors import balance_of
from messaging.exceptions import SendingNotAllowed
from messaging.models import Batch, Message
from tests.cast import Member
from tests.messaging.rows import accept

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


def test_a_client_whose_parent_pays_hears_nothing_of_its_parents_dispute(
    billed_member: Member, reseller: Member
) -> None:
    freeze(reseller)
    with pytest.raises(SendingNotAllowed) as refusal:
        accept(billed_member)
    assert str(refusal.value) == "Sending is stopped for this account. Ask whoever manages it."
    assert not Batch.objects.exists()
