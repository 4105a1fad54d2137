"""Why this amount: every line leads to what it is made of, and shows nothing of other tenants or levels above."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.models import Account
from billing.models import BillingTerms, LedgerEntry, LedgerTransaction
from billing.services import card_movements, ledger
from billing.statements import wallet_id
from messaging import movements
from messaging.keyset import Cursor
from messaging.models import Message
from messaging.services.settling import settle_waiting
from tests.billing.credits import give, make_credits_client, take
from tests.cast import LogIn, Member, fund, make_client
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, settle_as, words

D = Decimal


@pytest.fixture
def movement_of(client_member: Member):
    """Messages at three prices; one of them refused. Returns the movement of a kind."""
    batch = accept(client_member, [AU, AU_DEAR, NZ], text="a" * 161)
    settle_as(batch, "delivered")
    Message.objects.filter(batch=batch, recipient=NZ).update(state="rejected", sent_at=None)
    settle_waiting(10)
    return lambda kind: LedgerTransaction.objects.filter(kind=kind).order_by("-pk").first()


def page(log_in: LogIn, member: Member, movement: LedgerTransaction):
    return log_in(member.user).get(reverse("messaging:movement", args=[movement.public_id]))


def test_every_line_of_messages_adds_up_to_its_amount(movement_of, client_member: Member, reseller: Member) -> None:
    for member in (client_member, reseller):
        entries = LedgerEntry.objects.filter(ledger_account=wallet_id(member.account)).select_related("transaction")
        of_messages = [entry for entry in entries if entry.transaction.kind in movements.OF_MESSAGES]
        assert of_messages
        for entry in of_messages:
            explained = movements.explain(member.account, entry)
            assert explained.totals[2] == abs(entry.amount)
            assert explained.totals[0] == entry.transaction.quantity
            listed = movements.page_of(member.account, entry.transaction, Cursor()).rows
            assert len(listed) == entry.transaction.quantity


def test_the_payer_sees_destinations_at_its_own_price(movement_of, client_member: Member, log_in: LogIn) -> None:
    text = words(page(log_in, client_member, movement_of("hold")).content.decode())
    assert "Australia +61 1 2 0.0700 0.1400" in text
    assert "Australia +614915 1 2 0.1000 0.2000" in text
    assert "New Zealand +64 1 2 0.032345 0.06469" in text
    assert "All 3 6 AUD 0.40469" in text
    assert "0.0500" not in text  # what its parent pays


def test_a_parent_sees_its_margins_and_not_the_platforms_books(movement_of, reseller: Member, log_in: LogIn) -> None:
    capture = movement_of("capture")
    answer = page(log_in, reseller, capture).content.decode()
    assert "All 2 4 AUD 0.0800" in words(answer)
    for message in Message.objects.filter(settlement=capture):
        assert reverse("messaging:message-detail", args=[message.pk]) in answer


def test_a_movement_is_404_for_whoever_has_no_side_of_it(
    movement_of, client_member: Member, reseller: Member, outsider: Member, billed_member: Member, log_in: LogIn
) -> None:
    hold, capture, release = (movement_of(kind) for kind in ("hold", "capture", "release"))
    answers = {
        (name, movement.kind): page(log_in, member, movement).status_code
        for name, member in {
            "client": client_member, "reseller": reseller, "outsider": outsider, "billed": billed_member
        }.items()
        for movement in (hold, capture, release)
    }  # fmt: skip
    seen = {key for key, status in answers.items() if status == 200}
    assert seen == {("client", "hold"), ("client", "release"), ("reseller", "capture")}
    assert set(answers.values()) == {200, 404}
    unknown = reverse("messaging:movement", args=[uuid4()])
    assert log_in(client_member.user).get(unknown).status_code == 404


def test_a_manual_payment_shows_its_reason_and_who_booked_it(client_member: Member, log_in: LogIn) -> None:
    made = ledger.manual_payment(
        account=client_member.account, amount=D("5.5"), key="k", reason="Bank transfer 42", actor=client_member.user
    )
    text = words(page(log_in, client_member, made).content.decode())
    assert "Amount AUD 5.50" in text
    assert "Balance 10.00 before, AUD 15.50 after" in text
    assert "Who Client" in text
    assert "About Bank transfer 42" in text


def test_a_card_payment_leads_to_its_receipt(client_member: Member, log_in: LogIn) -> None:
    made = card_movements.credit_card_payment(
        account=client_member.account, amount=D(20), topup_code="TOPUP12345", actor=client_member.user
    )
    text = page(log_in, client_member, made).content.decode()
    assert "Credit added by card" in text
    overview = log_in(client_member.user).get(reverse("billing:overview")).content.decode()
    assert reverse("messaging:movement", args=[made.public_id]) in overview


@pytest.mark.parametrize(
    ("kind", "who", "amount", "words_of_it"),
    [
        ("credits", "middle", "AUD −105.00", "SMS credits 1,500 for Below at AUD 0.0700 each"),
        ("credits", "reseller", "AUD 30.00", "SMS credits 1,500 for Below, your margin on each AUD 0.0200"),
        ("takeback", "middle", "AUD 1.40", "SMS credits 20 taken back from Below at AUD 0.0700 each"),
        ("takeback", "reseller", "AUD −0.40", "SMS credits 20 taken back from Below, your margin on each AUD 0.0200"),
    ],
)
def test_money_of_credits_leads_to_how_many_at_which_price_or_margin(
    reseller: Member, log_in: LogIn, kind: str, who: str, amount: str, words_of_it: str
) -> None:
    middle = make_client(reseller, "Middle")
    Account.objects.filter(pk=middle.account.pk).update(can_have_children=True)
    middle.account.refresh_from_db()
    fund(middle, "200")
    below = make_credits_client(middle, "Below")
    give(below, 1500)
    take(below, 20)
    movement = LedgerTransaction.objects.get(kind=kind, currency="AUD")

    text = words(page(log_in, {"middle": middle, "reseller": reseller}[who], movement).content.decode())

    assert f"Amount {amount}" in text
    assert words_of_it in text


def test_messages_of_a_movement_come_in_pages(
    client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_as(accept(client_member, [AU, AU_DEAR, NZ]), "rejected")
    settle_waiting(10)
    release = LedgerTransaction.objects.get(kind="release")
    monkeypatch.setattr("messaging.message_keys.PAGE_SIZE", 2)
    first = movements.page_of(client_member.account, release, Cursor())
    second = movements.page_of(client_member.account, release, Cursor(before=first.older))
    assert [len(first.rows), len(second.rows)] == [2, 1]
    assert second.older is None


def test_what_a_seller_adds_to_a_price_below_its_own_is_explained_to_it_and_hidden_from_its_client(
    reseller: Member, client_member: Member, log_in: LogIn
) -> None:
    BillingTerms.objects.filter(account=client_member.account).update(sms_margin=D("-0.03"))  # 0.02 to AU, 0.05 dear
    settle_as(accept(client_member, [AU, AU_DEAR], text="a" * 200), "rejected")
    settle_waiting(10)
    hold, release = (LedgerTransaction.objects.get(kind=kind) for kind in ("hold", "release"))
    text = words(page(log_in, reseller, hold).content.decode())
    assert "Amount AUD −0.12" in text
    assert "Your margin for this client is below zero here" in text
    assert "Australia +61 1 2 0.0300 0.0600" in text
    assert "All 2 4 AUD 0.1200" in text
    assert "Amount AUD 0.12" in words(page(log_in, reseller, release).content.decode())
    theirs = words(page(log_in, client_member, hold).content.decode())
    assert "All 2 4 AUD 0.1400" in theirs
    assert "0.03" not in theirs
