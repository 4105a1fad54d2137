"""An account whose trial ran out may read everything, add credit and change its settings; all else leads to a page."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.models import Account
from accounts.selectors import get_membership_for
from billing.selectors import terms_of
from billing.trial import trial_is_over
from billing.visitor import terms_of_visitor

LANDING = "billing:trial-expired"
# Names of views that stay open for every method: paying, the person's settings, leaving, and what is nobody's tenant.
OPEN = (
    "billing:*", "accounts:*", "account_*", "admin:*", "health-*", "messaging:batch-cancel",
)  # fmt: skip
# Pages that begin to do something; every other page may be read.
ACTING = (
    "dashboard", "messaging:send*", "clients:add", "clients:edit", "clients:suspend", "clients:reactivate",
    "clients:trial", "clients:credits*", "clients:defaults",
)  # fmt: skip
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class TrialGateMiddleware:
    """Stands after accounts.middleware.TenantMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        return _landing(request) if _has_just_logged_in(request, response) else response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        name = request.resolver_match.view_name
        if _is_open(name, request.method) or not trial_is_over(terms_of_visitor(request)):
            return None
        return _landing(request)


def _is_open(name: str, method: str) -> bool:
    if _matches(name, OPEN):
        return True
    return method in SAFE_METHODS and not _matches(name, ACTING)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_expired(account: Account) -> bool:
    """Whether the account's trial ran out with nothing paid since."""
    return trial_is_over(terms_of(account))


def _has_just_logged_in(request: Any, response: HttpResponse) -> bool:
    """Whether this answer sends somebody of an expired account on from the log-in page, wherever that leads."""
    match = request.resolver_match
    if match is None or match.view_name != "account_login" or request.method != "POST":
        return False
    if response.status_code != 302 or not request.user.is_authenticated:
        return False
    membership = get_membership_for(request.user)
    return membership is not None and is_expired(membership.account)


def _landing(request: Any) -> HttpResponse:
    """303, so that the browser asks with GET; htmx is told to leave the page."""
    if getattr(request, "htmx", False):
        return HttpResponse(headers={"HX-Redirect": reverse(LANDING)})
    answer = HttpResponseRedirect(reverse(LANDING))
    answer.status_code = 302 if request.method in SAFE_METHODS else 303
    return answer
