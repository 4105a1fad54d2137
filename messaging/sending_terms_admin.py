"""Staff's view of what accounts may send."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from messaging.models import SendingTerms
from messaging.services.sending_terms import set_limits

FIELDS = (
    "throughput", "daily_limit", "dispatch_from", "dispatch_until", "priority", "weight", "route_plan", "waiting_days",
    "expired_state",
)  # fmt: skip


class SendingTermsForm(forms.ModelForm):
    class Meta:
        model = SendingTerms
        fields = ("account", *FIELDS)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name, other in (("dispatch_from", "dispatch_until"), ("dispatch_until", "dispatch_from")):
            if values.get(name) is None and values.get(other) is not None and not {name, other} & set(self.errors):
                self.add_error(name, f"Enter both times, or none: {values[other]:%H:%M} stands alone.")
        return values


@admin.register(SendingTerms)
class SendingTermsAdmin(ModelAdmin):
    """Limits, priority and routes of single accounts; an account without a row has no limits."""

    form = SendingTermsForm
    list_display = ("account", "throughput", "daily_limit", "hours", "priority", "weight", "route_plan")
    list_select_related = ("account", "route_plan")
    list_filter = ("route_plan",)
    search_fields = ("account__name", "account__code__iexact")
    ordering = ("account__name",)
    autocomplete_fields = ("account",)
    fieldsets = (
        (None, {"fields": ("account",)}),
        ("How fast and how much", {"fields": ("throughput", "daily_limit")}),
        (
            "Time of dispatch",
            {
                "fields": ("dispatch_from", "dispatch_until"),
                "description": "In the account's time zone. One-time passcodes go at any hour.",
            },
        ),
        ("Beside other accounts", {"fields": ("priority", "weight", "route_plan")}),
        ("Receipts that do not come", {"fields": ("waiting_days", "expired_state")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("account",) if obj else ()

    @display(description="time of dispatch")
    def hours(self, terms: SendingTerms) -> str:
        if terms.dispatch_from is None or terms.dispatch_until is None:
            return "any"
        return f"{terms.dispatch_from:%H:%M}–{terms.dispatch_until:%H:%M}"

    def save_model(self, request: HttpRequest, obj: SendingTerms, form: forms.ModelForm, change: bool) -> None:
        """Through the service, so that the audit trail names what staff did."""
        actor: Any = request.user
        saved = set_limits(account=obj.account, actor=actor, **{name: form.cleaned_data[name] for name in FIELDS})
        obj.pk = saved.pk
