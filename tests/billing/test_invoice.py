"""Invoiced accounts: credit, an overdraw that ends, the monthly top-up, and what staff book by hand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from billing.exceptions import BillingError, NotAllowed
from billing.models import BillingTerms, InvoiceTerms, LedgerAccount, LedgerTransaction
from billing.proof import run_proofs
from billing.selectors import balance_of, terms_of
from billing.services import invoices
from billing.services.manual_payments import book_payment
from billing.services.terms import update_terms
from messaging.exceptions import NotEnoughMoney
from messaging.proof import PROOFS
from tests.cast import PASSWORD, LogIn, Member, check_now, make_reseller
from tests.messaging.rows import accept
from tests.reading import text_of


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=True):
        yield


@pytest.fixture
def invoiced(stage: None) -> Member:
    """A direct client by invoice with nothing in its wallet; Sydney."""
    return make_reseller("Invoiced")


def grant(member: Member, **values: Any) -> InvoiceTerms:
    return invoices.set_invoice_terms(account=member.account, actor=None, **values)


def wallet(member: Member) -> LedgerAccount:
    return LedgerAccount.objects.get(owner=member.account, kind="wallet", currency="AUD")


def limits(member: Member) -> tuple[D, D]:
    return wallet(member).credit_limit, wallet(member).overdraft_limit


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type, misc]


def books_are_right() -> bool:
    check_now()
    return [verdict.name for verdict in run_proofs(PROOFS) if verdict.count] == []


# --- Credit and overdraw -------------------------------------------------------------------------------------------


def test_a_wallet_goes_down_to_credit_and_overdraw_together_and_no_further(invoiced: Member) -> None:
    grant(invoiced, credit_limit=D("0.10"), overdraw_amount=D("0.05"), overdraw_until=date(2026, 11, 30))
    assert balance_of(invoiced.account).available == D("0.15")
    for _ in range(3):  # 0.05 each
        accept(invoiced)
    assert wallet(invoiced).balance == D("-0.15")
    with pytest.raises(NotEnoughMoney):
        accept(invoiced)
    assert wallet(invoiced).balance == D("-0.15")
    assert books_are_right()


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [("Pacific/Auckland", at(2026, 11, 30, 11)), ("America/Los_Angeles", at(2026, 12, 1, 8))],
)
def test_an_overdraw_ends_at_midnight_of_the_account_s_zone(invoiced: Member, zone: str, midnight: datetime) -> None:
    invoiced.account.time_zone = zone
    invoiced.account.save(update_fields=["time_zone"])
    grant(invoiced, credit_limit=D(5), overdraw_amount=D(20), overdraw_until=date(2026, 11, 30))
    assert invoices.end_overdraws(midnight.replace(hour=midnight.hour - 1, minute=59)) == 0
    assert limits(invoiced) == (D(5), D(20))
    assert [invoices.end_overdraws(midnight), invoices.end_overdraws(midnight)] == [1, 0]
    assert limits(invoiced) == (D(5), D(0))
    entry = AuditEntry.objects.get(action="overdraw.ended")
    assert entry.data == {"amount": "20.000000", "until": "2026-11-30"}


def test_an_overdraw_that_ends_while_it_is_used_leaves_a_debt_that_must_be_covered(invoiced: Member) -> None:
    grant(invoiced, overdraw_amount=D("0.10"), overdraw_until=date(2026, 11, 21))
    accept(invoiced)
    accept(invoiced)
    assert invoices.end_overdraws(at(2026, 11, 22, 12)) == 1
    assert (wallet(invoiced).balance, balance_of(invoiced.account).available) == (D("-0.10"), D("-0.10"))
    with pytest.raises(NotEnoughMoney):
        accept(invoiced)
    book_payment(
        account=invoiced.account, amount=D("0.15"), key="transfer-00000001", reason="paid", actor=invoiced.user
    )
    accept(invoiced)
    assert wallet(invoiced).balance == 0
    assert books_are_right()


def test_an_overdraw_that_was_prolonged_stays(invoiced: Member) -> None:
    grant(invoiced, overdraw_amount=D(20), overdraw_until=date(2026, 11, 22))
    grant(invoiced, overdraw_until=date(2026, 12, 24))
    assert invoices.end_overdraws(at(2026, 11, 25)) == 0
    assert limits(invoiced) == (D(0), D(20))


def test_an_overdraw_needs_a_last_day_that_is_not_over(invoiced: Member) -> None:
    for until in (None, date(2026, 11, 20)):
        with pytest.raises(NotAllowed, match=r"needs its last day, 2026-11-21 or later"):
            grant(invoiced, overdraw_amount=D(20), overdraw_until=until)
    assert limits(invoiced) == (D(0), D(0))


def test_credit_is_for_the_platform_s_own_clients_by_invoice_only(client_member: Member, reseller: Member) -> None:
    with pytest.raises(NotAllowed, match="only the platform's own clients get credit"):
        grant(client_member, credit_limit=D(5))
    update_terms(terms=terms_of(reseller.account), actor=None, method=BillingTerms.Method.CARD_FIXED, fixed_topup=D(50))
    with pytest.raises(NotAllowed, match="does not pay by invoice"):
        grant(reseller, credit_limit=D(5))
    assert not InvoiceTerms.objects.exists()


def test_an_account_that_ceases_to_pay_by_invoice_loses_its_credit(invoiced: Member) -> None:
    grant(invoiced, credit_limit=D(5), postpaid_amount=D(100))
    update_terms(terms=terms_of(invoiced.account), actor=None, method=BillingTerms.Method.CARD_FIXED, fixed_topup=D(50))
    assert limits(invoiced) == (D(0), D(0))
    assert invoices.book_postpaid(at(2027, 1, 2)) == 0


# --- Monthly top-up ------------------------------------------------------------------------------------------------


def booked(member: Member) -> list[str]:
    return list(
        LedgerTransaction.objects.filter(kind="postpaid", about=member.account)
        .order_by("pk")
        .values_list("idempotency_key", flat=True)
    )


def test_the_monthly_top_up_comes_with_the_next_first_of_the_account_s_month(invoiced: Member) -> None:
    grant(invoiced, postpaid_amount=D("150.25"))
    first = at(2026, 11, 30, 13)  # midnight in Sydney
    assert invoices.book_postpaid(first.replace(hour=12, minute=59)) == 0
    assert invoices.book_postpaid(first) == 1
    assert booked(invoiced) == [f"postpaid:{invoiced.account.code}:2026-12"]
    assert balance_of(invoiced.account).available == D("150.25")
    clearing = LedgerAccount.objects.get(kind="manual", currency="AUD")
    assert clearing.balance == D("-150.25")
    assert books_are_right()


def test_the_monthly_top_up_runs_twice_and_late_without_doubling(invoiced: Member) -> None:
    grant(invoiced, postpaid_amount=D(100))
    assert [invoices.book_postpaid(at(2027, 2, 10)) for _ in range(2)] == [3, 0]
    code = invoiced.account.code
    assert booked(invoiced) == [f"postpaid:{code}:{month}" for month in ("2026-12", "2027-01", "2027-02")]
    assert balance_of(invoiced.account).available == 300


def test_switching_the_top_up_off_and_on_within_a_month_books_it_once(invoiced: Member) -> None:
    grant(invoiced, postpaid_amount=D(100))
    assert invoices.book_postpaid(at(2026, 12, 1)) == 1
    InvoiceTerms.objects.update(postpaid_next=date(2026, 12, 1))
    assert invoices.book_postpaid(at(2026, 12, 2)) == 0
    assert balance_of(invoiced.account).available == 100
    assert InvoiceTerms.objects.get().postpaid_next == date(2027, 1, 1)


def test_many_workers_at_once_book_a_month_once(committed_db: Any, invoiced: Member, run_together: Any) -> None:
    grant(invoiced, postpaid_amount=D(100))
    assert sorted(run_together(6, lambda _: invoices.book_postpaid(at(2026, 12, 1)))) == [0, 0, 0, 0, 0, 1]
    assert balance_of(invoiced.account).available == 100


def test_months_follow_each_other_over_the_year() -> None:
    assert invoices.next_month(date(2026, 12, 31)) == date(2027, 1, 1)
    assert invoices.next_month(date(2027, 1, 31)) == date(2027, 2, 1)


# --- Staff and the account -----------------------------------------------------------------------------------------


def test_manual_payments_and_corrections_need_a_reason_and_leave_a_trace(invoiced: Member) -> None:
    who = {"account": invoiced.account, "actor": invoiced.user}
    with pytest.raises(BillingError, match="needs a reason"):
        book_payment(amount=D(10), key="transfer-00000001", reason="", **who)
    book_payment(amount=D(10), key="transfer-00000001", reason="Invoice 7", **who)
    book_payment(amount=D(-4), key="correction-000001", reason="Invoice 7 was 6.00", **who)
    assert balance_of(invoiced.account).available == 6
    traces = AuditEntry.objects.filter(action="payment.booked").order_by("pk")
    assert [(t.actor, t.data["amount"], t.data["reason"]) for t in traces] == [
        (invoiced.user, "10.000000", "Invoice 7"), (invoiced.user, "-4.000000", "Invoice 7 was 6.00"),
    ]  # fmt: skip


@pytest.fixture
def staff(db: None, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Sam"))


def test_staff_grant_credit_overdraw_and_monthly_top_up_in_the_admin(invoiced: Member, staff: Client) -> None:
    data = {
        "account": invoiced.account.pk, "credit_limit": "500", "overdraw_amount": "100", "overdraw_until": "2026-12-24",
        "postpaid_amount": "250",
    }  # fmt: skip
    response = staff.post(reverse("admin:billing_invoiceterms_add"), data)
    assert response.status_code == 302, response.context and response.context["errors"]
    assert limits(invoiced) == (D(500), D(100))
    terms = InvoiceTerms.objects.get(account=invoiced.account)
    assert (terms.postpaid_amount, terms.postpaid_next) == (D(250), date(2026, 12, 1))
    change = reverse("admin:billing_invoiceterms_change", args=[terms.pk])
    assert "AUD 0.00; can spend AUD 600.00" in staff.get(change).content.decode()
    assert staff.post(change, data | {"credit_limit": "300"}).status_code == 302
    assert limits(invoiced) == (D(300), D(100))
    entry = AuditEntry.objects.filter(action="invoice_terms.updated").latest("pk")
    assert entry.actor is not None
    assert entry.actor.username == "staff"
    assert entry.data == {"before": {"credit_limit": "500.000000"}, "after": {"credit_limit": "300"}}


def test_an_overdraw_without_an_end_is_refused_at_its_field(invoiced: Member, staff: Client) -> None:
    data = {"account": invoiced.account.pk, "credit_limit": "0", "overdraw_amount": "100", "postpaid_amount": "0"}
    page = staff.post(reverse("admin:billing_invoiceterms_add"), data).content.decode()
    assert "An overdraw needs its last day; choose one, or set the amount to 0." in page
    assert not InvoiceTerms.objects.exists()


def test_staff_give_a_direct_client_trial_credit(platform: Any, staff: Client) -> None:
    direct = make_reseller("Direct")
    data = {
        "method": "card_fixed", "fixed_topup": "50", "sms_margin": "0", "display_margin": "0",
        "trial_ends_on": "2026-12-24", "trial_credit": "7.50",
    }  # fmt: skip
    change = reverse("admin:billing_billingterms_change", args=[direct.account.pk])
    shown = staff.post(change, data).context["adminform"].form["shown"].value()  # from invoice to card
    assert staff.post(change, data | {"confirm": "on", "shown": shown}).status_code == 302
    assert balance_of(direct.account).available == D("7.50")


def test_the_billing_page_shows_balance_credit_overdraw_and_what_is_available(invoiced: Member, log_in: LogIn) -> None:
    grant(
        invoiced, credit_limit=D(500), overdraw_amount=D(100), overdraw_until=date(2026, 12, 24), postpaid_amount=D(50)
    )
    accept(invoiced)
    page = text_of(log_in(invoiced.user).get("/billing/").content.decode())
    assert "Balance AUD −0.05 Credit limit AUD 500.00 Overdraw until 24 Dec 2026 AUD 100.00" in page
    assert "Available AUD 599.95" in page
    assert "AUD 50.00 are added on the 1st of each month, next on 1 Dec 2026" in page
