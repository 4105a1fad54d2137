"""Billing terms of accounts: making and changing them."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import LiveForGood, NotAllowed
from billing.models import BillingTerms, LedgerAccount, RateCard
from billing.services import invoices, ledger, trials
from billing.services.switching import prepare_switch

EDITABLE = {
    "method", "fixed_topup", "minimum_topup", "daily_topup_limit", "sms_margin", "display_margin", "rate_card",
    "trial_ends_on",
}  # fmt: skip


@transaction.atomic
def create_terms(*, account: Account, actor: User | None, **values: Any) -> BillingTerms:
    """Give a new account its terms and its empty wallet; ``values``: keys of EDITABLE.

    Raises as check_payer and check_card.
    """
    _check(values)
    check_payer(account, values["method"])
    check_card(account, values.get("rate_card"))
    terms = BillingTerms.objects.create(account=account, **values)
    ledger.open_account(account, LedgerAccount.Kind.WALLET)
    audit.record(account=account, actor=actor, action="terms.created", subject=account.code, **_readable(values))
    return terms


@transaction.atomic
def update_terms(
    *, terms: BillingTerms, actor: User | None, expected_refund: Decimal | None = None, **values: Any
) -> BillingTerms:
    """Change terms and note the old and new values. What was accepted keeps the price that it was accepted at.

    A new method settles what the old one leaves (billing.services.switching); ``expected_refund`` is what the person
    saw of it. Raises MoneyStranded when the parent would pay from now on while money of the account's own is left,
    CreditPriceChanged, and NotAllowed: check_payer, check_invoice, check_card.
    """
    _check(values)
    locked = BillingTerms.objects.select_for_update(of=("self",)).select_related("account").get(pk=terms.pk)
    values = _with_trial(locked, values)
    changed = {key: value for key, value in values.items() if getattr(locked, key) != value}
    if not changed:
        return locked
    if "method" in changed:
        check_payer(locked.account, changed["method"])
        check_invoice(locked.account, changed["method"])
        prepare_switch(terms=locked, method=changed["method"], actor=actor, expected_refund=expected_refund)
    check_card(locked.account, changed.get("rate_card"))
    before = {key: getattr(locked, key) for key in changed}
    for key, value in changed.items():
        setattr(locked, key, value)
    locked.save(update_fields=list(changed))
    if before.get("method") == BillingTerms.Method.INVOICE:
        invoices.withdraw_credit(account=locked.account, actor=actor)
    audit.record(
        account=locked.account, actor=actor, action="terms.updated", subject=locked.account.code,
        before=_readable(before), after=_readable(changed),
    )  # fmt: skip
    return locked


def check_payer(account: Account, method: str) -> None:
    """Raise NotAllowed where the platform would pay for a client of its own (PRODUCT.md: its clients pay, or owe)."""
    if account.is_direct and method in BillingTerms.PARENT_PAYS:
        raise NotAllowed("The platform pays for no client; choose a card method, or Invoice.")


def check_invoice(account: Account, method: str) -> None:
    """Raise NotAllowed for an invoice to a client of a client (PRODUCT.md, money rule 3): its parent offers none."""
    if method == BillingTerms.Method.INVOICE and not account.is_direct:
        raise NotAllowed(
            f"Only the platform's own clients pay by invoice, and {account.name} is a client of {account.parent}; "
            "choose another method."
        )


def check_card(account: Account, card: RateCard | None) -> None:
    """Raise NotAllowed for a card that is not in the account's currency, or that no price of it would follow from."""
    if card is None:
        return
    if not account.is_direct:
        raise NotAllowed(
            f"A rate card is for the platform's own clients; what {account.name} pays follows from its parent's price."
        )
    if card.currency != account.currency:
        raise NotAllowed(
            f"{card} has prices in {card.currency} and {account.name} pays in {account.currency}; "
            f"choose a card in {account.currency}, or none for the default one."
        )


def _with_trial(locked: BillingTerms, values: dict[str, Any]) -> dict[str, Any]:
    """A trial that is closed stays closed until a new last day is set, and never comes back after a payment."""
    ends_on = values.get("trial_ends_on")
    if "trial_ends_on" not in values or ends_on == locked.trial_ends_on:
        return values
    if ends_on is None:
        return {key: value for key, value in values.items() if key != "trial_ends_on" or not locked.trial_closed_at}
    if not locked.on_trial and trials.has_paid(locked.account):
        raise LiveForGood(f"{locked.account.name} has added credit already, so it is live; set Trial Period to No.")
    return values | {"trial_closed_at": None}


def _check(values: dict[str, Any]) -> None:
    unknown = set(values) - EDITABLE
    if unknown:
        raise TypeError(f"unknown billing terms: {sorted(unknown)}")


def _readable(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
