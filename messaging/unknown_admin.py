"""Staff's page of messages whose answer was lost: found by route, age and account, sent again or given up together."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import action, display

from accounts.models import Account
from accounts.staff_screens import ReadOnlyAdmin, show_moment
from billing.wording import money_cell
from messaging.models import UnknownMessage
from messaging.services import unknown

# A late receipt settles most within a minute; carriers keep a message for some days.
AGES = {
    "minute": ("Longer than a minute", timedelta(minutes=1)),
    "hour": ("Longer than an hour", timedelta(hours=1)),
    "day": ("Longer than a day", timedelta(days=1)),
    "week": ("Longer than a week", timedelta(days=7)),
}
MOST_ACCOUNTS = 100


class AgeFilter(admin.SimpleListFilter):
    """How long ago the message was written to the carrier's socket."""

    title = "unknown for"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in AGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnknownMessage]) -> QuerySet[UnknownMessage]:
        age = AGES.get(self.value() or "")
        return queryset.filter(sending_at__lt=timezone.now() - age[1]) if age else queryset


class AccountFilter(admin.SimpleListFilter):
    """Accounts that have unknown messages now."""

    title = "account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = UnknownMessage.objects.filter(state="unknown").values("account_id")
        accounts = Account.objects.filter(pk__in=found).order_by("name")[:MOST_ACCOUNTS]
        return [(account.code, account.name) for account in accounts]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnknownMessage]) -> QuerySet[UnknownMessage]:
        return queryset.filter(account__code=self.value()) if self.value() else queryset


@admin.register(UnknownMessage)
class UnknownMessageAdmin(ReadOnlyAdmin):
    """Nobody heard whether the carrier took these. Both decisions ask before they are carried out."""

    empty_words = "Nothing is unknown: of every message the carrier's answer was heard."
    list_display = ("written", "recipient", "account", "batch", "route", "held", "attempts", "why")
    list_display_links = None
    list_filter = ("route", AgeFilter, AccountFilter)
    list_select_related = ("account", "batch", "route", "quote")
    search_fields = ("recipient__exact",)
    search_help_text = "A number in international form (+61…)."
    ordering = ("sending_at",)  # few are open: their own index finds them, whatever the table holds
    actions = ("send_again", "give_up")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UnknownMessage]:
        return super().get_queryset(request).filter(state="unknown")

    @display(description="written", ordering="sending_at")
    def written(self, message: UnknownMessage) -> str:
        return show_moment(message.sending_at) if message.sending_at else ""

    @display(description="held", ordering="price")
    def held(self, message: UnknownMessage) -> str:
        return money_cell(message.price, message.quote.currency)

    @display(description="why")
    def why(self, message: UnknownMessage) -> str:
        return "Restored" if message.reason == unknown.RESTORED_REASON else "No answer"

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("messaging.change_unknownmessage")

    @action(description="Send again: may arrive twice", permissions=["decide"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[UnknownMessage]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            return self._ask(request, queryset, "send_again")
        actor: Any = request.user
        self._tell(
            request, queryset, unknown.resend(queryset.values_list("pk", flat=True), actor=actor), "queued again"
        )
        return None

    @action(description="Give up: the price is given back", permissions=["decide"])
    def give_up(self, request: HttpRequest, queryset: QuerySet[UnknownMessage]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            return self._ask(request, queryset, "give_up")
        actor: Any = request.user
        self._tell(request, queryset, unknown.release(queryset.values_list("pk", flat=True), actor=actor), "given up")
        return None

    def _ask(self, request: HttpRequest, queryset: QuerySet[UnknownMessage], name: str) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Send again" if name == "send_again" else "Give up",
            "name": name,
            "count": queryset.count(),
            "accounts": queryset.order_by().values("account").distinct().count(),
            "model_admin": self,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/messaging/decide_unknown.html", context)

    def _tell(self, request: HttpRequest, queryset: QuerySet[UnknownMessage], count: int, what: str) -> None:
        words = f"{count:,} message{'' if count == 1 else 's'} {what}. What was settled meanwhile is left alone."
        self.message_user(request, words, messages.SUCCESS if count else messages.WARNING)
