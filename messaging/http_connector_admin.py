"""Staff set up how a route's carrier is asked over HTTP."""

import json
import re
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget
from yarl import URL

from messaging.connectors.configuration import receipt_url
from messaging.http_models import PRESETS, HttpConnector
from messaging.models import Route
from messaging.route_admin import ONE_CONNECTOR
from messaging.services.http_inbound import new_secret
from messaging.services.http_receipts import WORDS
from messaging.services.http_sending import PLACEHOLDERS, REGEX, read_headers, unknown_placeholders

_KNOWN = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


class ReadableJson(forms.JSONField):
    """One name a line, as people read it."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class HttpConnectorForm(forms.ModelForm):
    """Password and headers are written and never shown; empty fields leave them as they are."""

    parameters = ReadableJson(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 11}),
        help_text=f"JSON, in whose texts stand what changes with each message: {_KNOWN}.",
    )
    receipt_statuses = ReadableJson(
        required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        help_text=HttpConnector._meta.get_field("receipt_statuses").help_text,
    )  # fmt: skip
    password = forms.CharField(
        max_length=200, required=False, strip=False, help_text="Never shown. Leave empty to keep the one in use.",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    headers = forms.CharField(
        max_length=2000, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line, such as Authorization: Bearer 123. Never shown. Leave empty to keep those in use.",
    )  # fmt: skip
    forgets_headers = forms.BooleanField(
        label="No headers any more", required=False, widget=UnfoldBooleanSwitchWidget, help_text="Forget those in use."
    )

    class Meta:
        model = HttpConnector
        fields = (
            "route", "preset", "is_enabled", "url", "method", "body", "parameters", "username", "password",
            "uses_basic_auth", "headers", "window", "timeout_seconds", "success_path", "success_values", "id_path",
            "error_path", "retry_codes", "retry_statuses", "receipt_list_field", "receipt_id_field",
            "receipt_status_field", "receipt_error_field", "receipt_recipient_field", "receipt_statuses",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("headers", None)

    def clean_password(self) -> str:
        return str(self.cleaned_data["password"] or self.instance.password)

    def clean_headers(self) -> str:
        written = str(self.cleaned_data["headers"])
        try:
            read_headers(written)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return written or self.instance.headers

    def clean_url(self) -> str:
        value = str(self.cleaned_data["url"]).strip()
        try:
            url = URL(value, encoded=True)
            is_good = url.scheme in ("http", "https") and url.host and not url.user and value.isascii()
        except ValueError:
            is_good = False
        if not is_good or " " in value:
            raise forms.ValidationError(
                f"{value[:80]} is no address: begin with https:// and name a server, no password."
            )
        return value

    def clean_parameters(self) -> Any:
        value = self.cleaned_data["parameters"]
        unknown = unknown_placeholders(value)
        if unknown:
            raise forms.ValidationError(f"{{{unknown[0]}}} is not known; there are {_KNOWN}.")
        return value

    def clean_retry_statuses(self) -> str:
        value = str(self.cleaned_data["retry_statuses"])
        wrong = [word for word in filter(None, map(str.strip, value.split(","))) if not re.fullmatch(r"[45]\d\d", word)]
        if wrong:
            raise forms.ValidationError(f"{wrong[0]} is no HTTP status of a refusal; write such as 429,503.")
        return value

    def clean_receipt_statuses(self) -> Any:
        value = self.cleaned_data["receipt_statuses"] or {}
        if not isinstance(value, dict):
            raise forms.ValidationError('Write an object, such as {"delivered": "DELIVRD"}.')
        wrong = [word for word in value.values() if word not in WORDS]
        if wrong:
            raise forms.ValidationError(f"{wrong[0]} is no status; there are {', '.join(WORDS)}.")
        return value

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name in ("success_path", "id_path", "error_path"):
            rule = str(values.get(name) or "")
            if rule.startswith(REGEX):
                try:
                    re.compile(rule.removeprefix(REGEX))
                except re.error as error:
                    self.add_error(name, f"The regular expression cannot be read: {error}.")
        parameters = values.get("parameters")
        if values.get("body") != "json" and parameters is not None and not _is_flat(parameters):
            self.add_error("parameters", "A form or an address takes one object of texts, nothing in it.")
        if values.get("method") == "GET" and values.get("body") in ("form", "json"):
            self.add_error("body", "GET takes its parameters in the address.")
        if values.get("forgets_headers"):
            values["headers"] = ""
        return values


def _is_flat(parameters: Any) -> bool:
    return isinstance(parameters, dict) and all(isinstance(one, str) for one in parameters.values())


class NewHttpConnectorForm(HttpConnectorForm):
    """What has to be known first; the preset fills in the rest, which the next page shows."""

    class Meta:
        model = HttpConnector
        fields = ("route", "preset", "url", "username")

    headers = None  # type: ignore[assignment]
    parameters = None  # type: ignore[assignment]
    receipt_statuses = None  # type: ignore[assignment]
    forgets_headers = None  # type: ignore[assignment]

    def clean_route(self) -> Route:
        route: Route = self.cleaned_data["route"]
        if hasattr(route, "smpp_connector"):
            raise forms.ValidationError(f"{route} has an SMPP connector. {ONE_CONNECTOR}")
        return route


@admin.register(HttpConnector)
class HttpConnectorAdmin(ModelAdmin):
    """How a route's messages are sent over HTTP, and how its receipts come back."""

    form = HttpConnectorForm
    list_display = ("route", "preset", "method", "url", "is_enabled", "window", "changed_at")
    list_filter = ("is_enabled", "preset")
    search_fields = ("url", "route__name")
    ordering = ("route__name",)
    readonly_fields = ("receipt_address",)
    fieldsets = (
        (None, {"fields": ("route", "preset", "is_enabled", "url", "method", "body", "parameters")}),
        ("Who we are", {"fields": ("username", "password", "uses_basic_auth", "headers", "forgets_headers")}),
        (
            "Its answers",
            {
                "description": "A path leads into JSON, such as error.code or messages.0.id. After re: stands a regular"
                " expression, whose first group counts.",
                "fields": (
                    "success_path", "success_values", "id_path", "error_path", "retry_codes", "retry_statuses",
                    "window", "timeout_seconds",
                )
            },
        ),
        (
            "Its receipts",
            {
                "description": "Names of the carrier's fields, or paths into its JSON.",
                "fields": (
                    "receipt_address", "receipt_id_field", "receipt_status_field", "receipt_statuses",
                    "receipt_error_field", "receipt_recipient_field", "receipt_list_field",
                )
            },
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[HttpConnector]:
        return super().get_queryset(request).select_related("route")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=HttpConnectorForm if obj else NewHttpConnectorForm)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else ((None, {"fields": ("route", "preset", "url", "username", "password")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A connector stays its route's, and a preset is taken once."""
        return ("route", "preset", "receipt_address") if obj else ()

    @display(description="receipts come to")
    def receipt_address(self, connector: HttpConnector) -> str:
        return receipt_url(connector.route.code, connector.receipt_secret)

    def save_model(self, request: HttpRequest, obj: HttpConnector, form: Any, change: bool) -> None:
        """A new one gets its preset's values, and a secret for its receipts."""
        if not change:
            obj.receipt_secret = new_secret()
            for name, value in PRESETS.get(obj.preset, {}).items():
                setattr(obj, name, value)
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: HttpConnector, post_url_continue: str | None = None
    ) -> HttpResponse:
        """On to the page with everything that the preset filled in."""
        super().response_add(request, obj, post_url_continue)
        return HttpResponseRedirect(reverse("admin:messaging_httpconnector_change", args=[obj.pk]))
