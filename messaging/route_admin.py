"""Staff's screens of carriers: routes with their costs and connectors, and the plans that choose among routes."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, StackedInline
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.staff_screens import LabelledInline, ReadOnlyInline
from messaging import route_pages
from messaging.models import ConnectorStatus, Route, RouteChoice, RouteCost, RoutePlan, RouteRule, SmppConnector
from messaging.services.route_health import STATE_TONES, RouteState
from messaging.services.routing import make_default

Strategy = RouteRule.Strategy
# Binds are counted by route, so one of two connectors would never run (messaging/connectors/configuration.py).
ONE_CONNECTOR = "A route has one connector: take another route, or delete that connector first."


# --- Routes --------------------------------------------------------------------------------------------------------


class ConnectorForm(forms.ModelForm):
    """The password is written and never shown; an empty field leaves it as it is."""

    password = forms.CharField(
        max_length=9, required=False, strip=False, help_text="Never shown. Leave empty to keep the one in use.",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip

    class Meta:
        model = SmppConnector
        fields = (
            "route", "host", "port", "system_id", "password", "system_type", "binds", "window", "enquire_link_seconds",
            "receipt_id_format", "supports_query", "is_enabled",
        )  # fmt: skip

    def clean_password(self) -> str:
        return str(self.cleaned_data["password"] or self.initial.get("password", ""))

    def clean(self) -> dict[str, Any]:
        """On its route's page the field of the route is hidden, so the error stands at the first one that shows."""
        values = super().clean() or {}
        if hasattr(values.get("route"), "http_connector"):
            field = "host" if self.fields["route"].widget.is_hidden else "route"
            self.add_error(field, f"{values['route']} has an HTTP connector. {ONE_CONNECTOR}")
        return values


class ConnectorInline(StackedInline):
    model = SmppConnector
    form = ConnectorForm
    extra = 0


class CostInline(LabelledInline):
    model = RouteCost
    fields = ("prefix", "currency", "amount")
    ordering = ("prefix", "currency")
    extra = 1


class StatusInline(ReadOnlyInline):
    model = ConnectorStatus
    fields = ("bind", "state", "detail", "in_hand", "since", "seen_at")
    readonly_fields = fields
    ordering = ("bind",)


def describe_binds(route: Route) -> str:
    """How many of the binds that its connector asks for are bound, and what is told of each other one."""
    now = RouteState(route)
    if not now.wanted:
        return ""
    told = [
        f"{one.bind}: Silent" if now.is_silent(one) else f"{one.bind}: {one.get_state_display()} {one.detail}".strip()
        for one in now.binds
        if now.is_silent(one) or one.state != ConnectorStatus.State.BOUND
    ]
    return "; ".join([f"{now.bound} of {now.wanted} bound", *told])


class RouteForm(forms.ModelForm):
    """A route's own fields, with errors that say what a code is for."""

    class Meta:
        model = Route
        fields = ("code", "name", "throughput", "is_paused", "is_draining", "max_attempts")
        error_messages = {"code": {"invalid": "A code has letters, digits, - and _ only, for it stands in addresses."}}


@admin.register(Route)
class RouteAdmin(ModelAdmin):
    """Ways to carriers, with what they cost and how to bind."""

    form = RouteForm
    list_display = ("name", "code", "prefixes", "throughput", "state", "binds")
    list_filter = ("is_paused", "is_draining")
    search_fields = ("name", "code")
    ordering = ("name",)
    inlines = (StatusInline, CostInline, ConnectorInline)
    actions_list = ("open_health", "open_profit")
    actions_detail = ("open_health_of",)

    def get_urls(self) -> list[Any]:
        own = [
            path("health/", self.admin_site.admin_view(self.health), name="messaging_route_health"),
            path("profit/", self.admin_site.admin_view(self.profit), name="messaging_route_profit"),
            path("<int:key>/health/", self.admin_site.admin_view(self.health_of), name="messaging_route_health_of"),
        ]
        return own + super().get_urls()

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied("Seeing routes is needed for this.")
        may_change = self.has_change_permission(request)
        return self.admin_site.each_context(request) | {"model_admin": self, "may_change": may_change}

    def health(self, request: HttpRequest) -> HttpResponse:
        """All routes now."""
        return route_pages.health_page(request, self._context(request))

    def health_of(self, request: HttpRequest, key: int) -> HttpResponse:
        """One route now."""
        return route_pages.route_page(request, key, self._context(request))

    def profit(self, request: HttpRequest) -> HttpResponse:
        """What routes earn."""
        return route_pages.profit_page(request, self._context(request))

    @action(description="Health", url_path="go-health")
    def open_health(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:messaging_route_health")

    @action(description="Profit", url_path="go-profit")
    def open_profit(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:messaging_route_profit")

    @action(description="Health and test", url_path="go-health-of")
    def open_health_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:messaging_route_health_of", object_id)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        found = super().get_queryset(request)
        found = found.select_related("smpp_connector", "http_connector")
        return found.prefetch_related("choices__rule__plan", "statuses")

    @display(description="takes")
    def prefixes(self, route: Route) -> str:
        rules = sorted(f"{choice.rule} ({choice.rule.plan})" for choice in route.choices.all())
        return ", ".join(rules[:8]) + (f" and {len(rules) - 8} more" if len(rules) > 8 else "")

    @display(description="state", label=STATE_TONES)
    def state(self, route: Route) -> str:
        return RouteState(route).word

    @display(description="binds")
    def binds(self, route: Route) -> str:
        return describe_binds(route)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Messages name their route for good; a route that is not wanted is paused or leaves all plans."""
        return False


@admin.register(SmppConnector)
class SmppConnectorAdmin(ModelAdmin):
    """How to bind, and what the connector processes say of it."""

    form = ConnectorForm
    list_display = ("route", "host", "shown_port", "system_id", "is_enabled", "status")
    list_filter = ("is_enabled",)
    search_fields = ("host", "system_id", "route__name")
    ordering = ("route__name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SmppConnector]:
        return super().get_queryset(request).select_related("route").prefetch_related("route__statuses")

    @display(description="port", ordering="port")
    def shown_port(self, connector: SmppConnector) -> str:
        return str(connector.port)

    @display(description="binds")
    def status(self, connector: SmppConnector) -> str:
        return describe_binds(connector.route)


# --- Plans ---------------------------------------------------------------------------------------------------------


def describe_routes(rule: RouteRule) -> str:
    """In their order, by percentage with it."""
    told = [
        f"{choice.route} ({choice.percent} %)" if rule.strategy == Strategy.PERCENTAGE else str(choice.route)
        for choice in rule.choices.all()
    ]
    return ", ".join(told) or "None yet, so it counts for nothing."


class RulesOfPlan(LabelledInline):
    model = RouteRule
    fields = ("prefix", "strategy", "routes")
    readonly_fields = ("routes",)
    ordering = ("prefix",)
    extra = 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteRule]:
        return super().get_queryset(request).prefetch_related("choices__route")

    @display(description="routes")
    def routes(self, rule: RouteRule) -> str:
        """They are chosen on the rule's own page."""
        if rule.pk is None:
            return "Save, then choose its routes."
        page = reverse("admin:messaging_routerule_change", args=[rule.pk])
        return format_html('{} <a class="text-primary-600 underline" href="{}">Choose</a>', describe_routes(rule), page)


class PlanForm(forms.ModelForm):
    """One plan is always the default: another takes over, none is given up."""

    class Meta:
        model = RoutePlan
        fields = ("name", "is_default")

    def _get_validation_exclusions(self) -> set[str]:
        """That there is a default plan already is no error: ``make_default`` has the old one give way."""
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc]

    def clean_is_default(self) -> bool:
        wanted = bool(self.cleaned_data["is_default"])
        if self.instance.pk and self.initial.get("is_default") and not wanted:
            raise forms.ValidationError("One plan has to be the default: make another plan the default instead.")
        return wanted


@admin.register(RoutePlan)
class RoutePlanAdmin(ModelAdmin):
    """Which routes the messages of accounts take. An account's plan is set in its sending terms."""

    form = PlanForm
    list_display = ("name", "is_default", "prefixes")
    search_fields = ("name",)
    ordering = ("-is_default", "name")
    inlines = (RulesOfPlan,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutePlan]:
        return super().get_queryset(request).prefetch_related("rules")

    @display(description="rules for")
    def prefixes(self, plan: RoutePlan) -> str:
        return ", ".join(sorted(str(rule) for rule in plan.rules.all())[:12])

    def save_model(self, request: HttpRequest, obj: RoutePlan, form: Any, change: bool) -> None:
        """The one that was the default gives it up before this one is written (one_default_plan)."""
        becomes_default = obj.is_default
        obj.is_default = becomes_default and "is_default" not in form.changed_data
        super().save_model(request, obj, form, change)
        if becomes_default:
            make_default(obj)

    def has_delete_permission(self, request: HttpRequest, obj: RoutePlan | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_default)


class ChoicesFormSet(forms.BaseInlineFormSet):
    """The routes of one rule, judged together."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form.cleaned_data for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if not kept:
            raise forms.ValidationError("Choose at least one route; a rule without one counts for nothing.")
        if self.instance.strategy != Strategy.PERCENTAGE:
            return
        total = sum(row.get("percent") or 0 for row in kept)
        if total != 100 or any(not row.get("percent") for row in kept):
            raise forms.ValidationError(f"The percentages are {total} together; give each route one, 100 in all.")


class ChoiceInline(LabelledInline):
    model = RouteChoice
    formset = ChoicesFormSet
    fields = ("position", "route", "percent")
    ordering = ("position", "pk")
    extra = 1


@admin.register(RouteRule)
class RouteRuleAdmin(ModelAdmin):
    """Which routes a plan's messages to a prefix take, and how one is chosen."""

    list_display = ("shown_prefix", "plan", "strategy", "routes")
    list_filter = ("plan", "strategy")
    list_select_related = ("plan",)
    search_fields = ("prefix__startswith",)
    ordering = ("plan", "prefix")
    inlines = (ChoiceInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteRule]:
        return super().get_queryset(request).prefetch_related("choices__route")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """A route that nobody runs is neither up nor down: what it is given stays with it (docs/routes.md)."""
        super().save_related(request, form, formsets, change)
        choices = form.instance.choices.select_related("route__smpp_connector", "route__http_connector")
        for route in (choice.route for choice in choices):
            if not RouteState(route).wanted:
                words = f"{route} has no connector that is switched on: messages that it is given wait for one."
                self.message_user(request, words, messages.WARNING)

    @display(description="prefix", ordering="prefix")
    def shown_prefix(self, rule: RouteRule) -> str:
        return str(rule)

    @display(description="routes")
    def routes(self, rule: RouteRule) -> str:
        return describe_routes(rule)
