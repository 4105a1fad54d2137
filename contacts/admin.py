"""Staff's view of opt-outs: why an account's messages do not go to a number. Contacts are the account's own affair."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.staff_screens import BoundedPaginator, ReadOnlyAdmin
from contacts.models import OptOut


class InForceFilter(admin.SimpleListFilter):
    """Opt-outs that bind now, and those that an opt-in has ended."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("in-force", "In force"), ("ended", "Opted in again")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OptOut]) -> QuerySet[OptOut]:
        return queryset.filter(ended_at__isnull=self.value() == "in-force") if self.value() else queryset


@admin.register(OptOut)
class OptOutAdmin(ReadOnlyAdmin):
    list_display = ("number", "account", "created_at", "source", "detail", "stopped_at", "ended_at", "end_reason")
    list_filter = (InForceFilter, "source")
    list_select_related = ("account",)
    search_fields = ("number__exact", "account__name", "account__code__iexact")
    search_help_text = "Number (+61…), or an account's name or code. The list shows the newest 5,000."
    ordering = ("-pk",)
    paginator = BoundedPaginator
