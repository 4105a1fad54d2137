"""Staff's pages about routes beside the admin's own: how they do, what is done to them, and what they earn."""

from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.models import Account
from messaging.exceptions import SendingError
from messaging.models import Route
from messaging.route_profit import MOST_DAYS, profit_of, totals_of
from messaging.services.route_control import DEEDS, control_route
from messaging.services.route_health import GRAPH_HOURS, RouteState, health_of, open_messages, series_of
from messaging.services.route_tests import send_test

_SAID = {
    "pause": "{} is paused: nothing more is given to its carrier.",
    "resume": "{} goes on.",
    "drain": "{} drains: it finishes its stock, and what waits takes other routes.",
    "undrain": "{} takes messages again.",
}  # fmt: skip
_WAITS = {"No connector": "the route has no connector"}


class TestForm(forms.Form):
    """A message over one route."""

    account = forms.CharField(
        max_length=12, widget=UnfoldAdminTextInputWidget, help_text="Code of the account that sends and pays it."
    )
    sender = forms.CharField(max_length=16, widget=UnfoldAdminTextInputWidget)
    recipient = forms.CharField(max_length=30, widget=UnfoldAdminTextInputWidget, help_text="Such as +61412345678.")
    text = forms.CharField(max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))

    def clean_account(self) -> Account:
        code = str(self.cleaned_data["account"]).strip().upper()
        found = Account.objects.filter(code=code).exclude(parent=None).first()
        if found is None:
            raise forms.ValidationError(f"There is no account {code}; its code stands in the list of accounts.")
        return found


def _routes() -> Any:
    return (
        Route.objects.select_related("smpp_connector", "http_connector").prefetch_related("statuses").order_by("name")
    )


def health_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """All routes as they are now."""
    healths = health_of(list(_routes()))
    return TemplateResponse(
        request, "admin/messaging/routes_health.html", context | {"title": "Health of routes", "healths": healths}
    )


def route_page(request: HttpRequest, key: int, context: dict[str, Any]) -> HttpResponse:
    """One route: its figures and graph, the deeds, and a test message."""
    route = get_object_or_404(_routes(), pk=key)
    form = TestForm(request.POST if "text" in request.POST else None)
    if request.method == "POST":
        if not request.user.has_perm("messaging.change_route"):
            raise PermissionDenied("Changing routes is needed for this.")
        if _do(request, route, form):
            return HttpResponseRedirect(reverse("admin:messaging_route_health_of", args=[route.pk]))
    (health,) = health_of([route])
    more = {
        "title": f"Health of {route.name}", "health": health, "form": form, "series": series_of(route),
        "hours": GRAPH_HOURS, "unknown": open_messages(route), "route": route,
    }  # fmt: skip
    return TemplateResponse(request, "admin/messaging/route_health.html", context | more)


def _do(request: HttpRequest, route: Route, form: TestForm) -> bool:
    """Carry out what was posted; False when the form has to be shown again."""
    actor: Any = request.user
    deed = request.POST.get("do", "")
    if deed in DEEDS:
        if control_route(route, deed, actor=actor):
            messages.success(request, _SAID[deed].format(route.name))
        return True
    if not form.is_valid():
        return False
    try:
        message = send_test(route=route, actor=actor, **form.cleaned_data)
    except SendingError as error:
        form.add_error(None, str(error))
        return False
    now = RouteState(route)
    page = reverse("admin:messaging_message_change", args=[message.pk])
    waits = f" It waits: {_WAITS.get(now.word, f'the route is {now.word.lower()}')}." if now.waits else ""
    said = format_html(
        'Accepted for {}: batch {}.{} <a href="{}">See what becomes of it</a>',
        message.recipient, message.batch.code, waits, page,
    )  # fmt: skip
    (messages.warning if waits else messages.success)(request, said)
    return True


def profit_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """What routes earn, and what was sold below its cost."""
    today = timezone.now().date()
    last = _day(request.GET.get("last", ""), today)
    first = min(last, _day(request.GET.get("first", ""), last - timedelta(days=6)))
    lines = profit_of(first, last)
    if request.GET.get("below"):
        lines = [line for line in lines if line.below_cost]
    more = {
        "title": "Profit of routes", "lines": lines, "totals": totals_of(lines),
        "first": max(first, last - timedelta(days=MOST_DAYS - 1)),
        "last": last, "below": bool(request.GET.get("below")), "most_days": MOST_DAYS,
    }  # fmt: skip
    return TemplateResponse(request, "admin/messaging/routes_profit.html", context | more)


def _day(text: str, otherwise: date) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return otherwise
