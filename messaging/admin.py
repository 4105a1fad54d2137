"""Staff's view of batches, messages and receipts, to read; what else staff see registers itself."""

import re
from itertools import chain
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display

from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, ReadOnlyInline, show_moment
from billing.models import Hold
from billing.wording import money_cell
from messaging import (  # noqa: F401  (register themselves)
    http_connector_admin,
    http_inbound_admin,
    inbound_admin,
    receipt_admin,
    route_admin,
    sending_terms_admin,
    unknown_admin,
)
from messaging.models import Batch, CarrierKey, Exclusion, Message, MessageKey, MessagePart, Receipt

MESSAGE_LABELS = {
    "Delivered": "success", "Sent": "info", "Sending": "info", "Ready to send": "info", "Queued": "info",
    "Unknown": "warning", "Held back": "warning", "Undelivered": "danger", "Expired": "danger", "Rejected": "danger",
    "Blocked": "danger", "Failed": "danger",
}  # fmt: skip
BATCH_LABELS = {"Accepted": "success", "Preparing": "info", "Refused": "danger", "Cancelled": "warning"}


# --- Messages ------------------------------------------------------------------------------------------------------


class ExclusionInline(ReadOnlyInline):
    model = Exclusion
    fields = ("value", "reason", "detail")
    readonly_fields = fields
    per_page = 50
    ordering = ("pk",)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = (
        "code", "account", "created_at", "shown_state", "door", "message_count", "part_count", "shown_price",
    )  # fmt: skip
    list_filter = ("state", "door")
    list_select_related = ("account",)
    search_fields = ("code__iexact", "account__name", "account__code__iexact")
    ordering = ("-pk",)
    paginator = BoundedPaginator
    inlines = (ExclusionInline,)
    readonly_fields = ("money",)

    @display(description="state", ordering="state", label=BATCH_LABELS)
    def shown_state(self, batch: Batch) -> str:
        return str(batch.get_state_display())

    @display(description="price", ordering="price")
    def shown_price(self, batch: Batch) -> str:
        return money_cell(batch.price, batch.currency)

    @display(description="hold")
    def money(self, batch: Batch) -> str:
        holds = Hold.objects.filter(batch_id=batch.pk).select_related("payer").order_by("is_subsidy", "pk")
        return "; ".join(_in_words(hold) for hold in holds) or "Nothing was held."


def _in_words(hold: Hold) -> str:
    left = hold.amount - hold.captured - hold.released
    whose = f"margin below zero of {hold.payer}" if hold.is_subsidy else f"{hold.payer}"
    return f"{whose}: {hold} held, {hold.captured} captured, {hold.released} released, {left} open"


def find_messages(messages: QuerySet[Message], term: str) -> QuerySet[Message]:
    """Messages by what has an index: id, number in international form, the carrier's id, or the batch's code."""
    try:
        return messages.filter(pk=UUID(term))
    except ValueError:
        pass
    batch = Batch.objects.filter(code=term.upper()).values_list("pk", flat=True).first()
    if batch is not None:
        return messages.filter(batch=batch)
    digits = re.sub(r"[\s().-]", "", term).removeprefix("+")
    keys = [_newest(CarrierKey.objects.filter(carrier_id=term))]
    if digits.isdigit():
        keys.append(_newest(MessageKey.objects.filter(recipient=f"+{digits}")))
    return messages.filter(pk__in=chain.from_iterable(keys))


def _newest(keys: QuerySet[CarrierKey] | QuerySet[MessageKey]) -> list[UUID]:
    return list(keys.order_by("-message_id").values_list("message_id", flat=True)[: BoundedPaginator.MOST])


class ReceiptInline(ReadOnlyInline):
    model = Receipt
    fields = ("received", "status", "error_code", "carrier_id", "applied_at")
    readonly_fields = fields
    ordering = ("pk",)

    @display(description="received")
    def received(self, receipt: Receipt) -> str:
        return show_moment(receipt.received_at)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = (
        "accepted", "recipient", "account", "batch", "shown_state", "parts", "shown_price", "route", "taken",
    )  # fmt: skip
    list_filter = ("state", "route")
    list_select_related = ("account", "batch", "route", "quote")
    search_fields = ("pk",)  # see get_search_results
    search_help_text = "Message id, number (+61…), carrier's id, or batch code. The list shows the newest 5,000."
    ordering = ("-pk",)
    paginator = BoundedPaginator
    inlines = (ReceiptInline,)
    readonly_fields = ("accepted", "carrier_parts")

    @display(description="accepted", ordering="pk")
    def accepted(self, message: Message) -> str:
        return show_moment(message.accepted_at)

    @display(description="state", label=MESSAGE_LABELS)
    def shown_state(self, message: Message) -> str:
        return str(message.get_state_display())

    @display(description="price")
    def shown_price(self, message: Message) -> str:
        return money_cell(message.price, message.quote.currency)

    @display(description="sent")
    def taken(self, message: Message) -> str:
        """When the carrier took it; the day only where it is another than that of acceptance."""
        if message.sent_at is None:
            return ""
        sent, accepted = timezone.localtime(message.sent_at), timezone.localtime(message.accepted_at)
        return f"{sent:%H:%M:%S}" if sent.date() == accepted.date() else show_moment(sent)

    @display(description="parts at the carrier")
    def carrier_parts(self, message: Message) -> str:
        parts = MessagePart.objects.filter(message=message.pk).order_by("part")
        told = [(part.part, part.carrier_id, part.state, part.error_code) for part in parts]
        return format_html_join("; ", "{}: {} {} {}", told) or "One part"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        term = search_term.strip()
        return (find_messages(queryset, term) if term else queryset), False


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    list_display = ("received", "route", "carrier_id", "status", "error_code", "recipient", "applied_at", "attempts")
    list_filter = ("status", "route")
    list_select_related = ("route",)
    search_fields = ("message__exact",)
    search_help_text = "A message's id."
    ordering = ("-pk",)
    paginator = BoundedPaginator

    @display(description="received", ordering="pk")
    def received(self, receipt: Receipt) -> str:
        return show_moment(receipt.received_at)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Receipt], search_term: str
    ) -> tuple[QuerySet[Receipt], bool]:
        """By what has an index: the message that a receipt was matched with."""
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(message=UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False
