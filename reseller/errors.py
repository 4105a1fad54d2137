"""Error pages: what happened and what to do next. The one of a crash needs neither request nor database."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.csrf import requires_csrf_token

_LAST_RESORT = (
    "<!DOCTYPE html><html lang=en><title>Error</title><h1>Something went wrong on our side</h1>"
    "<p>Wait a minute and try again."
)


@requires_csrf_token
def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: the browser sent something that cannot be read."""
    return render(request, "400.html", status=400)


@requires_csrf_token
def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: says why, when the view that refused gave a sentence."""
    return render(request, "403.html", {"reason": str(exception)}, status=403)


@requires_csrf_token
def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: never says whether the thing exists for somebody else."""
    return render(request, "404.html", status=404)


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """500: drawn without request, session or database, any of which may be what broke."""
    try:
        return HttpResponseServerError(render_to_string("500.html", {"site_name": settings.SITE_NAME}))
    except Exception:  # the page about an error must not raise another
        return HttpResponseServerError(_LAST_RESORT)


@requires_csrf_token
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form whose token is missing or outdated, most often because of a log-in in another tab."""
    return render(request, "403_csrf.html", status=403)
