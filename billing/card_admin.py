"""Staff's view of card payments: to read, and to give a payment back."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget

from accounts.codes import new_code
from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline
from billing.exceptions import BillingError
from billing.models import AutoRecharge, Dispute, PaymentEvent, Refund, SavedCard, TopUp
from billing.services.refunds import request_refund
from billing.wording import money_cell

TOPUP_LABELS = {
    "Paid": "success", "Waiting for payment": "info", "Failed": "danger", "Needs attention": "danger",
}  # fmt: skip
DISPUTE_LABELS = {"Open": "danger", "Won": "success", "Lost": "warning"}


class _InMoney:
    """Shows an amount as people read it, with its currency, in place of two fields."""

    @display(description="amount", ordering="amount")
    def shown_amount(self, row: TopUp | Refund | Dispute) -> str:
        return money_cell(row.amount, row.currency)


def _breakable(gateway_id: str) -> str:
    """The gateway's ids are one long word, wider than a telephone: says where a line may end."""
    pieces = ((gateway_id[at : at + 16],) for at in range(0, len(gateway_id), 16))
    return format_html_join(mark_safe("<wbr>"), "{}", pieces) or "-"


class RefundInline(_InMoney, ReadOnlyInline):
    model = Refund
    fields = ("code", "shown_amount", "state", "reason", "created_by", "created_at", "shown_id", "error")
    readonly_fields = fields

    @display(description="gateway id")
    def shown_id(self, refund: Refund) -> str:
        return _breakable(refund.gateway_id)


class DisputeInline(_InMoney, ReadOnlyInline):
    model = Dispute
    fields = ("shown_id", "shown_amount", "state", "reason", "opened_at", "closed_at")
    readonly_fields = fields

    @display(description="gateway id")
    def shown_id(self, dispute: Dispute) -> str:
        return _breakable(dispute.gateway_id)


class RefundForm(forms.Form):
    """``key`` is made with the page, so that sending the form twice refunds once."""

    amount = forms.DecimalField(
        max_digits=18, decimal_places=6, widget=UnfoldAdminDecimalFieldWidget(),
        help_text="All of what is left, or a part of it.",
    )  # fmt: skip
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="Shown to the customer in the mail."
    )
    key = forms.RegexField(r"^[0-9A-Za-z]{6,12}$", widget=forms.HiddenInput())


@admin.register(TopUp)
class TopUpAdmin(_InMoney, ReadOnlyAdmin):
    list_display = ("code", "account", "shown_amount", "shown_state", "created_at", "paid_at")
    list_filter = ("state", "currency")
    list_select_related = ("account",)
    search_fields = ("code__iexact", "session_id", "payment_intent", "account__name")
    ordering = ("-pk",)
    paginator = BoundedPaginator
    fields = (
        "account", "shown_amount", "shown_refunded", "shown_state", "way", "card", "saved_card", "saves_card",
        "is_processing", "error", "created_by", "created_at", "expires_at", "paid_at", "transaction", "shown_session",
        "shown_intent",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (RefundInline, DisputeInline)
    actions_detail = ("refund",)

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.add_refund")

    @action(description="Refund", url_path="refund", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A form on GET; on POST takes the money out of the wallet and sends it back to the card."""
        topup = TopUp.objects.select_related("account").filter(pk=object_id).first()
        if topup is None:
            raise Http404("No such top-up.")
        left = topup.amount - topup.refunded
        form = RefundForm(request.POST or None, initial={"key": new_code(), "amount": f"{left.normalize():f}"})
        back = reverse("admin:billing_topup_change", args=[topup.pk])
        if form.is_valid() and self._refund(request, topup, form):
            return redirect(back)
        context = {
            **self.admin_site.each_context(request), "title": f"Refund of top-up {topup.code}", "form": form,
            "topup": topup, "left": left, "back": back, "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/billing/refund.html", context)

    def _refund(self, request: HttpRequest, topup: TopUp, form: RefundForm) -> bool:
        actor: Any = request.user
        try:
            request_refund(topup=topup, actor=actor, **form.cleaned_data)
        except BillingError as error:
            form.add_error("amount", str(error))
            return False
        messages.success(request, "The refund is booked and on its way; its state is shown below.")
        return True

    @display(description="refunded")
    def shown_refunded(self, topup: TopUp) -> str:
        return money_cell(topup.refunded, topup.currency)

    @display(description="session id")
    def shown_session(self, topup: TopUp) -> str:
        return _breakable(topup.session_id)

    @display(description="payment intent")
    def shown_intent(self, topup: TopUp) -> str:
        return _breakable(topup.payment_intent)

    @display(description="state", ordering="state", label=TOPUP_LABELS)
    def shown_state(self, topup: TopUp) -> str:
        return str(topup.get_state_display())


class OpenFilter(admin.SimpleListFilter):
    """Events that are not processed, or that left a problem."""

    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Not processed"), ("problem", "With a problem")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PaymentEvent]) -> QuerySet[PaymentEvent]:
        if self.value() == "open":
            return queryset.filter(processed_at=None)
        return queryset.exclude(error="") if self.value() == "problem" else queryset


@admin.register(PaymentEvent)
class PaymentEventAdmin(ReadOnlyAdmin):
    list_display = ("event_id", "type", "received_at", "processed_at", "attempts", "error")
    list_filter = (OpenFilter,)
    search_fields = ("event_id__exact", "type")
    ordering = ("-pk",)
    paginator = BoundedPaginator


@admin.register(Refund)
class RefundAdmin(_InMoney, ReadOnlyAdmin):
    list_display = ("code", "topup", "account", "shown_amount", "state", "reason", "created_at", "error")
    list_filter = ("state", "currency")
    list_select_related = ("topup__account",)
    search_fields = ("code__iexact", "topup__code__iexact", "gateway_id__exact", "topup__account__name")
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="account")
    def account(self, refund: Refund) -> str:
        return refund.topup.account.name


@admin.register(Dispute)
class DisputeAdmin(_InMoney, ReadOnlyAdmin):
    list_display = ("gateway_id", "topup", "account", "shown_amount", "shown_state", "opened_at", "closed_at")
    list_filter = ("state", "currency")
    list_select_related = ("topup__account",)
    search_fields = ("gateway_id__exact", "topup__code__iexact", "topup__account__name")
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="account")
    def account(self, dispute: Dispute) -> str:
        return dispute.topup.account.name

    @display(description="state", ordering="state", label=DISPUTE_LABELS)
    def shown_state(self, dispute: Dispute) -> str:
        return str(dispute.get_state_display())


@admin.register(SavedCard)
class SavedCardAdmin(ReadOnlyAdmin):
    list_display = ("code", "account", "brand", "last4", "expires_month", "expires_year", "consent_at", "removed_at")
    list_select_related = ("account",)
    search_fields = ("code__iexact", "account__name", "last4__exact")
    ordering = ("-pk",)
    paginator = BoundedPaginator


@admin.register(AutoRecharge)
class AutoRechargeAdmin(ReadOnlyAdmin):
    list_display = (
        "account", "is_on", "threshold", "amount", "card", "failures", "paused_at", "next_try_at", "last_error",
    )  # fmt: skip
    list_filter = ("is_on",)
    list_select_related = ("account", "card")
    search_fields = ("account__name",)
    ordering = ("-pk",)
    paginator = BoundedPaginator
