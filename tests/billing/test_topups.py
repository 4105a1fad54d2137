from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEntry, OutgoingMail
from accounts.services.mail import send_due_mail
from billing.exceptions import NotAllowed, TopUpRefused
from billing.gateways import stripe
from billing.gateways.exceptions import FractionOfMinorUnit, GatewayUnavailable
from billing.models import BillingTerms, LedgerTransaction, TopUp
from billing.selectors import balance_after, balance_of
from billing.services import topups
from billing.services.topup_limits import available_amounts, room_of
from billing.services.topups import Payment, cancel_topup, settle_payment, start_topup, sweep_topups
from tests.cast import Member, check_now, make_client
from tests.stripe_double import Double

D = Decimal


def start(member: Member, amount: str = "50") -> TopUp:
    return start_topup(account=member.account, amount=D(amount), actor=member.user)


def payment_for(topup: TopUp, **changes: object) -> Payment:
    values = {
        "reference": topup.code, "amount": topup.amount, "currency": topup.currency, "payment_intent": "pi_1",
        "paid_at": timezone.now(), "card": stripe.Card("visa", "4242"),
    }  # fmt: skip
    return Payment(**values | changes)  # type: ignore[arg-type]


def available(member: Member) -> Decimal:
    return balance_of(member.account).available


def test_a_topup_opens_a_payment_page_and_credits_nothing(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    assert (topup.state, topup.amount, topup.currency) == ("pending", D(50), "AUD")
    assert topup.checkout_url.startswith(double.url)
    assert stripe.fetch_checkout(topup.session_id).amount == D(50)
    assert available(client_member) == D(10)
    assert AuditEntry.objects.filter(action="topup.started", subject=topup.code, actor=client_member.user).count() == 1


def test_a_payment_is_credited_with_receipt_and_audit(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    assert settle_payment(payment_for(topup)) == ""
    check_now()
    topup.refresh_from_db()
    assert (topup.state, topup.card, topup.payment_intent) == ("paid", "Visa 4242", "pi_1")
    assert available(client_member) == D("60.000000")
    assert balance_after(topup) == D("60.000000")
    assert topup.transaction is not None
    assert sorted(e.amount for e in topup.transaction.entries.all()) == [D(-50), D(50)]
    assert AuditEntry.objects.filter(action="topup.paid", subject=topup.code).count() == 1


def test_a_payment_told_again_is_credited_once(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    for _ in range(3):
        assert settle_payment(payment_for(topup)) == ""
    assert available(client_member) == D(60)
    assert LedgerTransaction.objects.filter(kind="topup").count() == 1
    assert OutgoingMail.objects.filter(key=f"receipt:{topup.code}").count() == 1


def test_a_second_payment_of_a_paid_topup_is_reported_and_not_credited(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    settle_payment(payment_for(topup))
    assert "pi_2 is a second payment" in settle_payment(payment_for(topup, payment_intent="pi_2"))
    assert available(client_member) == D(60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"amount": D("49.99")}, "Stripe took AUD 49.99, the top-up is for AUD 50.00"),
        ({"amount": D(5000)}, "Stripe took AUD 5,000.00"),
        ({"currency": "USD"}, "Stripe took USD 50.00"),
    ],
)
def test_money_that_does_not_match_is_flagged_and_never_credited(
    double: Double, client_member: Member, changes: dict[str, object], words: str
) -> None:
    topup = start(client_member, "50")
    assert words in settle_payment(payment_for(topup, **changes))
    topup.refresh_from_db()
    assert topup.state == "disputed"
    assert words in topup.error
    assert available(client_member) == D(10)
    assert not OutgoingMail.objects.filter(key=f"receipt:{topup.code}").exists()
    assert AuditEntry.objects.filter(action="topup.flagged", subject=topup.code).count() == 1


@pytest.mark.parametrize("state", ["expired", "cancelled", "failed"])
def test_a_late_payment_of_an_ended_topup_is_credited(double: Double, client_member: Member, state: str) -> None:
    topup = start(client_member, "50")
    TopUp.objects.filter(pk=topup.pk).update(state=state)
    assert settle_payment(payment_for(topup)) == ""
    topup.refresh_from_db()
    assert topup.state == "paid"
    assert available(client_member) == D(60)


def test_a_payment_of_nobody_is_reported(client_member: Member) -> None:
    payment = Payment("NOSUCH", D(50), "AUD", "pi_1", timezone.now())
    assert settle_payment(payment) == "no top-up NOSUCH"
    assert available(client_member) == D(10)


def test_a_paid_topup_does_not_expire_or_fail(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    settle_payment(payment_for(topup))
    topups.expire_topup(topup.code)
    topups.fail_topup(topup.code, "declined")
    topup.refresh_from_db()
    assert (topup.state, topup.error) == ("paid", "")


def test_a_gateway_that_is_away_leaves_a_failed_topup_that_uses_no_limit(
    client_member: Member, settings: Settings
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(GatewayUnavailable, match="Nothing was charged"):
        start(client_member, "100")
    topup = TopUp.objects.get()
    assert (topup.state, topup.session_id) == ("failed", "")
    assert room_of(client_member.account.billing_terms, timezone.now()).left == D(100)


def test_the_fixed_method_takes_exactly_its_amount(double: Double, reseller: Member) -> None:
    fixed = make_client(
        reseller, "Fixed", method="card_fixed", fixed_topup=D(25), minimum_topup=None, daily_topup_limit=None
    )
    with pytest.raises(TopUpRefused, match=r"Amount AUD 30.00: .* one fixed amount, AUD 25.00"):
        start(fixed, "30")
    assert start(fixed, "25").amount == D(25)
    assert TopUp.objects.count() == 1


@pytest.mark.parametrize(
    ("amount", "words"),
    [("9.99", "AUD 9.99 is below the minimum of AUD 10.00"), ("100.01", "AUD 100.01 is above the daily top-up limit")],
)
def test_the_variable_method_keeps_to_its_range(double: Double, client_member: Member, amount: str, words: str) -> None:
    with pytest.raises(TopUpRefused, match=words):
        start(client_member, amount)
    assert not TopUp.objects.exists()
    assert available(client_member) == D(10)


def test_fractions_of_a_cent_are_refused_before_anything_is_written(double: Double, client_member: Member) -> None:
    with pytest.raises(FractionOfMinorUnit, match=r"10.005 AUD"):
        start(client_member, "10.005")
    assert not TopUp.objects.exists()


def test_accounts_that_do_not_pay_by_card_cannot_top_up(reseller: Member, billed_member: Member) -> None:
    for member in (reseller, billed_member):
        with pytest.raises(NotAllowed, match="does not add credit by card"):
            start(member, "50")
    assert not TopUp.objects.exists()


def test_cancelling_closes_the_page_and_frees_the_limit(double: Double, client_member: Member) -> None:
    topup = cancel_topup(topup=start(client_member, "100"), actor=client_member.user)
    assert topup.state == "cancelled"
    assert stripe.fetch_checkout(topup.session_id).status == "expired"
    assert start(client_member, "100").state == "pending"


def test_cancelling_what_was_just_paid_credits_it(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    double.pay(topup.session_id)
    assert cancel_topup(topup=topup, actor=client_member.user).state == "paid"
    assert available(client_member) == D(60)


def test_the_sweep_credits_a_payment_whose_webhook_got_lost(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    double.pay(topup.session_id)
    now = timezone.now()
    assert sweep_topups(now) == 0
    assert available(client_member) == D(10)
    assert sweep_topups(now + timedelta(minutes=2)) == 1
    topup.refresh_from_db()
    assert (topup.state, topup.card) == ("paid", "Visa 4242")
    assert available(client_member) == D(60)


def test_the_sweep_expires_pages_that_were_left(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    stripe.expire_checkout(topup.session_id)
    sweep_topups(timezone.now() + timedelta(minutes=36))
    topup.refresh_from_db()
    assert topup.state == "expired"
    assert available(client_member) == D(10)


def test_the_sweep_fails_a_topup_that_never_got_a_page(client_member: Member) -> None:
    now = timezone.now()
    topup = TopUp.objects.create(
        account=client_member.account, amount=D(50), currency="AUD", created_by=client_member.user,
        expires_at=now + timedelta(minutes=35),
    )  # fmt: skip
    sweep_topups(now + timedelta(minutes=1))
    topup.refresh_from_db()
    assert topup.state == "pending"
    sweep_topups(now + timedelta(minutes=6))
    topup.refresh_from_db()
    assert (topup.state, topup.error) == ("failed", "The payment page was never opened.")


def test_the_receipt_mail_goes_once_to_whoever_paid(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    settle_payment(payment_for(topup))
    assert send_due_mail() == 1
    assert send_due_mail() == 0
    (letter,) = mail.outbox
    assert letter.to == [client_member.user.email]
    assert letter.subject == f"Receipt {topup.code}: AUD 50.00 added to Client"
    assert "Amount:       AUD 50.00" in letter.body
    assert "Card:         Visa 4242" in letter.body
    assert "New balance:  AUD 60.00" in letter.body
    assert f"http://testserver/billing/topups/{topup.code}/" in letter.body
    assert "(Australia/Sydney)" in letter.body
    html = letter.alternatives[0].content
    assert "AUD 60.00" in html


def test_the_receipt_mail_shows_the_accounts_time(double: Double, client_member: Member) -> None:
    topup = start(client_member, "50")
    paid_at = timezone.now().replace(year=2026, month=11, day=21, hour=14, minute=5)  # Sydney is 11 hours ahead
    settle_payment(payment_for(topup, paid_at=paid_at))
    assert "Date:         22 Nov 2026, 01:05 (Australia/Sydney)" in OutgoingMail.objects.get().text


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        ("10", "100", "10 15 20 25 30 40 50 75 100"),
        ("20", "500", "20 25 50 75 100 200 250 500"),
        ("12.34", "456.78", "12.34 20 25 50 75 100 200 250 456.78"),
        ("1", "10000", "1 5 10 50 100 500 1000 5000 10000"),
        ("50", "50", "50"),
    ],
)
def test_the_list_of_amounts_reads_well(client_member: Member, least: str, most: str, expected: str) -> None:
    terms = client_member.account.billing_terms
    terms.minimum_topup, terms.daily_topup_limit = D(least), D(most)
    assert available_amounts(terms) == [D(amount) for amount in expected.split()]


def test_the_list_has_one_amount_for_the_fixed_method_and_none_for_others(client_member: Member) -> None:
    terms = client_member.account.billing_terms
    terms.method, terms.fixed_topup = BillingTerms.Method.CARD_FIXED, D(25)
    assert available_amounts(terms) == [D(25)]
    terms.method = BillingTerms.Method.INVOICE
    assert available_amounts(terms) == []
