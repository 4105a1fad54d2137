"""Staff's view of the inventory: numbers with their prices and leases, and the import of carriers' lists."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from accounts.countries import country_choices
from accounts.models import Account
from accounts.services import audit
from accounts.services.accounts import get_platform
from accounts.staff_screens import LabelledInline, ReadOnlyInline
from billing.models import RateCard
from billing.service_admin import ServiceAdmin
from billing.wording import money_text
from virtual_numbers import import_admin as import_admin  # its screens register when this module is loaded
from virtual_numbers.exceptions import NumberError
from virtual_numbers.import_lines import in_order
from virtual_numbers.models import Lease, NumberPrice, NumberTerms, VirtualNumber
from virtual_numbers.numbering import UnreadableNumber, read_number
from virtual_numbers.services.inventory import (
    EDITABLE,
    add_number,
    change_number,
    free_number,
    port_out,
    reserve_number,
)
from virtual_numbers.services.terms import create_terms, update_terms

State = VirtualNumber.State
STATE_LABELS = {
    "Free": "success", "Reserved": "warning", "Leased": "info", "In quarantine": "warning", "Ported out": "danger",
}  # fmt: skip
SHORT_WORDS = {"sms_in": "SMS in", "sms_out": "SMS out", "mms": "MMS", "voice": "voice"}


class NumberForm(forms.ModelForm):
    """The number is read for its country and type, so that a wrong digit or country is noticed here."""

    country = forms.ChoiceField(
        choices=[("", "Choose a country"), *country_choices()], widget=UnfoldAdminSelectWidget()
    )
    capabilities = forms.MultipleChoiceField(
        choices=VirtualNumber.Capability.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        initial=[VirtualNumber.Capability.SMS_IN], error_messages={"required": "Tick at least one."},
    )  # fmt: skip

    class Meta:
        model = VirtualNumber
        fields = ("number", "country", "kind", "capabilities", "route", "reserved_for")

    def clean_capabilities(self) -> list[str]:
        return list(in_order(self.cleaned_data["capabilities"]))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not {"number", "country", "kind"} <= data.keys():
            return data
        try:
            data["number"] = read_number(data["number"], data["country"], data["kind"])
        except UnreadableNumber as error:
            raise ValidationError({"number": str(error)}) from error
        others = VirtualNumber.objects.filter(number=data["number"]).exclude(pk=self.instance.pk)
        if data["kind"] == VirtualNumber.Kind.SHORT:
            others = others.filter(country=data["country"])
        if others.exists():
            raise ValidationError({"number": f"{data['number']} is in the inventory already."})
        return data


class PriceForm(forms.ModelForm):
    """A base price; its currency is one that the platform sells in."""

    class Meta:
        model = NumberPrice
        fields = ("currency", "monthly", "setup")

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).upper()
        sold = sorted(set(RateCard.objects.values_list("currency", flat=True)))
        if currency not in sold:
            raise ValidationError(f"“{currency}” has no rate card; use {', '.join(sold)}.")
        return currency


class PriceInline(LabelledInline):
    model = NumberPrice
    form = PriceForm
    fields = ("currency", "monthly", "setup")
    ordering = ("currency",)
    extra = 1
    verbose_name_plural = "base prices: every month, and once at set-up"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A leased number needs its price for the next renewal."""
        return obj is None or obj.state != State.LEASED


class LeaseInline(ReadOnlyInline):
    model = Lease
    fields = ("account", "allocated_to", "label", "started_at", "paid_until", "ended_at")
    readonly_fields = fields
    ordering = ("-pk",)
    verbose_name_plural = "leases"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lease]:
        return super().get_queryset(request).select_related("account", "allocated_to", "subscription")

    @display(description="renewal")
    def paid_until(self, lease: Lease) -> str:
        if lease.ended_at:
            return ""
        return f"{lease.subscription.next_renewal_on:%d %b %Y}, {lease.subscription.get_state_display()}"


class NumberTermsForm(forms.ModelForm):
    """An account's number terms."""

    class Meta:
        model = NumberTerms
        fields = ("account", "allocation", "margin")

    def clean_margin(self) -> Any:
        if self.cleaned_data["margin"] < 0:
            raise ValidationError("A number's margin cannot be below zero; enter 0.00 or more.")
        return self.cleaned_data["margin"]


@admin.register(NumberTerms)
class NumberTermsAdmin(ServiceAdmin):
    """How an account gets its numbers, and what its parent adds to their price; the service notes what changed.

    For the platform's own clients the margin is the platform's.
    """

    form = NumberTermsForm
    list_display = ("account", "allocation", "margin")
    list_filter = ("allocation",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.filter(parent__isnull=False, number_terms=None).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: NumberTerms, form: Any, change: bool) -> None:
        actor: Any = request.user
        values = {name: form.cleaned_data[name] for name in ("allocation", "margin")}
        if change:
            update_terms(account=obj.account, actor=actor, **values)
        else:
            create_terms(account=obj.account, actor=actor, **values)
            obj._state.adding = False


@admin.register(VirtualNumber)
class VirtualNumberAdmin(ModelAdmin):
    """The platform's numbers. States are changed by actions; who leases one does so in the portal."""

    form = NumberForm
    list_display = ("number", "country", "kind", "can", "route", "shown_prices", "shown_state", "user")
    list_filter = ("state", "country", "kind", "route")
    list_select_related = ("route", "reserved_for")
    search_fields = ("number__contains", "code__iexact", "leases__account__name")
    search_help_text = "Digits of the number, its code, or who leased it."
    ordering = ("country", "number")
    list_per_page = 50
    show_full_result_count = False
    autocomplete_fields = ("reserved_for",)
    inlines = (PriceInline, LeaseInline)
    actions = ("reserve", "set_free", "ported_out")
    actions_list = ("import_list",)
    readonly_fields = ("code", "shown_state", "quarantined_until", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[VirtualNumber]:
        return super().get_queryset(request).prefetch_related("prices", "leases__holder")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*NumberForm.Meta.fields, *self.readonly_fields) if obj else NumberForm.Meta.fields[:-1]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else (PriceInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Messages and leases name a number for good; one that is gone is ported out."""
        return False

    # --- Columns -------------------------------------------------------------------------------------------------

    @display(description="capabilities")
    def can(self, number: VirtualNumber) -> str:
        return ", ".join(SHORT_WORDS.get(one, one) for one in number.capabilities)

    @display(description="a month")
    def shown_prices(self, number: VirtualNumber) -> str:
        prices = sorted(number.prices.all(), key=lambda price: price.currency)
        return ", ".join(money_text(price.monthly, price.currency) for price in prices) or "none"

    @display(description="state", ordering="state", label=STATE_LABELS)
    def shown_state(self, number: VirtualNumber) -> str:
        return str(number.get_state_display())

    @display(description="who")
    def user(self, number: VirtualNumber) -> str:
        lease = next((one for one in number.leases.all() if one.ended_at is None), None)
        if lease is not None:
            return str(lease.holder.name)
        return f"for {number.reserved_for.name}" if number.reserved_for else ""

    # --- Writing -------------------------------------------------------------------------------------------------

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What a service refuses changes nothing and is said."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except NumberError as error:
            messages.error(request, str(error))
            return redirect(request.path)

    def save_model(self, request: HttpRequest, obj: VirtualNumber, form: Any, change: bool) -> None:
        actor: Any = request.user
        values = {key: value for key, value in form.cleaned_data.items() if key in EDITABLE}
        if not change:
            obj.__dict__.update(add_number(actor=actor, **values).__dict__)
            return
        change_number(existing=obj, actor=actor, **values)
        if "reserved_for" in form.changed_data:
            reserved_for = form.cleaned_data["reserved_for"]
            if reserved_for is None:
                free_number(number=obj, actor=actor)
            else:
                reserve_number(number=obj, reserved_for=reserved_for, actor=actor)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Prices, and a note of what they are now."""
        formset.save()
        touched = [*formset.new_objects, *(price for price, _ in formset.changed_objects), *formset.deleted_objects]
        if touched:
            number, actor = form.instance, request.user
            prices = {one.currency: f"{one.monthly} a month, {one.setup} once" for one in number.prices.all()}
            audit.record(
                account=get_platform(), actor=actor, action="number.priced", subject=number.code,  # type: ignore[arg-type]
                number=number.number, prices=prices,
            )  # fmt: skip

    @action(description="Reserve: nobody can lease them until they are set free", permissions=["change"])
    def reserve(self, request: HttpRequest, queryset: QuerySet[VirtualNumber]) -> None:
        self._change_each(request, queryset, reserve_number, "reserved")

    @action(description="Set free: ends a reservation or quarantine", permissions=["change"])
    def set_free(self, request: HttpRequest, queryset: QuerySet[VirtualNumber]) -> None:
        self._change_each(request, queryset, free_number, "free")

    @action(description="Port out: they left for another provider", permissions=["change"])
    def ported_out(self, request: HttpRequest, queryset: QuerySet[VirtualNumber]) -> None:
        self._change_each(request, queryset, port_out, "ported out")

    def _change_each(
        self, request: HttpRequest, queryset: QuerySet[VirtualNumber], change: Callable[..., None], word: str
    ) -> None:
        done = []
        for number in queryset:
            try:
                change(number=number, actor=request.user)
            except NumberError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                done.append(number.number)
        if done:
            shown = ", ".join(done[:5]) + (f" and {len(done) - 5:,} more" if len(done) > 5 else "")
            self.message_user(request, f"{shown}: {word}.", messages.SUCCESS)

    # --- Import --------------------------------------------------------------------------------------------------

    def has_import_permission(self, request: HttpRequest) -> bool:
        return import_admin.may_import(request)

    @action(description="Import a list", url_path="import", icon="upload", permissions=["import"])
    def import_list(self, request: HttpRequest) -> HttpResponse:
        return redirect(reverse("admin:numbers_numberimport_add"))
