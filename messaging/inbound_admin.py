"""Staff's view of what came in: messages (those of nobody first), their parts, and what they set off."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin, show_moment
from messaging.models import InboundAction, InboundMessage, InboundPart, time_of
from messaging.services.inbound_actions import retry_actions

ACTION_LABELS = {"Waiting": "info", "Done": "success", "Left out": "warning", "Failed": "danger"}


class RoutingFilter(admin.SimpleListFilter):
    """Messages that reached an account, and those to a number that nobody held."""

    title = "routing"
    parameter_name = "routing"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("unrouted", "Unrouted: nobody's number"), ("routed", "Routed to an account")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[InboundMessage]) -> QuerySet[InboundMessage]:
        return queryset.filter(account__isnull=self.value() == "unrouted") if self.value() else queryset


class WaitingFilter(admin.SimpleListFilter):
    """Parts that wait for the others of their message, or to be looked at."""

    title = "handling"
    parameter_name = "handling"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("waiting", "Waiting"), ("handled", "Handled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[InboundPart]) -> QuerySet[InboundPart]:
        return queryset.filter(handled_at__isnull=self.value() == "waiting") if self.value() else queryset


class FoundByKey(ReadOnlyAdmin):
    """A list of millions that is searched by what has an index."""

    ordering = ("-pk",)
    paginator = BoundedPaginator
    search_fields = ("pk",)  # see get_search_results

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """The rows that a term other than a key means."""
        return rows.none()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return self.find_key(queryset, UUID(term)), False
        except ValueError:
            return self.find(queryset, term), False

    def find_key(self, rows: QuerySet[Any], key: UUID) -> QuerySet[Any]:
        """The row with that key."""
        return rows.filter(pk=key)


@admin.register(InboundMessage)
class InboundMessageAdmin(FoundByKey):
    """Messages from phones, with what they set off."""

    list_display = ("received", "sender", "recipient", "account", "keyword", "beginning", "parts", "consent", "route")
    list_filter = (RoutingFilter, "route")
    list_select_related = ("account", "keyword", "route")
    search_help_text = "Message id, or the account's code. The list shows the newest 5,000."
    readonly_fields = ("received", "set_off")

    @display(description="received", ordering="pk")
    def received(self, message: InboundMessage) -> str:
        return show_moment(message.received_at)

    @display(description="text")
    def beginning(self, message: InboundMessage) -> str:
        return message.text if len(message.text) <= 60 else f"{message.text[:59]}…"

    @display(description="what it set off")
    def set_off(self, message: InboundMessage) -> str:
        actions = InboundAction.objects.filter(message_id=message.pk).order_by("pk")
        told = [(one, one.get_state_display().lower(), one.error) for one in actions]
        return format_html_join("; ", "{}: {} {}", told) or "Nothing"

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        return rows.filter(account__code=term.upper())


@admin.register(InboundPart)
class InboundPartAdmin(FoundByKey):
    """What carriers brought, as it came."""

    list_display = ("received", "sender", "recipient", "reference", "piece", "due_at", "handled_at", "route")
    list_filter = (WaitingFilter, "route")
    list_select_related = ("route",)
    search_help_text = "A part's id. The list shows the newest 5,000."
    exclude = ("octets",)
    readonly_fields = ("received",)

    @display(description="received", ordering="pk")
    def received(self, part: InboundPart) -> str:
        return show_moment(time_of(part.pk))

    @display(description="part")
    def piece(self, part: InboundPart) -> str:
        return f"{part.sequence} of {part.total}"


@admin.register(InboundAction)
class InboundActionAdmin(FoundByKey):
    """What inbound messages set off, with why it failed; what failed can be tried again."""

    list_display = ("created_at", "account", "kind", "target", "shown_state", "attempts", "next_try_at", "error")
    list_filter = ("state", "kind")
    list_select_related = ("account",)
    search_help_text = "The message's id, or the account's code. The list shows the newest 5,000."
    # Texts of replies and headers of calls are the customer's own.
    exclude = ("payload",)
    actions = ("retry",)

    @display(description="state", ordering="state", label=ACTION_LABELS)
    def shown_state(self, one: InboundAction) -> str:
        return str(one.get_state_display())

    def find_key(self, rows: QuerySet[Any], key: UUID) -> QuerySet[Any]:
        return rows.filter(message_id=key)

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        return rows.filter(account__code=term.upper())

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("messaging.change_inboundaction")

    @action(description="Try again now", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[InboundAction]) -> None:
        tried = retry_actions(queryset.values_list("pk", flat=True))
        words = f"{tried} action{'' if tried == 1 else 's'} will be tried now; only failed ones are tried again."
        self.message_user(request, words, messages.SUCCESS if tried else messages.WARNING)
