"""Staff's view of the ledger: strictly to read. A manual payment has a form of its own, which asks the ledger."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget

from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline
from billing.exceptions import BillingError, InsufficientFunds, MoneyStranded
from billing.models import CREDITS, Hold, LedgerAccount, LedgerCheck, LedgerEntry, LedgerTransaction, Quote
from billing.services.manual_payments import book_payment
from billing.wording import money_cell, money_text

KIND_LABELS = {
    "Top-up": "success", "Manual payment or correction": "success", "Messages accepted": "info",
    "Messages sent": "primary", "Messages not sent": "warning",
}  # fmt: skip


class _EntryInMoney:
    """Shows what an entry moves as people read it, with its account's currency."""

    @display(description="amount", ordering="amount")
    def shown_amount(self, entry: LedgerEntry) -> str:
        return money_cell(entry.amount, entry.ledger_account.currency)

    @display(description="balance after")
    def shown_balance(self, entry: LedgerEntry) -> str:
        return money_cell(entry.balance_after, entry.ledger_account.currency)


class EntryInline(_EntryInMoney, ReadOnlyInline):
    model = LedgerEntry
    fields = ("ledger_account", "owner", "shown_amount", "shown_balance")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("ledger_account__owner").order_by("pk")

    @display(description="owner")
    def owner(self, entry: LedgerEntry) -> str:
        return entry.ledger_account.owner.name


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("pk", "created_at", "shown_kind", "about", "currency", "quantity", "reference", "description")
    list_filter = ("kind", "currency")
    list_select_related = ("about",)
    search_fields = ("reference__exact", "idempotency_key__exact")
    search_help_text = "Code of a top-up or batch, or an idempotency key."
    ordering = ("-pk",)
    paginator = BoundedPaginator
    inlines = (EntryInline,)

    @display(description="kind", ordering="kind", label=KIND_LABELS)
    def shown_kind(self, movement: LedgerTransaction) -> str:
        return str(movement.get_kind_display())


@admin.register(LedgerEntry)
class LedgerEntryAdmin(_EntryInMoney, ReadOnlyAdmin):
    list_display = ("pk", "moment", "owner", "ledger_account", "shown_amount", "shown_balance", "movement")
    list_select_related = ("transaction", "ledger_account__owner")
    search_fields = ("transaction__reference__exact",)
    search_help_text = "Code of a top-up or batch."
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="created at")
    def moment(self, entry: LedgerEntry) -> Any:
        return entry.transaction.created_at

    @display(description="owner")
    def owner(self, entry: LedgerEntry) -> str:
        return entry.ledger_account.owner.name

    @display(description="transaction")
    def movement(self, entry: LedgerEntry) -> str:
        url = reverse("admin:billing_ledgertransaction_change", args=[entry.transaction_id])
        return format_html('<a href="{}">{}</a>', url, entry.transaction)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = (
        "batch_id", "account", "payer", "is_subsidy", "shown_amount", "shown_captured", "shown_released", "created_at",
    )  # fmt: skip
    list_filter = ("currency",)
    list_select_related = ("account", "payer")
    search_fields = ("batch_id__exact",)
    search_help_text = "A batch's id."
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="amount", ordering="amount")
    def shown_amount(self, hold: Hold) -> str:
        return money_cell(hold.amount, hold.currency)

    @display(description="captured")
    def shown_captured(self, hold: Hold) -> str:
        return money_cell(hold.captured, hold.currency)

    @display(description="released")
    def shown_released(self, hold: Hold) -> str:
        return money_cell(hold.released, hold.currency)


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnlyAdmin):
    """What the proofs of the books found, the last first."""

    list_display = ("started_at", "mode", "shown_result", "transactions", "seconds")
    list_filter = ("mode", "ok")
    fields = ("mode", "started_at", "finished_at", "shown_result", "transactions", "shown_differences")
    readonly_fields = fields
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="result", label={"Right": "success", "Wrong": "danger", "Not finished": "warning"})
    def shown_result(self, check: LedgerCheck) -> str:
        return {True: "Right", False: "Wrong"}.get(check.ok, "Not finished")  # type: ignore[arg-type]

    @display(description="seconds")
    def seconds(self, check: LedgerCheck) -> str:
        return f"{(check.finished_at - check.started_at).total_seconds():.1f}" if check.finished_at else ""

    @display(description="differences")
    def shown_differences(self, check: LedgerCheck) -> str:
        rows = [
            (f"{proof['name']} ({proof['count']})", ", ".join(f"{name}={value}" for name, value in row.items()))
            for proof in check.differences
            for row in proof["differences"]
        ]
        return format_html_join("", "<p><strong>{}</strong><br>{}</p>", rows) or "None"


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    """Prices that were in force, as messages keep them."""

    list_display = (
        "pk", "account", "payer", "prefix", "country", "unit_price", "display_price", "currency", "created_at",
    )  # fmt: skip
    list_select_related = ("account", "payer")
    search_fields = ("prefix__startswith", "account__name", "account__code__iexact")
    ordering = ("-pk",)
    paginator = BoundedPaginator


class ManualPaymentForm(forms.Form):
    """``key`` is made with the page, so that sending the form twice books once."""

    amount = forms.DecimalField(
        max_digits=18, decimal_places=6, widget=UnfoldAdminDecimalFieldWidget(),
        help_text="What came in. Negative for a correction that takes money back.",
    )  # fmt: skip
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="Shown on the customer's statement."
    )
    key = forms.RegexField(r"^[\w-]{16,40}$", widget=forms.HiddenInput())

    def clean_amount(self) -> Any:
        if not self.cleaned_data["amount"]:
            raise forms.ValidationError("Enter an amount other than zero.")
        return self.cleaned_data["amount"]


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    """Wallets and the platform's own accounts. Balances are moved by entries alone."""

    list_display = ("owner", "kind", "shown_balance", "shown_limit")
    fields = ("owner", "kind", "shown_balance", "shown_limit", "is_frozen", "created_at")
    readonly_fields = fields
    list_filter = ("kind", "currency")
    list_select_related = ("owner",)
    search_fields = ("owner__name", "owner__code__iexact")
    ordering = ("owner__name", "kind", "currency")
    actions_detail = ("manual_payment",)

    @display(description="balance", ordering="balance")
    def shown_balance(self, wallet: LedgerAccount) -> str:
        return money_cell(wallet.balance, wallet.currency)

    @display(description="credit limit")
    def shown_limit(self, wallet: LedgerAccount) -> str:
        return money_cell(wallet.credit_limit, wallet.currency)

    def has_book_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.add_ledgertransaction")

    @action(description="Book a payment", url_path="manual-payment", permissions=["book"])
    def manual_payment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A form on GET; on POST books what it says."""
        wallet = LedgerAccount.objects.select_related("owner").filter(pk=object_id).first()
        if wallet is None:
            raise Http404("No such ledger account.")
        back = reverse("admin:billing_ledgeraccount_change", args=[wallet.pk])
        if wallet.kind != LedgerAccount.Kind.WALLET or wallet.currency == CREDITS:
            raise PermissionDenied("Payments are booked to wallets of money only.")
        form = ManualPaymentForm(request.POST or None, initial={"key": secrets.token_urlsafe(18)})
        if form.is_valid() and self._book(request, wallet, form):
            return redirect(back)
        context = {
            **self.admin_site.each_context(request), "title": f"Book a payment for {wallet.owner.name}",
            "form": form, "wallet": wallet, "back": back, "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/manual_payment.html", context)

    def _book(self, request: HttpRequest, wallet: LedgerAccount, form: ManualPaymentForm) -> bool:
        actor: Any = request.user
        try:
            book_payment(account=wallet.owner, actor=actor, **form.cleaned_data)
        except BillingError as error:
            form.add_error("amount" if isinstance(error, InsufficientFunds | MoneyStranded) else None, str(error))
            return False
        amount = money_text(form.cleaned_data["amount"], wallet.currency)
        messages.success(request, f"{amount} booked for {wallet.owner.name}.")
        return True
