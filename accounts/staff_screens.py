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
from unfold.views import ChangeList


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


class UncountedList(ChangeList):
    """A list whose rows are not counted beside those that a filter leaves; without one there is nothing to compare."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.show_full_result_count or self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class ReadOnlyAdmin(ModelAdmin):
    """Looking only: nobody, superusers included, adds, changes or deletes here, and POST is refused without actions.

    ``empty_words`` is what the list says while there is nothing in it.
    """

    actions: Any = None
    empty_words = ""
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UncountedList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD") and not self.actions:
            raise PermissionDenied("This list is read-only.")
        return super().changelist_view(request, extra_context)


class LabelledInline(TabularInline):
    """Rows to edit; each field has its column's heading as its name for screen readers."""

    hide_title = True  # it would say once more what stands in the row

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = str(field.label)
        return field


class ReadOnlyInline(TabularInline):
    """Rows that belong to what the page shows."""

    hide_title = True
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
