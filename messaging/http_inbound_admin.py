"""Staff set up how a carrier posts inbound messages over HTTP."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from messaging.models import HttpInbound
from messaging.services.http_inbound import LEAST_SECRET, hash_secret, new_secret

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class HttpInboundForm(forms.ModelForm):
    """The secret is written and never shown again; only its hash is kept."""

    secret = forms.CharField(
        required=False, strip=True, max_length=100,
        help_text="Stands in the address that the carrier posts to. Leave empty to keep the one in use; for a new"
        f" webhook one is made. At least {LEAST_SECRET} of A–Z, a–z, 0–9, - and _.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )  # fmt: skip

    class Meta:
        model = HttpInbound
        fields = (
            "route", "is_enabled", "list_field", "sender_field", "recipient_field", "text_field", "id_field",
            "reference_field", "total_field", "sequence_field",
        )  # fmt: skip

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"])
        if secret and (len(secret) < LEAST_SECRET or not _ALLOWED.issuperset(secret)):
            raise forms.ValidationError(
                f"The secret has {len(secret)} characters; use at least {LEAST_SECRET}, of A–Z, a–z, 0–9, - and _ only."
            )
        return secret

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        names = ("reference_field", "total_field", "sequence_field")
        if any(values.get(name) for name in names):
            for name in names:
                if not values.get(name):
                    self.add_error(name, "Name all three fields of parts, or none.")
        return values


@admin.register(HttpInbound)
class HttpInboundAdmin(ModelAdmin):
    """How carriers post inbound messages."""

    form = HttpInboundForm
    list_display = ("route", "is_enabled", "sender_field", "recipient_field", "text_field", "changed_at")
    list_select_related = ("route",)
    list_filter = ("is_enabled",)
    search_fields = ("route__name", "route__code")
    ordering = ("route__name",)
    fieldsets = (
        (None, {"fields": ("route", "is_enabled", "secret", "address")}),
        (
            "Names of its fields",
            {"fields": ("sender_field", "recipient_field", "text_field", "id_field", "list_field")},
        ),
        ("Parts of long messages", {"fields": ("reference_field", "total_field", "sequence_field")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: HttpInbound | None = None) -> tuple[str, ...]:
        """A webhook stays its route's."""
        return ("address", "route") if obj else ("address",)

    @display(description="address to post to")
    def address(self, webhook: HttpInbound) -> str:
        if not webhook.pk:
            return "Shown once, when the webhook is saved."
        return _address(webhook, "‹secret›")

    def save_model(self, request: HttpRequest, obj: HttpInbound, form: Any, change: bool) -> None:
        secret = form.cleaned_data["secret"] or ("" if obj.secret_hash else new_secret())
        if secret:
            obj.secret_hash = hash_secret(secret)
        super().save_model(request, obj, form, change)
        if secret:
            words = "The carrier posts to {}. This address is shown this once; keep it safe."
            messages.warning(request, format_html(words, request.build_absolute_uri(_address(obj, secret))))


def _address(webhook: HttpInbound, secret: str) -> str:
    mark = "SECRET"
    return reverse("messaging:carrier-inbound", args=[webhook.route.code, mark]).replace(mark, secret)
