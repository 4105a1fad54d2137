from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEntry
from billing.gateways import stripe
from billing.gateways.exceptions import GatewayUnavailable
from billing.models import CardCustomer, LedgerTransaction, SavedCard, TopUp
from billing.services import cards
from billing.services.cards import sweep_cards
from billing.services.topups import look_up, start_topup
from tests.billing.hooks import available, deliver, keep_card, told
from tests.cast import LogIn, Member
from tests.stripe_double import Double

D = Decimal
ADD, CARDS = "/billing/add-credit/", "/billing/cards/"
ASKS_CUSTOMER = "4000 0025 0000 3155"


@pytest.fixture
def card(double: Double, client_member: Member) -> SavedCard:
    """A Visa that was kept with a payment of 10.00: the wallet has 20.00."""
    return keep_card(double, client_member)


def test_a_card_is_kept_only_with_consent(double: Double, client_member: Member, log_in: LogIn) -> None:
    browser = log_in(client_member.user)
    for values in ({}, {"save_card": "on"}):
        assert browser.post(ADD, {"amount": "10", **values}).status_code == 303
        double.pay(TopUp.objects.latest("pk").session_id)
        hooks = told(double, 3)
        deliver([*hooks, *hooks])
    kept = SavedCard.objects.get()
    assert (str(kept), kept.expires_month, kept.expires_year) == ("Visa 4242", 12, 2034)
    assert (kept.consent_by, kept.consent_at) == (client_member.user, TopUp.objects.latest("pk").created_at)
    assert CardCustomer.objects.get().account == client_member.account
    assert AuditEntry.objects.filter(action="card.kept", subject=kept.code).count() == 1
    assert available(client_member) == D(30)


def test_a_card_is_kept_though_the_gateway_was_away_when_the_payment_was_told(
    double: Double, client_member: Member, settings: Settings
) -> None:
    topup = start_topup(account=client_member.account, amount=D(10), actor=client_member.user, saves_card=True)
    double.pay(topup.session_id)
    hooks = told(double, 3)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(GatewayUnavailable):
        deliver(hooks)
    assert (available(client_member), SavedCard.objects.count()) == (D(20), 0)
    settings.STRIPE_API_BASE = double.url
    deliver(hooks)
    assert (available(client_member), SavedCard.objects.count()) == (D(20), 1)


def test_a_payment_whose_webhooks_are_lost_keeps_its_card_too(double: Double, client_member: Member) -> None:
    topup = start_topup(account=client_member.account, amount=D(10), actor=client_member.user, saves_card=True)
    double.pay(topup.session_id)
    look_up(topup)
    assert (available(client_member), SavedCard.objects.count()) == (D(20), 1)


def test_a_kept_card_pays_at_once_and_its_webhooks_change_nothing(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn
) -> None:
    browser = log_in(client_member.user)
    assert "Visa 4242, expires 12/2034" in browser.get(ADD).content.decode()
    response = browser.post(ADD, {"other": "33.33", "pay_with": card.code})
    topup = TopUp.objects.latest("pk")
    assert response["Location"] == f"/billing/topups/{topup.code}/?returned=paid"
    assert (topup.state, topup.way, topup.card, topup.amount) == ("paid", "saved_card", "Visa 4242", D("33.33"))
    deliver(told(double, 2))
    assert available(client_member) == D("53.33")


def test_a_declined_card_says_why_and_frees_the_limit(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn
) -> None:
    double.change_card(card.payment_method, "4000 0000 0000 9995")
    response = log_in(client_member.user).post(ADD, {"other": "20", "pay_with": card.code})
    assert "Visa 4242 was not charged: Your card has insufficient funds." in response.content.decode()
    topup = TopUp.objects.latest("pk")
    assert (topup.state, available(client_member)) == ("failed", D(20))
    deliver(told(double, 2))
    topup.refresh_from_db()
    assert (topup.state, available(client_member)) == ("failed", D(20))


@pytest.mark.parametrize(("answer", "state", "balance"), [("yes", "paid", 40), ("no", "pending", 20)])
def test_a_bank_that_asks_its_customer_gets_the_customer(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn, answer: str, state: str, balance: int
) -> None:
    double.change_card(card.payment_method, ASKS_CUSTOMER)
    response = log_in(client_member.user).post(ADD, {"other": "20", "pay_with": card.code})
    topup = TopUp.objects.latest("pk")
    assert response["Location"] == f"{double.url}/c/approve/{topup.payment_intent}"
    double.approve(topup.payment_intent, answer)
    deliver(told(double, 3))
    topup.refresh_from_db()
    assert (topup.state, available(client_member)) == (state, D(balance))
    sweep_cards(timezone.now() + timedelta(minutes=2))
    topup.refresh_from_db()
    assert topup.state == ("paid" if answer == "yes" else "failed")


def test_an_approval_that_never_comes_ends_with_the_top_up(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn
) -> None:
    double.change_card(card.payment_method, ASKS_CUSTOMER)
    log_in(client_member.user).post(ADD, {"other": "20", "pay_with": card.code})
    sweep_cards(timezone.now() + timedelta(minutes=30))
    assert TopUp.objects.latest("pk").state == "pending"
    sweep_cards(timezone.now() + timedelta(minutes=36))
    assert TopUp.objects.latest("pk").state == "expired"


def test_an_answer_that_was_lost_is_asked_for_again_and_charges_once(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge_card = stripe.charge_card

    def cut_off(**arguments: object) -> None:
        charge_card(**arguments)  # type: ignore[arg-type]
        raise GatewayUnavailable("the answer was lost")

    with monkeypatch.context() as broken:
        broken.setattr(cards.stripe, "charge_card", cut_off)
        response = log_in(client_member.user).post(ADD, {"other": "20", "pay_with": card.code})
    topup = TopUp.objects.latest("pk")
    assert (response.status_code, topup.state, available(client_member)) == (303, "pending", D(20))
    sweep_cards(timezone.now() + timedelta(minutes=2))
    topup.refresh_from_db()
    assert (topup.state, available(client_member)) == ("paid", D(40))
    assert len(told(double, 2)) == 2  # one charge at the gateway


def test_a_removed_card_is_forgotten_at_the_gateway_and_cannot_pay(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn, settings: Settings
) -> None:
    browser = log_in(client_member.user)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    for _ in range(2):
        assert browser.post(f"/billing/cards/{card.code}/remove/")["Location"] == CARDS
    sweep_cards(timezone.now())
    card.refresh_from_db()
    assert (card.removed_at is None, card.detached_at) == (False, None)
    settings.STRIPE_API_BASE = double.url
    sweep_cards(timezone.now())
    card.refresh_from_db()
    assert card.detached_at is not None
    browser.get(CARDS)  # says once that it is removed
    assert "Visa 4242" not in browser.get(CARDS).content.decode()
    assert browser.post(ADD, {"other": "20", "pay_with": card.code}).context["form"].errors["pay_with"]
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1


def test_another_accounts_card_is_nobodys_business(
    double: Double, card: SavedCard, reseller: Member, outsider: Member, log_in: LogIn
) -> None:
    for member in (reseller, outsider):
        assert log_in(member.user).post(f"/billing/cards/{card.code}/remove/").status_code == 404
    card.refresh_from_db()
    assert card.removed_at is None
