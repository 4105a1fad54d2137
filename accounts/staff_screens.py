"""What the rooms' admin pages share: lists that only show, and lists of millions that never count themselves."""

from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin, TabularInline


def show_moment(moment: datetime) -> str:
    """A key's time as the admin's other times, with seconds."""
    return format_date(timezone.localtime(moment), "j M Y, H:i:s")


class BoundedPaginator(Paginator):
    """Pages of the first rows only: counting stops at ``MOST``, so a list of millions costs what a short one costs.

    Older rows are reached by search and filters.
    """

    MOST = 5_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.MOST].count())


class ReadOnlyAdmin(ModelAdmin):
    """Looking only: nobody, superusers included, adds, changes or deletes here, and POST is refused without actions."""

    actions: Any = None
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD") and not self.actions:
            raise PermissionDenied("This list is read-only.")
        return super().changelist_view(request, extra_context)


class LabelledInline(TabularInline):
    """Rows to edit; each field has its column's heading as its name for screen readers."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = str(field.label)
        return field


class ReadOnlyInline(TabularInline):
    """Rows that belong to what the page shows."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
