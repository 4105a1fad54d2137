"""Payments that staff book by hand: bank transfers, and corrections with their reason."""

from decimal import Decimal

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import MoneyStranded
from billing.models import BillingTerms, LedgerTransaction
from billing.services import ledger
from billing.services.recharge_pauses import pause_recharge
from billing.services.trials import close_trial_by_payment, lock_terms
from billing.wording import money_text


@transaction.atomic
def book_payment(*, account: Account, amount: Decimal, key: str, reason: str, actor: User) -> LedgerTransaction:
    """Credit a payment received outside the portal to the account's wallet (negative: take back) and note who did it.

    ``key`` is made with the form, so that a form sent twice books once. Raises DuplicateMovement, InsufficientFunds,
    BillingError without a reason, and MoneyStranded for money to an account whose parent pays for it.
    """
    terms = BillingTerms.objects.filter(account=account).first()
    if amount > 0 and terms is not None and not terms.shows_money:
        payer = account.parent.name if account.parent else ""
        raise MoneyStranded(f"{account.name} is paid for by {payer} and could not use it; book it to {payer}.")
    lock_terms(account.pk)
    booked = ledger.manual_payment(account=account, amount=amount, key=key, reason=reason, actor=actor)
    audit.record(
        account=account, actor=actor, action="payment.booked", subject=account.code, amount=f"{amount:.6f}",
        reason=reason,
    )  # fmt: skip
    if amount > 0:
        close_trial_by_payment(account=account, amount=amount, reference=key)
    else:
        taken = money_text(-amount, account.currency)
        pause_recharge(account=account, reason=f"a correction of {taken}", key=f"manual:{booked.public_id}")
    return booked
