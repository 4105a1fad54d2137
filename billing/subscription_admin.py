"""Staff's view of what is paid for by the month: strictly to read; numbers and keywords are given up in their rooms."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from accounts.models import Account
from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline
from billing.models import Subscription
from billing.subscription_models import ServiceCharge
from billing.wording import money_cell, money_text

STATE_LABELS = {"Active": "success", "Payment due": "warning", "Suspended": "danger", "Ended": "info"}


class ChargeInline(ReadOnlyInline):
    model = ServiceCharge
    fields = ("part", "begins_on", "ends_on", "payer", "shown_amount", "earned_by", "transaction")
    readonly_fields = fields
    ordering = ("-begins_on", "-pk")
    per_page = 25
    verbose_name_plural = "charges"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("payer", "transaction")

    @display(description="amount")
    def shown_amount(self, charge: ServiceCharge) -> str:
        return money_cell(charge.amount, charge.currency)

    @display(description="of it earned")
    def earned_by(self, charge: ServiceCharge) -> str:
        names = dict(Account.objects.filter(pk__in=[pk for pk, _ in charge.earnings]).values_list("pk", "name"))
        return ", ".join(f"{names[pk]} {money_text(Decimal(share), charge.currency)}" for pk, share in charge.earnings)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("label", "account", "shown_service", "shown_state", "next_renewal_on", "due_since", "created_at")
    list_filter = ("service", "state")
    list_select_related = ("account",)
    search_fields = ("code__exact", "label", "account__name", "account__code__exact")
    search_help_text = "Number or keyword, its account, or the reference of a movement."
    ordering = ("-pk",)
    paginator = BoundedPaginator
    inlines = (ChargeInline,)

    @display(description="service", ordering="service")
    def shown_service(self, subscription: Subscription) -> str:
        return str(subscription.get_service_display())

    @display(description="state", ordering="state", label=STATE_LABELS)
    def shown_state(self, subscription: Subscription) -> str:
        return str(subscription.get_state_display())
