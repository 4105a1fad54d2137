"""SMS credits: transfers, take-backs, lots and races (billing/services/credits.py; PRODUCT.md, money rule 3)."""

import threading
from decimal import Decimal
from typing import Any

import pytest

from billing.exceptions import BillingError, CreditPriceChanged, InsufficientFunds, NotAllowed
from billing.models import CreditLot, LedgerAccount, LedgerTransaction, Rate
from billing.proof import run_proofs
from billing.selectors import balance_of, credits_of
from billing.services import credit_movements, credits
from billing.services.credits import TakeBack, lots_of
from messaging.exceptions import NotEnoughMoney
from messaging.models import Batch, Exclusion
from messaging.proof import PROOFS
from messaging.services.settling import settle_chunk
from tests.billing.credits import give, make_credits_client, take
from tests.cast import Member, fund, make_member, make_reseller
from tests.messaging.rows import accept, settle_as

D = Decimal
NUMBERS = [f"+614{10_000_000 + index}" for index in range(400)]


@pytest.fixture
def child(reseller: Member) -> Member:
    """A client of the reseller that sends with credits; none yet."""
    return make_credits_client(reseller)


def make_parent(above: Member, name: str, margin: str) -> Member:
    terms = {"method": "card_variable", "minimum_topup": D(10), "daily_topup_limit": D(100), "sms_margin": D(margin)}
    return make_member(above.account, name, can_have_children=True, terms=terms)


def revenue(currency: str = "AUD") -> Decimal:
    found = LedgerAccount.objects.filter(kind="revenue", currency=currency).first()
    return found.balance if found else D(0)


def issued() -> Decimal:
    return LedgerAccount.objects.get(kind="issued").balance


def wallet(member: Member) -> Decimal:
    return balance_of(member.account).available


def held_and_left(member: Member) -> tuple[int, int]:
    found = credits_of(member.account)
    return int(found.available), int(found.held)


def assert_proven() -> None:
    assert [(verdict.name, verdict.differences) for verdict in run_proofs(PROOFS) if verdict.count] == []


def test_a_transfer_charges_the_parents_wallet_at_its_own_price_and_gives_the_credits(child: Member, reseller: Member):
    lot = give(child, 500)

    assert (lot.quantity, lot.unit_price, lot.payer, lot.taken_back) == (500, D("0.05"), reseller.account, 0)
    assert wallet(reseller) == D("75.00")
    assert revenue() == D("25.00")
    assert held_and_left(child) == (500, 0)
    assert issued() == D(-500)
    assert wallet(child) == D(0)
    assert_proven()


def test_three_levels_each_earn_their_margin_at_transfer_and_give_it_back(stage: None):
    top = make_reseller("Top")
    middle = make_parent(top, "Middle", "0.02")
    lower = make_parent(middle, "Lower", "0.005")
    child = make_credits_client(lower)
    fund(lower, "20")

    give(child, 200)

    assert (wallet(lower), wallet(middle), wallet(top), revenue()) == (D("5.00"), D("1.00"), D("4.00"), D("10.00"))
    taken = take(child, 150)
    assert taken is not None
    assert (taken.quantity, taken.refund) == (150, D("11.25"))
    assert (wallet(lower), wallet(middle), wallet(top), revenue()) == (D("16.25"), D("0.25"), D("1.00"), D("2.50"))
    assert held_and_left(child) == (50, 0)
    assert_proven()


def test_a_billed_parent_transfers_from_the_wallet_that_pays_for_it(reseller: Member):
    billed = make_member(reseller.account, "Billed", can_have_children=True, terms={"method": "bill_to_parent"})
    child = make_credits_client(billed)

    lot = give(child, 100)

    assert lot.payer == reseller.account
    assert (wallet(reseller), wallet(billed)) == (D("95.00"), D(0))


def test_a_parent_that_holds_500_credits_cannot_grant_5000(child: Member):
    give(child, 500)
    child.account.can_have_children = True
    child.account.save(update_fields=["can_have_children"])
    grandchild = make_credits_client(child, "Grandchild")

    with pytest.raises(NotAllowed, match="You send with SMS credits yourself"):
        give(grandchild, 5000)

    assert held_and_left(child) == (500, 0)
    assert held_and_left(grandchild) == (0, 0)


def test_a_transfer_above_the_wallet_is_refused_whole_with_the_shortfall(child: Member, reseller: Member):
    with pytest.raises(InsufficientFunds) as refusal:
        give(child, 5000)

    assert refusal.value.shortfall == D(150)
    assert str(refusal.value) == (
        "5,000 credits cost AUD 250.00 and AUD 100.00 are available: AUD 150.00 are missing. Nothing was transferred."
    )
    assert not CreditLot.objects.exists()
    assert not LedgerTransaction.objects.filter(kind="credits").exists()
    assert (held_and_left(child), wallet(reseller)) == ((0, 0), D(100))


def test_a_wallet_that_covers_it_exactly_is_emptied(child: Member, reseller: Member):
    give(child, 2000)

    assert (wallet(reseller), held_and_left(child)) == (D(0), (2000, 0))


def test_another_price_than_was_shown_transfers_nothing(child: Member, reseller: Member):
    with pytest.raises(CreditPriceChanged) as refusal:
        give(child, 100, expected=D("4.99"))

    assert str(refusal.value) == ("The price has changed from AUD 4.99 to AUD 5.00 since you saw it. Check it again.")
    assert wallet(reseller) == D(100)


def test_the_same_key_transfers_once(child: Member, reseller: Member):
    first, second = give(child, 100, key="double"), give(child, 100, key="double")

    assert first == second
    assert (wallet(reseller), held_and_left(child)) == (D(95), (100, 0))


def test_only_a_client_that_sends_with_credits_gets_any(client_member: Member, reseller: Member):
    with pytest.raises(NotAllowed, match="does not send with SMS credits"):
        give(client_member, 1)

    assert wallet(reseller) == D(100)


@pytest.mark.parametrize("quantity", [0, -5, 10_000_001])
def test_a_senseless_number_of_credits_is_refused(child: Member, quantity: int):
    with pytest.raises(BillingError, match="cannot be transferred"):
        give(child, quantity)


def test_a_frozen_wallet_transfers_nothing(child: Member, reseller: Member):
    LedgerAccount.objects.filter(owner=reseller.account, kind="wallet", currency="AUD").update(is_frozen=True)

    with pytest.raises(BillingError, match="disputed"):
        give(child, 1)

    assert held_and_left(child) == (0, 0)


def test_credits_that_cost_nothing_are_transferred_and_taken_back_without_money(child: Member, reseller: Member):
    Rate.objects.filter(prefix="61").update(price=D(0))
    give(child, 10)
    taken = take(child, 4)

    assert taken is not None
    assert (taken.refund, held_and_left(child), wallet(reseller)) == (D(0), (6, 0), D(100))
    assert_proven()


# --- Sending ---------------------------------------------------------------------------------------------------------


def test_a_message_takes_one_credit_a_part_and_no_money(child: Member, reseller: Member):
    give(child, 5)
    batch = accept(child, NUMBERS[:2], text="a" * 161)
    assert (batch.price, batch.currency, held_and_left(child)) == (D(4), "SMS", (1, 4))

    settle_as(batch, "sent")
    settle_chunk()

    assert (held_and_left(child), revenue("SMS"), wallet(reseller)) == ((1, 0), D(4), D("99.75"))
    assert_proven()


def test_foreign_recipients_are_left_out_with_the_reason_and_the_rest_goes(child: Member):
    give(child, 5)
    batch = accept(child, [NUMBERS[0], "+64211234567"])

    assert (batch.message_count, batch.price) == (1, D(1))
    left_out = Exclusion.objects.get(batch=batch)
    assert (left_out.value, left_out.reason) == ("+64211234567", "not_local")
    assert left_out.detail == "SMS credits send to numbers of Australia only."


def test_missing_credits_are_named_in_credits(child: Member):
    give(child, 5)
    with pytest.raises(NotEnoughMoney) as refusal:
        accept(child, NUMBERS[:7])

    assert str(refusal.value) == (
        "This batch needs 7 credits and 5 credits are available: 2 credits are missing. "
        "Ask whoever manages your account for more, or send to fewer people."
    )
    assert not Batch.objects.exists()
    assert held_and_left(child) == (5, 0)


def test_a_message_that_is_not_sent_gives_its_credit_back(child: Member):
    give(child, 5)
    batch = accept(child, NUMBERS[:3])
    settle_as(batch, "rejected")
    settle_chunk()

    assert held_and_left(child) == (5, 0)
    assert_proven()


# --- Taking back -----------------------------------------------------------------------------------------------------


def test_the_oldest_remaining_lot_is_taken_back_first_each_at_its_price(child: Member, reseller: Member):
    give(child, 100)
    Rate.objects.filter(prefix="61").update(price=D("0.07"))
    give(child, 100)
    settle_as(accept(child, NUMBERS[:30]), "sent")
    settle_chunk()
    assert [(state.remaining, state.value) for state in lots_of(child.account)] == [(70, D("3.50")), (100, D("7.00"))]

    taken = take(child, 90)

    assert taken is not None
    assert [(piece.quantity, piece.refund) for piece in taken.pieces] == [(70, D("3.50")), (20, D("1.40"))]
    assert wallet(reseller) == D("100") - D("12") + D("4.90")
    assert [state.remaining for state in lots_of(child.account)] == [0, 80]
    assert list(CreditLot.objects.order_by("pk").values_list("taken_back", flat=True)) == [70, 20]
    assert_proven()


def test_held_credits_are_never_taken_back(child: Member, reseller: Member):
    give(child, 10)
    accept(child, NUMBERS[:6])

    with pytest.raises(InsufficientFunds) as refusal:
        take(child, 5)

    assert str(refusal.value).startswith("Client has 4 credits unused; 5 cannot be taken back.")
    assert held_and_left(child) == (4, 6)
    assert wallet(reseller) == D("99.50")


def test_taking_back_with_one_key_happens_once(child: Member, reseller: Member):
    give(child, 10)

    assert take(child, 4, key="double") is not None
    assert take(child, 4, key="double") is None
    assert (held_and_left(child), wallet(reseller)) == ((6, 0), D("99.70"))


def test_another_refund_than_was_shown_takes_nothing_back(child: Member):
    give(child, 10)
    with pytest.raises(CreditPriceChanged, match=r"AUD 0\.20 would come back now, not AUD 0\.30"):
        take(child, 4, expected=D("0.30"))

    assert held_and_left(child) == (10, 0)


def test_a_margin_that_was_spent_already_is_given_back_all_the_same(reseller: Member):
    middle = make_parent(reseller, "Middle", "0.02")
    child = make_credits_client(middle)
    fund(middle, "7")
    give(child, 100)
    fund(reseller, "-102", key="withdraw")

    take(child, 100)

    assert (wallet(middle), wallet(reseller)) == (D(7), D(-2))
    assert_proven()


# --- Races -----------------------------------------------------------------------------------------------------------


def test_transfers_and_sends_at_once_never_pass_the_wallets_floor(
    committed_db: Any, reseller: Member, run_together: Any
):
    child = make_credits_client(reseller)
    fund(reseller, "-99", key="leave-one")  # 1.00 left: 20 credits, or 20 messages

    def act(index: int) -> Any:
        return give(child, 5, key=str(index)) if index % 2 else accept(reseller, NUMBERS[index * 5 : index * 5 + 5])

    outcomes = run_together(16, act)

    done = [one for one in outcomes if isinstance(one, CreditLot | Batch)]
    refused = [one for one in outcomes if isinstance(one, InsufficientFunds | NotEnoughMoney)]
    assert (len(done), len(refused)) == (4, 12)
    lots = sum(isinstance(one, CreditLot) for one in done)
    assert (wallet(reseller), balance_of(reseller.account).held) == (D(0), D("0.25") * (4 - lots))
    assert held_and_left(child) == (5 * lots, 0)
    assert_proven()


def test_the_same_transfer_from_many_threads_happens_once(committed_db: Any, reseller: Member, run_together: Any):
    child = make_credits_client(reseller)

    lots = run_together(8, lambda _: give(child, 100, key="double-click"))

    assert len({lot.pk for lot in lots}) == 1
    assert (wallet(reseller), held_and_left(child)) == (D(95), (100, 0))


def test_taking_back_against_sending_never_passes_zero(committed_db: Any, reseller: Member, run_together: Any):
    child = make_credits_client(reseller)
    give(child, 20)

    def act(index: int) -> Any:
        return take(child, 5, key=str(index)) if index % 2 else accept(child, NUMBERS[index * 5 : index * 5 + 5])

    outcomes = run_together(16, act)

    done = [one for one in outcomes if isinstance(one, TakeBack | Batch)]
    refused = [one for one in outcomes if isinstance(one, InsufficientFunds | NotEnoughMoney)]
    assert (len(done), len(refused)) == (4, 12)
    back = sum(one.quantity for one in done if isinstance(one, TakeBack))
    assert held_and_left(child) == (0, 20 - back)
    assert wallet(reseller) == D("99") + D("0.05") * back
    assert_proven()


def test_canary_without_the_lock_two_take_backs_use_the_same_lot(
    committed_db: Any, reseller: Member, run_together: Any, monkeypatch: pytest.MonkeyPatch
):
    """With the lock taken out two find the same credits; only the database stops the second."""
    child = make_credits_client(reseller)
    give(child, 100)
    read = threading.Barrier(2)
    plan = credits.plan_take_back

    def plan_together(*args: Any) -> TakeBack:
        planned = plan(*args)
        read.wait(timeout=30)
        return planned

    monkeypatch.setattr(credits, "lock_terms", lambda account_id: None)
    monkeypatch.setattr(credit_movements, "lock_accounts", lambda ids: None)
    monkeypatch.setattr(credits, "plan_take_back", plan_together)

    outcomes = run_together(2, lambda index: take(child, 60, key=str(index)))

    assert sorted(type(one).__name__ for one in outcomes) == ["IntegrityError", "TakeBack"]


# --- Proof -----------------------------------------------------------------------------------------------------------


def differing() -> list[str]:
    return [verdict.name for verdict in run_proofs(PROOFS) if verdict.count]


def test_the_proof_finds_a_lot_that_the_ledger_does_not_know(child: Member):
    lot = give(child, 100)
    CreditLot.objects.filter(pk=lot.pk).update(taken_back=1)

    assert differing() == [
        "every account's SMS credits are its lots less what was taken back of them",
        "what is left of every lot is paid for along its price chain, to the last account",
    ]


def test_the_proof_finds_credits_that_nobody_paid_for(child: Member):
    books = credit_movements.lock_credits(child.account, [])
    credit_movements.move_credits(
        books=books, kind="credits", client=child.account, quantity=5, key="free", reference="free", actor=None
    )

    assert differing() == ["every account's SMS credits are its lots less what was taken back of them"]
