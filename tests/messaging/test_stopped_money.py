"""Money that cannot move: a frozen wallet refuses to send, an account that must pay for a margin below zero waits."""

from decimal import Decimal

import pytest
from django.core.management import call_command

from billing.models import BillingTerms, LedgerAccount
from billing.selectors import balance_of
from messaging.exceptions import SendingNotAllowed
from messaging.models import Batch, Message
from messaging.services.settling import settle_waiting
from tests.cast import Member, fund, make_client, make_reseller
from tests.messaging.rows import accept, settle_as

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


def test_a_parent_that_cannot_pay_for_its_margin_below_zero_keeps_nobody_else_from_settling(platform: object) -> None:
    """The client pays 0.03 for what costs its parent 0.05: 0.02 a part are the parent's, which has nothing."""
    parent = make_reseller("Poor")
    cheap = make_client(parent, "Cheap")
    BillingTerms.objects.filter(account=cheap.account).update(sms_margin=D("-0.02"))
    other = make_client(make_reseller("Rich"), "Other")
    for member in (cheap, other):
        fund(member, "1")
        settle_as(accept(member), "sent")

    assert settle_waiting(100) == 1
    assert (balance_of(other.account).available, balance_of(other.account).held) == (D("0.93"), D(0))
    assert (balance_of(cheap.account).available, balance_of(cheap.account).held) == (D("0.97"), D("0.03"))
    assert balance_of(parent.account).available == D(0)

    fund(parent, "5")
    assert settle_waiting(100) == 1
    assert balance_of(cheap.account).held == D(0)
    assert balance_of(parent.account).available == D("4.98")
    call_command("verify_ledger")
