"""Accepting batches: exact amounts, refusals that write nothing, and races (messaging/services/acceptance.py)."""

from decimal import Decimal

import pytest

from accounts.services.accounts import suspend_account
from billing.models import Hold, Quote
from billing.selectors import balance_of
from messaging.exceptions import AccountSuspended, NotEnoughMoney, NothingToSend, PriceChanged, SendingError
from messaging.models import Batch, Exclusion, Message
from messaging.services.acceptance import accept_batch
from tests.cast import Member, fund

D = Decimal


def accept(member: Member, recipients: list[str], text: str = "Hello", **more) -> Batch:
    return accept_batch(
        account=member.account, actor=member.user, door="web", sender="Shop", text=text, recipients=recipients, **more
    )


def numbers(count: int, first: int = 0) -> list[str]:
    return [f"+614{10_000_000 + first + index}" for index in range(count)]


def test_a_batch_holds_its_exact_price_and_queues_its_messages(client_member: Member):
    batch = accept(client_member, ["0412345678", "+61491570156", "0412345678", "nobody"], text="a" * 161)

    assert (batch.state, batch.price, batch.message_count, batch.excluded_count, batch.part_count) == (
        "accepted", D("0.34"), 2, 2, 4,
    )  # fmt: skip
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D("9.66"), D("0.34"))
    messages = list(Message.objects.filter(batch=batch).order_by("pk"))
    assert [(m.recipient, m.parts, m.price, m.display_price, m.state) for m in messages] == [
        ("+61412345678", 2, D("0.14"), None, "queued"),
        ("+61491570156", 2, D("0.20"), None, "queued"),
    ]
    assert all(m.account_id == m.payer_id == client_member.account.pk and m.text is None for m in messages)
    assert batch.pk < messages[0].pk < messages[1].pk
    assert list(Exclusion.objects.filter(batch=batch).order_by("pk").values_list("value", "reason")) == [
        ("0412345678", "duplicate"),
        ("nobody", "invalid"),
    ]
    assert list(Quote.objects.order_by("prefix").values_list("prefix", "unit_price")) == [
        ("61", D("0.07")),
        ("614915", D("0.10")),
    ]


def test_a_batch_billed_to_the_parent_takes_the_parents_price_and_notes_the_display_price(
    billed_member: Member, reseller: Member
):
    batch = accept(billed_member, numbers(2), text="a" * 161)

    assert (batch.payer, batch.price) == (reseller.account, D("0.20"))
    assert balance_of(reseller.account).held == D("0.20")
    assert balance_of(billed_member.account).held == D(0)
    assert set(Message.objects.values_list("price", "display_price")) == {(D("0.10"), D("0.18"))}


def test_a_batch_above_the_balance_is_refused_whole_and_names_the_shortfall(client_member: Member):
    with pytest.raises(NotEnoughMoney) as refusal:
        accept(client_member, numbers(143))

    assert str(refusal.value) == (
        "This batch costs AUD 10.01 and AUD 10.00 are available: AUD 0.01 are missing."
        " Add credit or send to fewer people."
    )
    assert (refusal.value.price, refusal.value.available, refusal.value.shortfall) == (D("10.01"), D(10), D("0.01"))
    assert not Batch.objects.exists()
    assert not Message.objects.exists()
    assert not Hold.objects.exists()
    assert balance_of(client_member.account).available == D(10)


def test_an_account_that_sees_no_money_is_told_no_amount(billed_member: Member):
    with pytest.raises(NotEnoughMoney) as refusal:
        accept(billed_member, numbers(2001))

    assert not any(character.isdigit() for character in str(refusal.value))
    assert "provider's balance does not cover" in str(refusal.value)
    assert (refusal.value.price, refusal.value.available, refusal.value.shortfall) == (None, None, None)


def test_a_price_that_changed_since_the_preview_is_refused(client_member: Member):
    with pytest.raises(PriceChanged, match=r"from AUD 0\.06 to AUD 0\.07"):
        accept(client_member, numbers(1), expected_price=D("0.06"))
    assert not Batch.objects.exists()
    assert accept(client_member, numbers(1), expected_price=D("0.07")).price == D("0.07")


def test_nothing_to_send_and_suspended_lines_are_refused(client_member: Member, reseller: Member):
    with pytest.raises(NothingToSend, match="None of the 2 recipients can be sent to"):
        accept(client_member, ["12", "13"])
    with pytest.raises(NothingToSend, match="12 cannot be sent to: Too short"):
        accept(client_member, ["12"])
    suspend_account(account=reseller.account, actor=None)
    with pytest.raises(AccountSuspended):
        accept(client_member, numbers(1))
    assert not Batch.objects.exists()


def test_the_same_key_returns_the_first_batch(client_member: Member, reseller: Member):
    first = accept(client_member, numbers(1), idempotency_key="form-1")
    again = accept(client_member, numbers(5), idempotency_key="form-1")
    other = accept(reseller, numbers(1), idempotency_key="form-1")

    assert again == first
    assert other != first
    assert Message.objects.filter(batch=first).count() == 1


def test_the_same_key_from_many_threads_makes_one_batch(committed_db, client_member: Member, run_together):
    batches = run_together(8, lambda _: accept(client_member, numbers(3), idempotency_key="double-click"))

    assert len({batch.pk for batch in batches}) == 1
    assert Message.objects.count() == 3
    assert balance_of(client_member.account).held == D("0.21")


def test_of_twenty_accepts_at_once_only_what_the_wallet_covers_goes_through(
    committed_db, client_member: Member, run_together
):
    fund(client_member, "-8.95")  # 1.05 left: five batches of 3 × 0.07
    outcomes = run_together(20, lambda index: accept(client_member, numbers(3, first=index * 10)))

    accepted = [outcome for outcome in outcomes if isinstance(outcome, Batch)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, NotEnoughMoney)]
    assert (len(accepted), len(refused)) == (5, 15)
    assert Message.objects.count() == 15
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (D(0), D("1.05"))


def test_every_refusal_is_a_sending_error_with_the_field_it_is_about(client_member: Member):
    with pytest.raises(SendingError) as caught:
        accept(client_member, numbers(1), text=" ")
    assert caught.value.field == "text"
