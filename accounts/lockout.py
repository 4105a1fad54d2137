"""What django-axes asks us: whose attempts count together, and what a locked-out person reads."""

from datetime import timedelta
from typing import Any

from axes.helpers import get_cool_off, get_failure_limit
from axes.models import AccessAttempt
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.selectors import find_user_by_login

TOO_MANY_REQUESTS = 429
MOST_CHARACTERS = 255  # of a name in django-axes' tables; nobody's login name is longer


def login_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """The name under which attempts are counted: the user's login name, however that or the e-mail was typed.

    Otherwise each way of writing would get its own number of attempts. Unknown names count in lower case.
    """
    typed = _typed(credentials or {}) or _typed(request.POST)
    user = find_user_by_login(typed)
    return (user.username if user else typed).lower()[:MOST_CHARACTERS]


def _typed(values: Any) -> str:
    """What was typed as log-in: "login" is our form's field, "username" the admin's and Django's own."""
    for name in ("login", "email", "username"):
        if values.get(name):
            return str(values[name]).strip()
    return ""


def locked_response(
    request: HttpRequest, original_response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """The lock-out page, 429, saying how long to wait; attempts in the meantime do not prolong it."""
    wait = _wait(request, credentials)
    context = {
        "login": _typed(request.POST),
        "failure_limit": get_failure_limit(request, credentials),
        "wait": wait,
    }
    response = render(request, "account/locked.html", context, status=TOO_MANY_REQUESTS)
    response["Retry-After"] = str(int(wait.total_seconds()) + 1)
    return response


def _wait(request: HttpRequest, credentials: dict[str, Any] | None) -> timedelta:
    cool_off = get_cool_off(request) or timedelta()
    attempts = AccessAttempt.objects.filter(
        username=login_of(request, credentials),
        ip_address=request.axes_ip_address,  # type: ignore[attr-defined]
    )
    last = attempts.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    return max(last + cool_off - timezone.now(), timedelta(minutes=1))
