"""Staff's view of prices and terms (to change) and of the money (to read; payments are booked by their own form)."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.models import Account
from accounts.staff_screens import LabelledInline
from billing import card_admin as card_admin  # their screens register when this module is loaded
from billing import invoice_admin as invoice_admin
from billing import ledger_admin as ledger_admin
from billing import subscription_admin as subscription_admin
from billing import terms_admin as terms_admin
from billing.models import Rate, RateCard, RateOverride

# --- Prices --------------------------------------------------------------------------------------------------------


class RateInline(LabelledInline):
    model = Rate
    fields = ("prefix", "country", "label", "price")
    ordering = ("prefix",)
    extra = 1
    per_page = 50


class RateCardForm(forms.ModelForm):
    """A card; its currency is written in capital letters whatever was typed."""

    class Meta:
        model = RateCard
        fields = ("name", "currency", "is_default")

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).upper()
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValidationError("Enter the three letters of a currency (ISO 4217), such as AUD.")
        return currency


@admin.register(RateCard)
class RateCardAdmin(ModelAdmin):
    form = RateCardForm
    list_display = ("name", "currency", "is_default")
    list_filter = ("currency",)
    search_fields = ("name", "currency__iexact")
    ordering = ("currency", "name")
    inlines = (RateInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The currency of a card stays: its prices would become others', and its accounts' would be gone."""
        return ("currency",) if obj else ()


@admin.register(RateOverride)
class RateOverrideAdmin(ModelAdmin):
    """Own base prices of the platform's direct clients."""

    list_display = ("account", "shown_prefix", "price")
    list_select_related = ("account",)
    search_fields = ("account__name", "account__code__iexact", "prefix__startswith")
    ordering = ("account__name", "prefix")

    @display(description="prefix", ordering="prefix")
    def shown_prefix(self, override: RateOverride) -> str:
        return str(override)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "account":  # prices of everybody else follow from their parents'
            kwargs["queryset"] = Account.objects.filter(parent__isnull=False, parent__parent=None).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
