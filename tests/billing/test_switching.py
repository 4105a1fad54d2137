"""Changing who pays, or how: nothing is stranded, whatever is under way (billing/services/switching.py)."""

import threading
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.exceptions import CreditPriceChanged, MoneyStranded
from billing.models import BillingTerms, Dispute, Rate, Refund, TopUp
from billing.proof import run_proofs
from billing.selectors import balance_of, credits_of
from billing.services import switching
from billing.services.card_movements import card_dispute
from billing.services.credits import collect_stranded_credits, lots_of
from billing.services.pricing import PriceList
from billing.services.switching import plan_switch, switch_sentences
from billing.services.terms import update_terms
from messaging.exceptions import NotEnoughMoney, PriceChanged
from messaging.models import Batch
from messaging.proof import PROOFS
from messaging.services import acceptance
from messaging.services.settling import settle_chunk
from tests.billing.credits import give, make_credits_client
from tests.billing.services import lease_number, make_number
from tests.cast import Member, fund, make_client
from tests.messaging.rows import accept, settle_as

D = Decimal
Method = BillingTerms.Method
NUMBERS = [f"+614{10_000_000 + index}" for index in range(400)]
BY_CARD = {"method": Method.CARD_VARIABLE, "minimum_topup": D(10), "daily_topup_limit": D(100)}


def terms_of(member: Member) -> BillingTerms:
    return BillingTerms.objects.select_related("account").get(account=member.account)


def switch(member: Member, method: str = Method.CARD_VARIABLE, **more: Any) -> BillingTerms:
    values = BY_CARD if method == Method.CARD_VARIABLE else {"method": method}
    return update_terms(terms=terms_of(member), actor=None, **(values | more))


def assert_proven() -> None:
    assert [(verdict.name, verdict.differences) for verdict in run_proofs(PROOFS) if verdict.count] == []


def test_leaving_credits_returns_the_unused_ones_at_what_each_lot_cost(reseller: Member):
    child = make_credits_client(reseller)
    give(child, 100)
    Rate.objects.filter(prefix="61").update(price=D("0.07"))
    give(child, 50)
    settle_as(accept(child, NUMBERS[:30]), "sent")
    settle_chunk()
    plan = plan_switch(terms_of(child), Method.CARD_VARIABLE)
    assert switch_sentences(plan) == [
        "120 credits unused go back: AUD 7.00 is returned at the price that was paid.",
        "From then on the client pays: it cannot send until it has added credit.",
    ]

    switch(child, expected_refund=plan.refund)

    assert balance_of(reseller.account).available == D("100") - D("5.00") - D("3.50") + D("7.00")
    assert credits_of(child.account).available == D(0)
    assert terms_of(child).method == Method.CARD_VARIABLE
    assert_proven()


def test_another_refund_than_was_shown_switches_nothing(reseller: Member):
    child = make_credits_client(reseller)
    give(child, 10)

    with pytest.raises(CreditPriceChanged):
        switch(child, expected_refund=D("0.40"))

    assert terms_of(child).method == Method.SMS_CREDITS
    assert credits_of(child.account).available == D(10)


def test_credits_of_messages_on_their_way_settle_later_and_what_is_not_sent_is_taken_back(reseller: Member):
    child = make_credits_client(reseller)
    give(child, 10)
    sent, failed = accept(child, NUMBERS[:2]), accept(child, NUMBERS[2:5])
    plan = plan_switch(terms_of(child), Method.BILL_TO_PARENT)
    assert switch_sentences(plan) == [
        "5 credits unused go back: AUD 0.25 is returned at the price that was paid.",
        "5 credits set aside for messages on their way stay for these. "
        "What is not sent after all is taken back within minutes, at the price that was paid.",
        "From then on every message is charged to you, and the client sees no prices and no balance.",
    ]
    switch(child, Method.BILL_TO_PARENT)
    assert (credits_of(child.account).available, credits_of(child.account).held) == (D(0), D(5))
    settle_as(sent, "sent")
    settle_as(failed, "rejected")
    settle_chunk()
    assert credits_of(child.account).available == D(3)

    assert collect_stranded_credits() == 1
    assert collect_stranded_credits() == 0

    assert (credits_of(child.account).available, credits_of(child.account).held) == (D(0), D(0))
    assert [state.remaining for state in lots_of(child.account)] == [0]
    assert balance_of(reseller.account).available == D("99.90")
    assert_proven()


def test_credits_of_a_client_that_sends_with_them_are_left_alone(reseller: Member):
    child = make_credits_client(reseller)
    give(child, 10)

    assert collect_stranded_credits() == 0
    assert credits_of(child.account).available == D(10)


@pytest.mark.parametrize("method", [Method.BILL_TO_PARENT, Method.SMS_CREDITS])
def test_a_clients_own_money_keeps_its_parent_from_paying(client_member: Member, method: str):
    refusal = (
        "Client still has AUD 10.00 in its wallet and AUD 0.00 set aside for messages; both must be 0.00 before you "
        "pay. It is the client's own money: let it be used up, or ask the portal's operator to pay it back."
    )
    assert plan_switch(terms_of(client_member), method).refusal == refusal

    with pytest.raises(MoneyStranded) as raised:
        switch(client_member, method)

    assert str(raised.value) == refusal
    assert terms_of(client_member).method == Method.CARD_VARIABLE
    assert balance_of(client_member.account).available == D(10)


def test_held_money_of_a_client_keeps_its_parent_from_paying(client_member: Member):
    fund(client_member, "-9.93", key="leave-0.07")
    accept(client_member, NUMBERS[:1])

    with pytest.raises(MoneyStranded, match=r"AUD 0\.00 in its wallet and AUD 0\.07 set aside"):
        switch(client_member, Method.BILL_TO_PARENT)


def test_a_debt_of_a_clients_own_keeps_its_parent_from_paying(client_member: Member):
    movements = {"account": client_member.account, "amount": D("11.26"), "topup_code": "T"}
    card_dispute(dispute_id="du", **movements)

    assert plan_switch(terms_of(client_member), Method.BILL_TO_PARENT).refusal == (
        "Client owes AUD 1.26, which somebody has to cover before you pay: the client by adding credit, or the "
        "portal's operator by a correction."
    )


def test_money_that_a_bank_may_still_send_back_keeps_the_parent_from_paying(client_member: Member):
    topup = TopUp.objects.create(
        account=client_member.account, amount=D(10), currency="AUD", state="failed", expires_at=timezone.now()
    )
    of_topup = {"topup": topup, "amount": D(10), "currency": "AUD"}
    fund(client_member, "-10", key="empty")
    assert plan_switch(terms_of(client_member), Method.BILL_TO_PARENT).refusal == ""
    dispute = Dispute.objects.create(gateway_id="du", state="open", opened_at=timezone.now(), **of_topup)

    with pytest.raises(MoneyStranded, match="Client has a disputed card payment; wait for the bank's decision"):
        switch(client_member, Method.BILL_TO_PARENT)
    Dispute.objects.filter(pk=dispute.pk).update(state="lost")
    Refund.objects.create(**of_topup)
    with pytest.raises(MoneyStranded, match="Client has a refund under way; wait for its end"):
        switch(client_member, Method.SMS_CREDITS)


def test_an_account_whose_clients_pay_keeps_its_parent_from_paying(reseller: Member):
    """Else it would earn margins, or get money for credits back, into a wallet that it neither sees nor spends."""
    middle = make_client(reseller, "Middle")
    Account.objects.filter(pk=middle.account.pk).update(can_have_children=True)
    middle.account.refresh_from_db()
    below = make_client(middle, "Below")
    refusal = (
        "Middle has 1 client of its own that is not billed to its account, and could neither see nor spend what it "
        "earns of it. Middle has to bill it to its account before you pay."
    )
    for method in (Method.BILL_TO_PARENT, Method.SMS_CREDITS):
        assert plan_switch(terms_of(middle), method).refusal == refusal
    with pytest.raises(MoneyStranded):
        switch(middle, Method.BILL_TO_PARENT)

    switch(below, Method.BILL_TO_PARENT)
    switch(middle, Method.BILL_TO_PARENT)

    refusal = (
        "Middle, whose client Below is, sees no money, so it could neither see nor spend what it earns of it. Below "
        "can only be billed to Middle's account."
    )
    assert plan_switch(terms_of(below), Method.CARD_VARIABLE).refusal == refusal
    with pytest.raises(MoneyStranded):
        switch(below)


def test_messages_on_their_way_stay_charged_to_the_parent_that_paid(billed_member: Member, reseller: Member):
    batch = accept(billed_member, NUMBERS[:2])
    plan = plan_switch(terms_of(billed_member), Method.CARD_VARIABLE)
    assert switch_sentences(plan) == [
        "Messages on their way stay charged to you at the price that they were accepted at.",
        "From then on the client pays: it cannot send until it has added credit.",
    ]
    switch(billed_member)
    settle_as(batch, "sent")
    settle_chunk()

    assert balance_of(reseller.account).available == D("99.90")
    assert balance_of(billed_member.account).available == D(0)
    with pytest.raises(NotEnoughMoney):
        accept(billed_member, NUMBERS[:1])
    assert_proven()


def test_another_way_of_topping_up_keeps_balance_and_holds(client_member: Member):
    accept(client_member, NUMBERS[:1])
    plan = plan_switch(terms_of(client_member), Method.CARD_FIXED)
    assert switch_sentences(plan) == [
        "Client keeps its balance of AUD 9.93, and AUD 0.07 set aside for messages on their way.",
        "From then on it tops up the new way.",
    ]
    switch(client_member, Method.CARD_FIXED, fixed_topup=D(20))

    assert (balance_of(client_member.account).available, balance_of(client_member.account).held) == (
        D("9.93"), D("0.07"),
    )  # fmt: skip


# --- Races -----------------------------------------------------------------------------------------------------------


def test_switching_away_from_credits_during_sends_strands_none(committed_db: Any, reseller: Member, run_together: Any):
    child = make_credits_client(reseller)
    give(child, 40)

    def act(index: int) -> Any:
        return switch(child) if index == 3 else accept(child, NUMBERS[index * 5 : index * 5 + 5])

    outcomes = run_together(8, act)

    batches = [one for one in outcomes if isinstance(one, Batch)]
    assert all(isinstance(one, Batch | BillingTerms | PriceChanged | NotEnoughMoney) for one in outcomes), outcomes
    assert isinstance(outcomes[3], BillingTerms)
    held = D(5 * len(batches))
    assert (credits_of(child.account).available, credits_of(child.account).held) == (D(0), held)
    assert balance_of(reseller.account).available == D("98") + D("0.05") * (40 - held)
    assert_proven()


def send_past_a_switch(child: Member, race: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A batch is planned, then the payer is switched, then the batch is written."""
    planned, switched = threading.Event(), threading.Event()
    write = acceptance._write_batches

    def write_late(*args: Any, **kwargs: Any) -> list[Batch]:
        planned.set()
        assert switched.wait(timeout=30)
        return write(*args, **kwargs)

    def act(index: int) -> Any:
        if index == 0:
            return accept(child, NUMBERS[:2])
        assert planned.wait(timeout=30)
        done = switch(child)
        switched.set()
        return done

    monkeypatch.setattr(acceptance, "_write_batches", write_late)
    return race(2, act)


def test_a_batch_planned_before_the_switch_is_refused_after_it(
    committed_db: Any, billed_member: Member, reseller: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
):
    sent, _ = send_past_a_switch(billed_member, run_together, monkeypatch)

    assert isinstance(sent, PriceChanged)
    assert str(sent) == "Who pays for this account has just been changed. Send it again."
    assert (Batch.objects.count(), balance_of(reseller.account).available) == (0, D(100))


def test_canary_without_the_second_look_the_parent_pays_after_the_switch(
    committed_db: Any, billed_member: Member, reseller: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(acceptance, "check_payers", lambda lists: None)

    sent, _ = send_past_a_switch(billed_member, run_together, monkeypatch)

    assert isinstance(sent, Batch)
    assert balance_of(reseller.account).available == D("99.90")


def switch_inside_a_send(child: Member, race: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A batch has its hold and has looked at the terms; the method that the switch has committed until it commits."""
    looked, seen = threading.Event(), list[str]()
    look: Callable[[Iterable[PriceList]], None] = acceptance.check_payers

    def look_and_wait(lists: Iterable[PriceList]) -> None:
        look(lists)
        looked.set()
        switched.wait(timeout=1)
        seen.append(terms_of(child).method)

    switched = threading.Event()

    def act(index: int) -> Any:
        if index == 0:
            return accept(child, NUMBERS[:2])
        assert looked.wait(timeout=30)
        switch(child)
        switched.set()
        return None

    monkeypatch.setattr(acceptance, "check_payers", look_and_wait)
    outcomes = race(2, act)
    assert isinstance(outcomes[0], Batch)
    return seen[0]


def test_a_switch_waits_for_the_batch_that_has_its_hold(
    committed_db: Any, billed_member: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
):
    assert switch_inside_a_send(billed_member, run_together, monkeypatch) == Method.BILL_TO_PARENT
    assert terms_of(billed_member).method == Method.CARD_VARIABLE


def test_canary_without_the_lock_the_switch_overtakes_the_batch(
    committed_db: Any, billed_member: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(switching, "_lock_paying_wallet", lambda account: None)

    assert switch_inside_a_send(billed_member, run_together, monkeypatch) == Method.CARD_VARIABLE


def test_a_client_of_the_switched_account_is_refused_too(reseller: Member, monkeypatch: pytest.MonkeyPatch):
    middle = make_client(reseller, "Middle")
    middle.account.can_have_children = True
    middle.account.save(update_fields=["can_have_children"])
    fund(middle, "10")
    below = make_client(middle, "Below", method=Method.BILL_TO_PARENT, minimum_topup=None, daily_topup_limit=None)
    write = acceptance._write_batches

    def write_late(*args: Any, **kwargs: Any) -> list[Batch]:
        fund(middle, "-10", key="empty")
        switch(middle, Method.SMS_CREDITS)
        fund(middle, "10", key="again")
        return write(*args, **kwargs)

    monkeypatch.setattr(acceptance, "_write_batches", write_late)

    with pytest.raises(PriceChanged):
        accept(below, NUMBERS[:1])


def test_who_pays_for_numbers_from_then_on_is_said(reseller: Member, billed_member: Member):
    lease_number(billed_member)
    assert switch_sentences(plan_switch(terms_of(billed_member), Method.CARD_VARIABLE))[-1] == (
        "Its number or keyword renews on its own balance from then on."
    )
    lease_number(billed_member, make_number("+61480000002"))
    assert "Its 2 numbers and keywords" not in " ".join(
        switch_sentences(plan_switch(terms_of(billed_member), Method.SMS_CREDITS))
    )  # the parent pays now as then
    child = make_client(reseller, "Paying")
    fund(child, "19")
    lease_number(child, make_number("+61480000003"))
    assert switch_sentences(plan_switch(terms_of(child), Method.BILL_TO_PARENT))[-1] == (
        "Its number or keyword renews on your balance from then on."
    )
