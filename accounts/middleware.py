"""Sets the tenant of each request, and the time zone that its pages are shown in."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from accounts.selectors import get_membership_for

SESSION_KEY = "account_code"


class TenantMiddleware:
    """Adds ``request.membership`` and ``request.account`` (both None without a log-in or a membership)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        membership = None
        if request.user.is_authenticated:
            membership = get_membership_for(request.user, request.session.get(SESSION_KEY, ""))
        request.membership = membership  # type: ignore[attr-defined]
        request.account = membership.account if membership else None  # type: ignore[attr-defined]
        zone = membership.account.time_zone if membership else "UTC"
        with timezone.override(zoneinfo.ZoneInfo(zone)):
            response = self.get_response(request)
        if request.user.is_authenticated and not response.has_header("Cache-Control"):
            # One person's page: for no proxy to keep, and for the browser only after asking again.
            patch_cache_control(response, private=True, no_cache=True)
        return response
