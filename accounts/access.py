"""Who may open a page: roles as decorators; another tenant's object is a selector's 404."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from accounts.models import Account, Membership, User
from accounts.selectors import is_stopped

Role = Membership.Role
ANY_ROLE = frozenset(Role)
MAY_MANAGE = frozenset({Role.OWNER})
MAY_SEND = frozenset({Role.OWNER, Role.SENDER})
MAY_BILL = frozenset({Role.OWNER, Role.BILLING})

# Of the base of all answers: a download is a StreamingHttpResponse.
View = Callable[..., HttpResponseBase]


class TenantRequest(HttpRequest):
    """A request after TenantMiddleware, of a view behind ``tenant_view``."""

    user: User
    account: Account
    membership: Membership
    htmx: Any


def tenant_view(roles: frozenset[Role] = ANY_ROLE, *, parents_only: bool = False) -> Callable[[View], View]:
    """Let in members of an active account with one of ``roles``.

    Anonymous: log-in page. Staff without an account: the admin. Role too low: 403. ``parents_only``: 404 for an
    account that has no right to have clients. Suspended account (or one above it): a page that says so, 403.
    What htmx asks for in the background never gets these pages in the place of a fragment: the whole page goes there.
    """

    def decorate(view: View) -> View:
        @_log_in_outside_fragments
        @login_required
        @wraps(view)
        def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.membership is None:
                return _without_account(request)
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise SuspiciousOperation("No page has a NUL in its address, and PostgreSQL takes none.")
            if is_stopped(request.membership):
                if request.htmx:
                    return HttpResponseClientRefresh()
                return render(request, "accounts/suspended.html", status=403)
            if parents_only and not request.account.can_have_children:
                raise Http404
            if request.membership.role not in roles:
                raise PermissionDenied("Your role does not allow this; ask the owner of the account.")
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _log_in_outside_fragments(view: View) -> View:
    """When the session ended while a page refreshes a part of itself, that page leaves for the log-in and comes back.

    A plain redirect would be followed by htmx, and the log-in form would stand inside the page.
    """

    @wraps(view)
    def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.htmx and not request.user.is_authenticated:
            page = request.htmx.current_url_abs_path or resolve_url(settings.LOGIN_REDIRECT_URL)
            return HttpResponseClientRedirect(redirect_to_login(page).url)
        return view(request, *args, **kwargs)

    return guarded


def _without_account(request: HttpRequest) -> HttpResponse:
    if getattr(request.user, "is_staff", False):
        return redirect("admin:index")
    raise PermissionDenied("You belong to no account; ask whoever invited you.")
