"""What every page may name: the product, the top menu and the balance."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.access import MAY_BILL
from accounts.models import Account
from billing.models import BillingTerms
from billing.selectors import Balance, credits_of, frozen_accounts
from billing.trial import Trial, trial_of
from billing.visitor import balance_of_visitor, terms_of_visitor
from reseller import handset
from reseller.frame import Frame, frame_of
from reseller.navigation import Link, Viewer, menu_for


def portal(request: HttpRequest) -> dict[str, Any]:
    """Adds ``site_name``, ``sees_money``, ``menu``, ``header_balance``, ``header_trial``, ``trial_can_pay`` and more.

    ``sees_money``: whether this account's pages may show prices and balances. ``menu``: a list of navigation.Link,
    empty without an account. ``header_balance``: a billing.selectors.Balance, of credits where the account sends with
    SMS credits, None where neither is shown.
    ``header_trial``: a billing.trial.Trial, None for a live account; ``trial_can_pay``: whether this person can end it
    by a card payment. ``frozen_wallets``: "own", the account's wallet is frozen by a dispute; "clients", the direct
    clients whose wallet is. ``notices_offered``: whether SETTINGS has a page Notices.
    ``handset_offered``: whether there is a phone to try things with (development). These are functions that a template
    calls by naming them, so that an answer without a top bar asks the database nothing.
    """
    membership = getattr(request, "membership", None)
    account = membership.account if membership else None
    may_bill = membership is not None and membership.role in MAY_BILL

    def terms() -> BillingTerms | None:
        return terms_of_visitor(request)

    frame = cache(frame_of)

    def sees_money() -> bool:
        found = terms()
        return found is not None and found.shows_money

    @cache
    def menu() -> list[Link]:
        if membership is None:
            return []
        match = request.resolver_match
        viewer = Viewer(
            membership.account, membership.role, sees_money(), _sends_with_credits(terms()),
            frame(membership.account).has_keywords,
        )  # fmt: skip
        return menu_for(viewer, match.view_name if match else "", frame(membership.account).unread)

    def header_balance() -> Balance | None:
        return _shown_balance(request, terms())

    def frozen_wallets() -> dict[str, Any]:
        found = _frozen(account, frame)
        return {"own": account in found and sees_money(), "clients": [one for one in found if one != account]}

    def header_trial() -> Trial | None:
        return trial_of(terms())

    def trial_can_pay() -> bool:
        return may_bill and _pays_by_card(terms())

    def notices_offered() -> bool:
        return may_bill and _is_told_of_money(terms())

    return {
        "site_name": settings.SITE_NAME,
        "sees_money": sees_money,
        "menu": menu,
        "header_balance": header_balance,
        "header_trial": header_trial,
        "trial_can_pay": trial_can_pay,
        "frozen_wallets": frozen_wallets,
        "notices_offered": notices_offered,
        "handset_offered": handset.is_offered,
    }


def _shown_balance(request: HttpRequest, terms: BillingTerms | None) -> Balance | None:
    """What the top bar shows: money, or the credits of an account that sends with them."""
    if terms is not None and _sends_with_credits(terms):
        return credits_of(terms.account)
    return balance_of_visitor(request) if terms is not None and terms.shows_money else None


def _pays_by_card(terms: BillingTerms | None) -> bool:
    return terms is not None and terms.pays_by_card


def _is_told_of_money(terms: BillingTerms | None) -> bool:
    return terms is not None and terms.method != BillingTerms.Method.BILL_TO_PARENT


def _frozen(account: Account | None, frame: Callable[[Account], Frame]) -> list[Account]:
    return frozen_accounts(account) if account is not None and frame(account).has_frozen else []


def _sends_with_credits(terms: BillingTerms | None) -> bool:
    return terms is not None and terms.method == BillingTerms.Method.SMS_CREDITS
