"""A margin below zero: the seller's part of the price is set aside with the buyer's, paid or given back with it."""

from decimal import Decimal

import pytest
from django.core.management import call_command

from billing.exceptions import SubsidyMissing
from billing.models import BillingTerms, CountryMargin, Hold, LedgerAccount, LedgerEntry
from billing.selectors import balance_of
from billing.services.credits import offer_for, transfer_credits
from clients.selectors import margin_this_month
from messaging.exceptions import SendingNotAllowed
from messaging.margins import margin_report
from messaging.models import Batch, Message
from messaging.services.cancelling import cancel_batch
from messaging.services.settling import settle_waiting
from tests.billing.test_statement import today
from tests.cast import Member, fund, make_client, make_reseller
from tests.messaging.rows import accept, settle_as

D = Decimal


@pytest.fixture
def seller(platform: object) -> Member:
    """A reseller whose own price to Australia is 0.05 a part."""
    return make_reseller("Seller")


@pytest.fixture
def cheap(seller: Member) -> Member:
    """Pays 0.03 for what costs its parent 0.05."""
    member = make_client(seller, "Cheap")
    BillingTerms.objects.filter(account=member.account).update(sms_margin=D("-0.02"))
    fund(member, "1")
    return member


def money(member: Member) -> tuple[Decimal, Decimal]:
    balance = balance_of(member.account)
    return balance.available, balance.held


def buy(client: Member, parent: Member) -> None:
    transfer_credits(
        client=client.account, quantity=10, actor=parent.user, expected_price=D("0.30"), idempotency_key="one"
    )


def revenue() -> Decimal:
    return LedgerAccount.objects.get(kind="revenue", currency="AUD").balance


def test_accepting_sets_both_parts_of_the_price_aside_and_sending_pays_both(cheap: Member, seller: Member) -> None:
    fund(seller, "5")
    batch = accept(cheap)
    assert (money(cheap), money(seller)) == ((D("0.97"), D("0.03")), (D("4.98"), D("0.02")))
    assert list(Hold.objects.filter(batch_id=batch.pk).order_by("pk").values_list("amount", "is_subsidy")) == [
        (D("0.03"), False),
        (D("0.02"), True),
    ]
    call_command("verify_ledger")

    settle_as(batch, "sent")
    assert settle_waiting(100) == 1

    assert (money(cheap), money(seller)) == ((D("0.97"), D(0)), (D("4.98"), D(0)))
    assert revenue() == D("0.05")
    call_command("verify_ledger")


def test_what_is_not_sent_gives_both_parts_back(cheap: Member, seller: Member) -> None:
    fund(seller, "5")
    batch = accept(cheap)
    cancel_batch(batch=batch, actor=cheap.user)
    settle_waiting(100)
    assert (money(cheap), money(seller)) == ((D(1), D(0)), (D(5), D(0)))
    call_command("verify_ledger")


def test_a_seller_without_money_for_its_part_has_the_batch_refused_whole(cheap: Member, seller: Member) -> None:
    fund(seller, "0.019999")
    with pytest.raises(SendingNotAllowed) as refusal:
        accept(cheap)
    assert str(refusal.value) == "Sending is stopped for this account. Ask whoever manages it."
    assert not Batch.objects.exists()
    assert not Message.objects.exists()
    assert not Hold.objects.exists()
    assert (money(cheap), money(seller)) == ((D(1), D(0)), (D("0.019999"), D(0)))


def test_a_frozen_seller_has_the_batch_refused_without_a_word_of_its_dispute(cheap: Member, seller: Member) -> None:
    fund(seller, "5")
    LedgerAccount.objects.filter(owner=seller.account, kind="wallet").update(is_frozen=True)
    with pytest.raises(SendingNotAllowed, match="Sending is stopped for this account"):
        accept(cheap)


def test_a_margin_below_zero_high_up_is_paid_by_who_set_it_and_earned_on_below(seller: Member) -> None:
    """0.05 − 0.02 + 0.01 = 0.04 a part: the platform 0.05, the seller −0.02, the middle +0.01."""
    fund(seller, "5")
    middle = make_client(seller, "Middle")
    middle.account.can_have_children = True
    middle.account.save(update_fields=["can_have_children"])
    BillingTerms.objects.filter(account=middle.account).update(sms_margin=D("-0.02"))
    buyer = make_client(middle, "Buyer", sms_margin=D("0.01"))
    fund(buyer, "1")

    settle_as(accept(buyer), "delivered")
    settle_waiting(100)

    assert [money(member)[0] for member in (buyer, middle, seller)] == [D("0.96"), D("0.01"), D("4.98")]
    assert revenue() == D("0.05")
    call_command("verify_ledger")


def test_reports_count_the_loss_as_the_ledger_does(cheap: Member, seller: Member) -> None:
    fund(seller, "5")
    settle_as(accept(cheap), "sent")
    settle_waiting(100)
    booked = LedgerEntry.objects.get(ledger_account__kind="subsidy", transaction__kind="capture").amount
    assert booked == D("-0.02")
    assert margin_report(seller.account, today()).total.margin == booked
    assert margin_this_month(seller.account) == {cheap.account.pk: booked}


@pytest.mark.parametrize("margin", ["-0.05", "-0.06"])
def test_no_margin_makes_a_message_free(cheap: Member, seller: Member, margin: str) -> None:
    fund(seller, "5")
    CountryMargin.objects.create(account=cheap.account, country="AU", sms_margin=D(margin))
    batch_count = Batch.objects.count()
    with pytest.raises(Exception, match="No price for this destination"):
        accept(cheap)
    assert Batch.objects.count() == batch_count


def test_credits_bought_below_the_price_are_paid_for_by_who_sells_them_so(seller: Member) -> None:
    """The middle buys credits at 0.03 that cost the seller 0.05."""
    middle = make_client(seller, "Middle")
    middle.account.can_have_children = True
    middle.account.save(update_fields=["can_have_children"])
    BillingTerms.objects.filter(account=middle.account).update(sms_margin=D("-0.02"))
    fund(middle, "1")
    sender = make_client(
        middle, "Sender", method="sms_credits", minimum_topup=None, daily_topup_limit=None, sms_margin=D(0)
    )
    assert offer_for(sender.account).price == D("0.03")
    with pytest.raises(SubsidyMissing):
        buy(sender, middle)
    assert (money(middle), money(seller)) == ((D(1), D(0)), (D(0), D(0)))

    fund(seller, "1")
    buy(sender, middle)
    assert (money(middle)[0], money(seller)[0], revenue()) == (D("0.70"), D("0.80"), D("0.50"))
    assert margin_this_month(seller.account) == {middle.account.pk: D("-0.20")}
    assert margin_this_month(middle.account) == {}
    call_command("verify_ledger")
