"""Staff's list of receipts that belong to no message: a stranger's, in an odd form, or come after all was forgotten."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, show_moment
from messaging.receipt_models import UnmatchedReceipt


class SearchFilter(admin.SimpleListFilter):
    """Receipts whose search has ended, and those that are still tried; each has an index, both together have none."""

    title = "search for the message"
    parameter_name = "search"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Still tried again")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, label in ((None, "Given up"), *self.lookup_choices):
            query = changelist.get_query_string({self.parameter_name: value} if value else {}, [self.parameter_name])
            yield {"selected": self.value() == value, "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnmatchedReceipt]) -> QuerySet[UnmatchedReceipt]:
        if self.value() == "open":
            return queryset.filter(applied_at=None, attempts__gt=0)
        return queryset.filter(applied_at__isnull=False)


@admin.register(UnmatchedReceipt)
class UnmatchedReceiptAdmin(ReadOnlyAdmin):
    """What carriers told of messages that were not found, with the text as it came."""

    empty_words = "Every receipt that carriers brought belongs to a message."
    list_display = ("received", "route", "carrier_id", "recipient", "status", "error_code", "attempts", "next_try")
    list_filter = (SearchFilter, "status", "route")
    list_select_related = ("route",)
    search_fields = ("pk",)  # see get_search_results
    search_help_text = "The carrier's id, a number (+61…), or a receipt's id. The list shows the newest 5,000."
    ordering = ("-pk",)
    paginator = BoundedPaginator
    fields = (
        "received", "route", "carrier_id", "recipient", "status", "error_code", "raw", "attempts", "next_try",
        "given_up",
    )  # fmt: skip
    readonly_fields = ("received", "next_try", "given_up")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UnmatchedReceipt]:
        return super().get_queryset(request).filter(message=None)

    @display(description="received", ordering="pk")
    def received(self, receipt: UnmatchedReceipt) -> str:
        return show_moment(receipt.received_at)

    @display(description="next try")
    def next_try(self, receipt: UnmatchedReceipt) -> str:
        """Of what was given up there is none, whatever its row still says."""
        return show_moment(receipt.next_try_at) if receipt.applied_at is None else ""

    @display(description="given up")
    def given_up(self, receipt: UnmatchedReceipt) -> str:
        return show_moment(receipt.applied_at) if receipt.applied_at else ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UnmatchedReceipt], search_term: str
    ) -> tuple[QuerySet[UnmatchedReceipt], bool]:
        """Among the few without a message anything may be searched for."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return queryset.filter(Q(carrier_id=term) | Q(recipient__in=(term, f"+{term}"))), False
