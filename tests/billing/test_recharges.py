from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEntry, OutgoingMail
from accounts.services.accounts import reactivate_account, suspend_account
from billing.exceptions import NotAllowed, TopUpRefused
from billing.models import AutoRecharge, BillingTerms, SavedCard, TopUp
from billing.services import cards, recharges, topups
from billing.services.cards import remove_card, sweep_cards
from billing.services.recharges import recharge, set_recharge, sweep_recharges
from billing.services.terms import update_terms
from tests.billing.hooks import available, deliver, keep_card, told
from tests.cast import LogIn, Member
from tests.meeting import SURELY, meet
from tests.stripe_double import Double

D = Decimal
BROKE, ASKS_CUSTOMER = "4000 0000 0000 9995", "4000 0025 0000 3155"


def switch_on(member: Member, card: SavedCard, threshold: str = "25", amount: str = "30") -> AutoRecharge:
    return set_recharge(
        account=member.account, threshold=D(threshold), amount=D(amount), card=card, actor=member.user
    )  # fmt: skip


@pytest.fixture
def card(double: Double, client_member: Member) -> SavedCard:
    """A kept Visa; the wallet has 20.00, 10.00 of the daily limit of 100.00 are used."""
    return keep_card(double, client_member)


@pytest.fixture
def on(card: SavedCard, client_member: Member) -> AutoRecharge:
    """30.00 whenever less than 25.00 is available."""
    return switch_on(client_member, card)


def later(minutes: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(minutes=minutes))


def test_a_low_balance_is_recharged_once_with_receipt(double: Double, on: AutoRecharge, client_member: Member) -> None:
    assert sweep_recharges(timezone.now()) == 1
    assert sweep_recharges(timezone.now()) == 0
    topup = TopUp.objects.get(way="recharge")
    assert (topup.state, topup.amount, topup.card, available(client_member)) == ("paid", D(30), "Visa 4242", D(50))
    hooks = told(double, 2)
    deliver([*hooks, *hooks])
    assert available(client_member) == D(50)
    assert OutgoingMail.objects.filter(key=f"receipt:{topup.code}").count() == 1


@pytest.mark.parametrize("threshold", ["0", "20"])
def test_a_balance_at_the_threshold_is_left_alone(
    double: Double, card: SavedCard, client_member: Member, threshold: str
) -> None:
    switch_on(client_member, card, threshold)
    assert sweep_recharges(timezone.now()) == 0
    assert available(client_member) == D(20)


def test_failures_back_off_and_the_third_switches_it_off_with_a_mail(
    double: Double, on: AutoRecharge, client_member: Member
) -> None:
    double.change_card(SavedCard.objects.get().payment_method, BROKE)
    for minutes_before, minutes_after in ((0, 14), (16, 45), (47, 600)):
        with later(minutes_before):
            assert sweep_recharges(timezone.now()) == 1
        with later(minutes_after):
            tries = TopUp.objects.filter(way="recharge").count()
            if tries < 3:
                assert recharge(client_member.account) is None
    on.refresh_from_db()
    assert (on.is_on, on.failures) == (False, 3)
    assert "insufficient funds" in on.last_error
    assert TopUp.objects.filter(way="recharge", state="failed").count() == 3
    assert available(client_member) == D(20)
    mail = OutgoingMail.objects.get(key__startswith="recharge:")
    assert mail.subject == "Automatic recharge of Client is switched off"
    assert "It failed 3 times in a row" in mail.text
    assert AuditEntry.objects.filter(action="recharge.off").count() == 1
    with later(10_000):
        assert sweep_recharges(timezone.now()) == 0


def test_a_success_begins_the_count_anew(double: Double, on: AutoRecharge, client_member: Member) -> None:
    method = SavedCard.objects.get().payment_method
    double.change_card(method, BROKE)
    sweep_recharges(timezone.now())
    double.change_card(method, "4242 4242 4242 4242")
    with later(16):
        sweep_recharges(timezone.now())
    on.refresh_from_db()
    assert (on.failures, on.last_error, available(client_member)) == (0, "", D(50))


def test_a_bank_that_wants_its_customer_mails_a_link_to_pay_on_session(
    double: Double, on: AutoRecharge, client_member: Member, log_in: LogIn
) -> None:
    double.change_card(SavedCard.objects.get().payment_method, ASKS_CUSTOMER)
    assert sweep_recharges(timezone.now()) == 1
    mail = OutgoingMail.objects.get(key__startswith="recharge:")
    assert mail.subject == "Your bank asks you to approve a payment of AUD 30.00"
    link = "http://testserver/billing/add-credit/?amount=30"
    assert f"Add credit now: {link}" in mail.text
    assert 'value="30"' in log_in(client_member.user).get(link).content.decode()
    assert available(client_member) == D(20)


def test_the_daily_limit_counts_what_is_pending(double: Double, card: SavedCard, client_member: Member) -> None:
    switch_on(client_member, card, amount="50")
    topups.start_topup(account=client_member.account, amount=D(41), actor=client_member.user)
    assert sweep_recharges(timezone.now()) == 0
    waiting = AutoRecharge.objects.get()
    assert "would pass the limit of AUD 100.00 in 24 hours: AUD 49.00 is left" in waiting.last_error
    assert (waiting.is_on, waiting.failures) == (True, 0)
    assert waiting.next_try_at > timezone.now() + timedelta(minutes=30)
    with later(50):  # the page has expired
        assert sweep_recharges(timezone.now()) == 1
    assert available(client_member) == D(70)


def test_a_gateway_that_is_away_leaves_one_attempt_in_flight(
    double: Double, on: AutoRecharge, client_member: Member, settings: Settings
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert sweep_recharges(timezone.now()) == 1
    assert sweep_recharges(timezone.now()) == 0
    assert TopUp.objects.get(way="recharge").state == "pending"
    settings.STRIPE_API_BASE = double.url
    sweep_cards(timezone.now() + timedelta(minutes=2))
    assert (TopUp.objects.get(way="recharge").state, available(client_member)) == ("paid", D(50))
    on.refresh_from_db()
    assert on.failures == 0


def test_a_removed_card_switches_it_off(double: Double, on: AutoRecharge, client_member: Member) -> None:
    remove_card(card=SavedCard.objects.get(), actor=client_member.user)
    on.refresh_from_db()
    assert not on.is_on
    assert sweep_recharges(timezone.now()) == 0


def test_a_disputed_card_is_charged_again_only_once_its_customer_wants_that(
    double: Double, on: AutoRecharge, client_member: Member
) -> None:
    dispute = double.dispute(TopUp.objects.get().payment_intent)
    deliver(told(double, 2))
    assert available(client_member) == D(10)
    assert sweep_recharges(timezone.now()) == 0
    double.decide(dispute, "lose")
    deliver(told(double, 1))
    assert sweep_recharges(timezone.now()) == 0
    switch_on(client_member, SavedCard.objects.get())
    assert sweep_recharges(timezone.now()) == 1
    assert available(client_member) == D(40)


def test_an_account_whose_terms_are_no_card_any_more_is_not_charged(
    double: Double, on: AutoRecharge, client_member: Member
) -> None:
    BillingTerms.objects.filter(account=client_member.account).update(method="invoice")
    assert sweep_recharges(timezone.now()) == 0
    assert available(client_member) == D(20)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"method": "card_fixed", "fixed_topup": D(50)},
            "Amount AUD 30.00: this account adds credit in one fixed amount, AUD 50.00.",
        ),
        ({"daily_topup_limit": D(29)}, "Amount AUD 30.00 is above the daily top-up limit of AUD 29.00; choose less."),
    ],
    ids=["fixed", "daily limit"],
)
def test_an_amount_that_new_terms_do_not_allow_switches_it_off_with_a_mail(
    double: Double, on: AutoRecharge, client_member: Member, log_in: LogIn, changes: dict[str, Any], sentence: str
) -> None:
    update_terms(terms=client_member.account.billing_terms, actor=None, **changes)

    assert (sweep_recharges(timezone.now()), sweep_recharges(timezone.now())) == (0, 0)

    on.refresh_from_db()
    assert (on.is_on, TopUp.objects.filter(way="recharge").exists()) == (False, False)
    mail = OutgoingMail.objects.get(key__startswith="recharge-ended:")
    assert mail.subject == "Automatic recharge of Client is switched off"
    assert sentence in mail.text
    assert AuditEntry.objects.filter(action="recharge.off").count() == 1
    page = log_in(client_member.user).get("/billing/cards/").content.decode()
    assert "Automatic recharge: off" in page
    assert sentence in page


@pytest.mark.parametrize("stopped", ["client", "its parent"])
def test_a_card_is_not_charged_while_nobody_could_log_in_to_stop_it(
    double: Double, on: AutoRecharge, client_member: Member, reseller: Member, stopped: str
) -> None:
    account = (client_member if stopped == "client" else reseller).account
    suspend_account(account=account, actor=None)

    assert sweep_recharges(timezone.now()) == 0
    assert recharge(client_member.account) is None
    assert not TopUp.objects.filter(way="recharge").exists()
    reactivate_account(account=account, actor=None)
    assert sweep_recharges(timezone.now()) == 1


def test_the_amount_must_be_within_the_terms(double: Double, card: SavedCard, client_member: Member) -> None:
    with pytest.raises(TopUpRefused, match=r"below the minimum of AUD 10\.00"):
        switch_on(client_member, card, amount="9")
    with pytest.raises(TopUpRefused, match=r"above the daily top-up limit of AUD 100\.00"):
        switch_on(client_member, card, amount="101")
    with pytest.raises(NotAllowed):
        switch_on(client_member, card, threshold="-1")
    assert not AutoRecharge.objects.exists()


def test_the_page_needs_consent_and_switches_on_and_off(
    double: Double, card: SavedCard, client_member: Member, log_in: LogIn
) -> None:
    browser = log_in(client_member.user)
    values = {"threshold": "25", "amount": "30", "card": card.code}
    refused = browser.post("/billing/recharge/", values)
    assert "without your consent no card is charged automatically" in refused.content.decode()
    assert not AutoRecharge.objects.exists()
    below = browser.post("/billing/recharge/", values | {"amount": "5", "consent": "on"})
    assert "below the minimum of AUD 10.00" in below.content.decode()
    assert browser.post("/billing/recharge/", values | {"consent": "on"}).status_code == 302
    wanted = AutoRecharge.objects.get()
    assert (wanted.is_on, wanted.threshold, wanted.amount) == (True, D(25), D(30))
    assert wanted.consent_by == client_member.user
    assert "Automatic recharge: on" in browser.get("/billing/cards/").content.decode()
    browser.post("/billing/recharge/stop/")
    wanted.refresh_from_db()
    assert not wanted.is_on


# --- Twice at once -------------------------------------------------------------------------------------------------

RunTogether = Callable[[int, Callable[[int], Any]], list[Any]]


def race(double: Double, member: Member, run_together: RunTogether) -> list[str]:
    switch_on(member, keep_card(double, member))
    outcomes = run_together(3, lambda _: recharge(member.account))
    return sorted(type(outcome).__name__ for outcome in outcomes)


def test_three_sweeps_at_once_charge_once(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    meet(monkeypatch, recharges, "check_amount", 3, after=True)
    assert race(double, client_member, run_together) == ["NoneType", "NoneType", "TopUp"]
    assert available(client_member) == D(50)
    assert len(told(double, 2)) == 2  # one charge at the gateway


def test_canary_without_the_locks_only_the_unique_index_stops_the_others(
    committed_db: object, double: Double, client_member: Member, run_together: RunTogether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    meet(monkeypatch, recharges, "check_amount", 3, patience=SURELY, after=True)
    monkeypatch.setattr(cards, "charge", lambda topup: None)  # in flight until the others have tried
    objects = AutoRecharge.objects
    monkeypatch.setattr(type(objects), "select_for_update", lambda self, **_: self.all(), raising=False)
    monkeypatch.setattr(
        topups, "locked_terms", lambda account: BillingTerms.objects.select_related("account").get(pk=account.pk)
    )
    assert race(double, client_member, run_together) == ["IntegrityError", "IntegrityError", "TopUp"]


def test_the_database_allows_one_recharge_in_flight(client_member: Member) -> None:
    values: dict[str, Any] = {
        "account": client_member.account, "amount": D(20), "currency": "AUD", "way": "recharge",
        "expires_at": timezone.now(),
    }  # fmt: skip
    TopUp.objects.create(**values)
    with pytest.raises(IntegrityError, match="one_recharge_in_flight"), transaction.atomic():
        TopUp.objects.create(**values)
