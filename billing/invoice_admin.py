"""Staff's screens of invoiced accounts' credit, and of low-balance notices; saved through the services."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from accounts.models import Account
from billing.models import BillingTerms, InvoiceTerms, NoticeTerms
from billing.selectors import balance_of
from billing.service_admin import ServiceAdmin
from billing.services import invoices, notices
from billing.wording import money_text


class InvoiceTermsForm(forms.ModelForm):
    """Seed 2's credit fields, with its labels."""

    class Meta:
        model = InvoiceTerms
        fields = ("account", "credit_limit", "overdraw_amount", "overdraw_until", "postpaid_amount")
        labels = {
            "credit_limit": "Allow credit", "overdraw_amount": "Allow overdraw", "overdraw_until": "Overdraw until",
            "postpaid_amount": "Monthly Postpaid Topup",
        }  # fmt: skip
        help_texts = {
            "credit_limit": "Permanent: how far below zero the balance may go, for as long as it stands here. "
            "Lowering it below what is used leaves a debt: nothing can be sent until it is covered.",
            "overdraw_amount": "For a time, on top of the credit; 0 = none. It needs its last day.",
            "overdraw_until": "The last day of the overdraw; it ends at midnight of the account's time zone.",
            "postpaid_amount": "Added to the balance on the 1st of each month (the account's time zone) and invoiced "
            "by you; 0 = none. The first one comes with the next 1st.",
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("overdraw_amount") and not data.get("overdraw_until"):
            self.add_error("overdraw_until", "An overdraw needs its last day; choose one, or set the amount to 0.")
        return data


@admin.register(InvoiceTerms)
class InvoiceTermsAdmin(ServiceAdmin):
    form = InvoiceTermsForm
    list_display = ("account", "shown_balance", "credit_limit", "overdraw_amount", "overdraw_until", "postpaid_amount")
    readonly_fields = ("shown_balance", "postpaid_next")

    @display(description="balance and what can be spent")
    def shown_balance(self, terms: InvoiceTerms) -> str:
        if terms._state.adding:
            return "-"
        balance, currency = balance_of(terms.account), terms.account.currency
        own = money_text(balance.available - balance.credit_limit, currency)
        return f"{own}; can spend {money_text(balance.available, currency)}"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "account":
            direct = Account.objects.filter(parent__parent=None, billing_terms__method=BillingTerms.Method.INVOICE)
            kwargs["queryset"] = direct.filter(invoice_terms=None).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: InvoiceTerms, form: Any, change: bool) -> None:
        values = {key: value for key, value in form.cleaned_data.items() if key in invoices.EDITABLE}
        actor: Any = request.user
        invoices.set_invoice_terms(account=obj.account, actor=actor, **values)
        obj._state.adding = False


@admin.register(NoticeTerms)
class NoticeTermsAdmin(ServiceAdmin):
    """Seed 2: Notification limit, and the e-mail for notifications."""

    list_display = ("account", "limit", "credits_limit", "email", "tells_of_clients", "is_low")
    list_filter = ("is_low",)
    readonly_fields = ("is_low", "low_since")

    def save_model(self, request: HttpRequest, obj: NoticeTerms, form: Any, change: bool) -> None:
        values = {key: value for key, value in form.cleaned_data.items() if key in notices.EDITABLE}
        actor: Any = request.user
        notices.set_notices(account=obj.account, actor=actor, **values)
        obj._state.adding = False
