"""Invoiced accounts: credit, overdraw with an end, the monthly top-up (seed 2; PRODUCT.md, money rule 3).

Locks are taken in the order terms, invoice terms, wallets. Days and months are the account's own.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import DuplicateMovement, NotAllowed
from billing.models import BillingTerms, InvoiceTerms, LedgerTransaction
from billing.services import ledger
from billing.trial import local_date

log = structlog.get_logger(__name__)

EDITABLE = {"credit_limit", "overdraw_amount", "overdraw_until", "postpaid_amount"}
MONTHS_AT_ONCE = 24


@transaction.atomic
def set_invoice_terms(*, account: Account, actor: User | None, **values: Any) -> InvoiceTerms:
    """Grant or change credit, overdraw and the monthly top-up (keys of EDITABLE); they count at once.

    A monthly top-up that is new begins with the next 1st. Raises NotAllowed for an account that is not the platform's
    own client paying by invoice, and for an overdraw without an end that is still to come.
    """
    unknown = set(values) - EDITABLE
    if unknown:
        raise TypeError(f"unknown invoice terms: {sorted(unknown)}")
    _check_account(account)
    InvoiceTerms.objects.get_or_create(account=account)
    terms = InvoiceTerms.objects.select_for_update().get(account=account)
    changed = {key: value for key, value in values.items() if getattr(terms, key) != value}
    before = {key: str(getattr(terms, key)) for key in changed}
    for key, value in changed.items():
        setattr(terms, key, value)
    if {"overdraw_amount", "overdraw_until"} & set(changed):
        _check_overdraw(terms, account)
    if not terms.postpaid_amount:
        terms.postpaid_next = None
    elif terms.postpaid_next is None:
        terms.postpaid_next = next_month(local_date(account))
    terms.save()
    ledger.set_credit_limits(account=account, **limits_of(terms, account))
    if changed:
        after = {key: str(value) for key, value in changed.items()}
        audit.record(
            account=account, actor=actor, action="invoice_terms.updated", subject=account.code, before=before,
            after=after,
        )  # fmt: skip
    return terms


def _check_account(account: Account) -> None:
    if not account.is_direct:
        raise NotAllowed(f"{account.name} is a client of {account.parent}; only the platform's own clients get credit.")
    terms = BillingTerms.objects.select_for_update().filter(account=account).first()  # the method stays while we write
    if terms is None or terms.method != BillingTerms.Method.INVOICE:
        raise NotAllowed(f"{account.name} does not pay by invoice; change the method of its billing terms first.")


def _check_overdraw(terms: InvoiceTerms, account: Account) -> None:
    today = local_date(account)
    if terms.overdraw_amount and (terms.overdraw_until is None or terms.overdraw_until < today):
        raise NotAllowed(
            f"An overdraw needs its last day, {today:%Y-%m-%d} or later (the date in {account.time_zone} now)."
        )


def limits_of(terms: InvoiceTerms, account: Account, now: datetime | None = None) -> dict[str, Decimal]:
    """The wallet's limits as the terms have them today; the overdraw is gone after its last day."""
    in_force = terms.overdraw_until is not None and terms.overdraw_until >= local_date(account, now)
    return {"credit": terms.credit_limit, "overdraft": terms.overdraw_amount if in_force else Decimal(0)}


@transaction.atomic
def withdraw_credit(*, account: Account, actor: User | None) -> None:
    """Take credit, overdraw and monthly top-up away from an account that no longer pays by invoice."""
    terms = InvoiceTerms.objects.select_for_update().filter(account=account).first()
    if terms is None:
        return
    before = {key: str(getattr(terms, key)) for key in sorted(EDITABLE)}
    terms.delete()
    ledger.set_credit_limits(account=account, credit=Decimal(0), overdraft=Decimal(0))
    audit.record(account=account, actor=actor, action="invoice_terms.withdrawn", subject=account.code, before=before)


def end_overdraws(now: datetime) -> int:
    """Take back each overdraw whose last day is over in its account's zone; returns how many."""
    # No zone is more than a day ahead of UTC.
    ended = InvoiceTerms.objects.filter(overdraw_amount__gt=0, overdraw_until__lte=now.date() + timedelta(days=1))
    return sum(_end_overdraw(one.account, now) for one in ended.select_related("account"))


@transaction.atomic
def _end_overdraw(account: Account, now: datetime) -> bool:
    terms = InvoiceTerms.objects.select_for_update().filter(account=account).first()
    if terms is None or not terms.overdraw_until or terms.overdraw_until >= local_date(account, now):
        return False  # prolonged or ended meanwhile
    amount, until = terms.overdraw_amount, terms.overdraw_until
    terms.overdraw_amount, terms.overdraw_until = Decimal(0), None
    terms.save(update_fields=["overdraw_amount", "overdraw_until"])
    ledger.set_credit_limits(account=account, **limits_of(terms, account, now))
    audit.record(
        account=account, actor=None, action="overdraw.ended", subject=account.code, amount=f"{amount:.6f}",
        until=str(until),
    )  # fmt: skip
    return True


def book_postpaid(now: datetime) -> int:
    """Book each monthly top-up that is due, also months that were missed; returns how many were booked.

    Running twice, late or in two places at once books each month once.
    """
    due = InvoiceTerms.objects.filter(postpaid_amount__gt=0, postpaid_next__lte=now.date() + timedelta(days=1))
    due = due.exclude(account__status=Account.Status.CLOSED).select_related("account")
    return sum(_book_months(one.account, now) for one in due)


@transaction.atomic
def _book_months(account: Account, now: datetime) -> int:
    terms = InvoiceTerms.objects.select_for_update().filter(account=account).first()
    booked, today = 0, local_date(account, now)
    for _ in range(MONTHS_AT_ONCE):
        if terms is None or not terms.postpaid_amount or not terms.postpaid_next or terms.postpaid_next > today:
            break
        booked += _book_month(account, terms.postpaid_amount, terms.postpaid_next)
        terms.postpaid_next = next_month(terms.postpaid_next)
        terms.save(update_fields=["postpaid_next"])
    return booked


def _book_month(account: Account, amount: Decimal, month: date) -> bool:
    try:
        postpaid_topup(account=account, amount=amount, month=month)
    except DuplicateMovement:  # switched off and on again within a month
        log.info("postpaid.booked_before", account=account.code, month=f"{month:%Y-%m}")
        return False
    audit.record(
        account=account, actor=None, action="postpaid.booked", subject=account.code, amount=f"{amount:.6f}",
        month=f"{month:%Y-%m}",
    )  # fmt: skip
    return True


def next_month(day: date) -> date:
    """The 1st of the month after ``day``'s."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def postpaid_topup(*, account: Account, amount: Decimal, month: date) -> LedgerTransaction:
    """Add an invoiced account's monthly amount; once per month (its 1st names it). Raises DuplicateMovement."""
    return ledger.post(
        kind=ledger.TxKind.POSTPAID, key=f"postpaid:{account.code}:{month:%Y-%m}", currency=account.currency,
        about=account, description=f"{month:%B %Y}",
        postings=[
            ledger.Posting(ledger.platform_account(ledger.Kind.MANUAL, account.currency).pk, -amount),
            ledger.Posting(ledger.open_account(account, ledger.Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip
