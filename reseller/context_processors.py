"""What every page may name: the product, the top menu and the balance."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.access import MAY_BILL
from billing.models import BillingTerms
from billing.selectors import Balance, credits_of, frozen_accounts
from billing.trial import Trial, trial_of
from billing.visitor import balance_of_visitor, terms_of_visitor
from reseller import handset
from reseller.frame import frame_of
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
    visitor = _Visitor(request)
    return {
        "site_name": settings.SITE_NAME,
        "sees_money": visitor.sees_money,
        "menu": visitor.menu,
        "header_balance": visitor.header_balance,
        "header_trial": visitor.header_trial,
        "trial_can_pay": visitor.trial_can_pay,
        "frozen_wallets": visitor.frozen_wallets,
        "notices_offered": visitor.notices_offered,
        "handset_offered": handset.is_offered,
    }


class _Visitor:
    """Who asks for the page; looks up what is asked for, once."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._membership = getattr(request, "membership", None)
        self.menu = cache(self._menu)
        self._frame = cache(frame_of)

    def sees_money(self) -> bool:
        terms = self._terms()
        return terms is not None and terms.shows_money

    def header_balance(self) -> Balance | None:
        """What the top bar shows: money, or the credits of an account that sends with them."""
        terms = self._terms()
        if terms is not None and _sends_with_credits(terms):
            return credits_of(terms.account)
        return balance_of_visitor(self._request) if self.sees_money() else None

    def header_trial(self) -> Trial | None:
        return trial_of(self._terms())

    def trial_can_pay(self) -> bool:
        terms = self._terms()
        return self._may_bill() and terms is not None and terms.pays_by_card

    def notices_offered(self) -> bool:
        terms = self._terms()
        return self._may_bill() and terms is not None and terms.method != BillingTerms.Method.BILL_TO_PARENT

    def frozen_wallets(self) -> dict[str, Any]:
        if self._membership is None or not self._frame(self._membership.account).has_frozen:
            return {"own": False, "clients": []}
        own = self._membership.account
        found = frozen_accounts(own)
        return {"own": own in found and self.sees_money(), "clients": [one for one in found if one != own]}

    def _menu(self) -> list[Link]:
        if self._membership is None:
            return []
        match, account = self._request.resolver_match, self._membership.account
        frame, credits = self._frame(account), _sends_with_credits(self._terms())
        viewer = Viewer(account, self._membership.role, self.sees_money(), credits, frame.has_keywords)
        return menu_for(viewer, match.view_name if match else "", frame.unread)

    def _may_bill(self) -> bool:
        return self._membership is not None and self._membership.role in MAY_BILL

    def _terms(self) -> BillingTerms | None:
        return terms_of_visitor(self._request)


def _sends_with_credits(terms: BillingTerms | None) -> bool:
    return terms is not None and terms.method == BillingTerms.Method.SMS_CREDITS
