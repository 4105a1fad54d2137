"""Trials: what the parent gives, how long it lasts, and what ends it (PRODUCT.md, money rule 7; seed 1, step 4).

Locks are taken in the order terms, wallets. Trial credit that is left when the trial ends stays in the wallet: it
cannot be spent while the account is expired, and can be again once it is live.
"""

import zoneinfo
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from accounts.services import audit
from accounts.services.mail import queue_mail
from billing.exceptions import InsufficientFunds, NotAllowed, TrialRefused, WalletFrozen
from billing.models import BillingTerms, LedgerTransaction, TopUp
from billing.people import notice_address
from billing.selectors import balance_of
from billing.services import ledger
from billing.services.pricing import PriceList
from billing.trial import local_date
from billing.wording import money_text


@transaction.atomic
def grant_trial_credit(*, account: Account, total: Decimal, actor: User | None) -> None:
    """Bring what the parent gave for the trial to ``total`` in all; the rest comes out of the parent's wallet now.

    Asking for the same total again moves nothing. Raises TrialRefused when the account is on no trial, when less than
    what was given is asked for, or when the parent's wallet does not cover the rest.
    """
    terms = _locked(account)
    missing = total - terms.trial_credit
    if not missing:
        return
    if not terms.on_trial:
        raise TrialRefused(f"{account.name} is on no trial, so it gets no trial credit; set a trial first.")
    given = money_text(terms.trial_credit, account.currency)
    if missing < 0:
        raise TrialRefused(f"{given} of trial credit was given already; enter {given} or more.")
    giver = _giver_of(account)
    try:
        _give(account=account, giver=giver, amount=missing, total=total, actor=actor)
    except InsufficientFunds as error:
        raise TrialRefused(_not_covered(giver, missing)) from error
    except WalletFrozen as error:
        raise TrialRefused(str(error)) from error
    BillingTerms.objects.filter(pk=terms.pk).update(trial_credit=total)
    audit.record(
        account=account, actor=actor, action="trial.credit_given", subject=account.code, amount=f"{missing:.6f}",
        total=f"{total:.6f}",
    )  # fmt: skip


def _giver_of(account: Account) -> Account:
    """Who pays the trial credit: the parent, or whoever pays for the parent; the platform for its own clients."""
    parent = account.parent
    if parent is None or parent.is_platform:
        return ledger.get_platform()
    try:
        prices = PriceList(parent)
    except NotAllowed as error:
        raise TrialRefused(str(error)) from error
    if prices.uses_credits:
        raise TrialRefused(
            f"{parent.name} sends with SMS credits and has no money to give; leave the trial credit 0.00."
        )
    return prices.payer


def _not_covered(giver: Account, missing: Decimal) -> str:
    available = max(Decimal(0), balance_of(giver).available)
    has, needs = money_text(available, giver.currency), money_text(missing, giver.currency)
    return f"This takes {needs} out of your wallet, which has {has}; lower the trial credit or add credit first."


@transaction.atomic
def extend_trial(*, account: Account, ends_on: date, actor: User | None) -> None:
    """Let the trial last until the end of ``ends_on`` (the account's day), also one that ran out.

    Raises TrialRefused when the day is not in the future, and when the account is on no trial.
    """
    today = local_date(account)
    if ends_on <= today:
        raise TrialRefused(
            f"{ends_on:%Y-%m-%d} is not in the future: today is {today:%Y-%m-%d} in {account.time_zone}; "
            "choose a later day."
        )
    _move_end(account, ends_on, actor, "trial.extended")


@transaction.atomic
def end_trial(*, account: Account, actor: User | None) -> None:
    """End the trial now: the account must add credit. Raises TrialRefused."""
    _move_end(account, local_date(account) - timedelta(days=1), actor, "trial.ended")


def _move_end(account: Account, ends_on: date, actor: User | None, action: str) -> None:
    terms = _locked_on_trial(account)
    BillingTerms.objects.filter(pk=terms.pk).update(trial_ends_on=ends_on)
    audit.record(
        account=account, actor=actor, action=action, subject=account.code,
        before={"trial_ends_on": str(terms.trial_ends_on)}, after={"trial_ends_on": str(ends_on)},
    )  # fmt: skip


@transaction.atomic
def make_live(*, account: Account, actor: User | None) -> None:
    """Close the trial without a payment: what is in the wallet can be spent. Raises TrialRefused."""
    _locked_on_trial(account)
    _close(account, actor, "made live by its parent")


def close_trial_by_payment(*, account: Account, amount: Decimal, reference: str) -> bool:
    """Make an account live as money of its own arrives, and tell its parent; False when it was live already.

    Must run in the transaction that credits the money. Whoever credits an account that may be on trial locks its terms
    first of all (``lock_terms``).
    """
    terms = BillingTerms.objects.select_for_update().filter(pk=account.pk, trial_closed_at=None).first()
    if terms is None or terms.trial_ends_on is None:
        return False
    _close(account, None, f"first payment {reference}")
    _tell_parent(account, amount, reference)
    return True


def lock_terms(account_id: int) -> None:
    """Lock an account's terms, as locks are taken in the order terms, top-up, wallets."""
    BillingTerms.objects.select_for_update().filter(pk=account_id).values_list("pk").first()


def lock_terms_of_topup(code: str) -> None:
    """As ``lock_terms``, for whoever knows the top-up's code only."""
    account = TopUp.objects.filter(code=code).values_list("account_id", flat=True).first()
    if account is not None:
        lock_terms(account)


def _close(account: Account, actor: User | None, why: str) -> None:
    now = timezone.now()
    BillingTerms.objects.filter(pk=account.pk).update(trial_closed_at=now)
    audit.record(account=account, actor=actor, action="trial.closed", subject=account.code, reason=why)


def _tell_parent(account: Account, amount: Decimal, reference: str) -> None:
    parent = account.parent
    address = notice_address(parent) if parent is not None and not parent.is_platform else ""
    if not address:
        return
    with timezone.override(zoneinfo.ZoneInfo(parent.time_zone if parent else "UTC")):
        queue_mail(
            key=f"trial-live:{account.code}:{reference}", to=address, template="billing/mail/trial_live",
            context={
                "client": account, "amount": amount,
                "client_url": settings.SITE_URL + reverse("clients:detail", args=[account.code]),
            },
            account=parent,
        )  # fmt: skip


def has_paid(account: Account) -> bool:
    """Whether money of the account's own ever came in, by card or booked by staff: then it is live for good."""
    kind = LedgerTransaction.Kind
    paid = LedgerTransaction.objects.filter(about=account, kind__in=(kind.TOPUP, kind.MANUAL))
    # Said so that their own index is used (movement_of_payment).
    paid = paid.exclude(kind__in=(kind.HOLD, kind.CAPTURE, kind.RELEASE))
    return paid.filter(entries__ledger_account__owner=account, entries__amount__gt=0).exists()


def _locked(account: Account) -> BillingTerms:
    terms = BillingTerms.objects.select_for_update(of=("self",)).select_related("account").filter(pk=account.pk).first()
    if terms is None:
        raise TrialRefused(f"{account.name} has no billing terms yet.")
    return terms


def _locked_on_trial(account: Account) -> BillingTerms:
    terms = _locked(account)
    if not terms.on_trial:
        raise TrialRefused(f"{account.name} is on no trial any more; reload the page to see its state.")
    return terms


def _give(
    *, account: Account, giver: Account, amount: Decimal, total: Decimal, actor: User | None
) -> LedgerTransaction:
    """Give trial credit out of ``giver``'s wallet, the platform's out of its revenue; once per ``total`` given so far.

    Raises DuplicateMovement, InsufficientFunds and WalletFrozen.
    """
    source = ledger.Kind.REVENUE if giver.is_platform else ledger.Kind.WALLET
    return ledger.post(
        kind=ledger.TxKind.TRIAL, key=f"trial:{account.code}:{total:.6f}", currency=account.currency, about=account,
        actor=actor,
        postings=[
            ledger.Posting(ledger.open_account(giver, source, account.currency).pk, -amount),
            ledger.Posting(ledger.open_account(account, ledger.Kind.WALLET).pk, amount),
        ],
    )  # fmt: skip
