"""What every page may name: the product, the top menu and the balance."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.access import MAY_BILL
from billing.models import BillingTerms
from billing.selectors import Balance, balance_of, credits_of, terms_of
from billing.trial import Trial, trial_of
from keywords.selectors import offers_keywords
from messaging.inbox import unread_count
from reseller import handset
from reseller.navigation import Link, Viewer, menu_for


def portal(request: HttpRequest) -> dict[str, Any]:
    """Adds ``site_name``, ``sees_money``, ``menu``, ``header_balance``, ``header_trial`` and ``trial_can_pay``.

    ``sees_money``: whether this account's pages may show prices and balances. ``menu``: a list of navigation.Link,
    empty without an account. ``header_balance``: a billing.selectors.Balance, of credits where the account sends with
    SMS credits, None where neither is shown.
    ``header_trial``: a billing.trial.Trial, None for a live account; ``trial_can_pay``: whether this person can end it
    by a card payment. ``notices_offered``: whether SETTINGS has a page Notices.
    ``handset_offered``: whether there is a phone to try things with (development). These are functions that a template
    calls by naming them, so that an answer without a top bar asks the database nothing.
    """
    membership = getattr(request, "membership", None)
    account = membership.account if membership else None

    @cache
    def terms() -> BillingTerms | None:
        return terms_of(account) if account is not None else None

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
            offers_keywords(membership.account),
        )  # fmt: skip
        return menu_for(viewer, match.view_name if match else "", unread_count(membership.account))

    def header_balance() -> Balance | None:
        return _shown_balance(terms())

    def header_trial() -> Trial | None:
        return trial_of(terms())

    def trial_can_pay() -> bool:
        found = terms()
        return found is not None and found.pays_by_card and membership is not None and membership.role in MAY_BILL

    def notices_offered() -> bool:
        found = terms()
        pays = found is not None and found.method != BillingTerms.Method.BILL_TO_PARENT
        return pays and membership is not None and membership.role in MAY_BILL

    return {
        "site_name": settings.SITE_NAME,
        "sees_money": sees_money,
        "menu": menu,
        "header_balance": header_balance,
        "header_trial": header_trial,
        "trial_can_pay": trial_can_pay,
        "notices_offered": notices_offered,
        "handset_offered": handset.is_offered,
    }


def _shown_balance(terms: BillingTerms | None) -> Balance | None:
    """What the top bar shows: money, or the credits of an account that sends with them."""
    if terms is not None and _sends_with_credits(terms):
        return credits_of(terms.account)
    return balance_of(terms.account) if terms is not None and terms.shows_money else None


def _sends_with_credits(terms: BillingTerms | None) -> bool:
    return terms is not None and terms.method == BillingTerms.Method.SMS_CREDITS
