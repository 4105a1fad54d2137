"""What staff's screens of an account's terms have in common."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import ModelAdmin

from billing.exceptions import BillingError


class ServiceAdmin(ModelAdmin):
    """Rows of one account each, written by a service; what it refuses changes nothing and is said."""

    ordering = ("account__name",)
    list_select_related: tuple[str, ...] = ("account",)
    search_fields = ("account__name", "account__code__iexact")
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("account", *self.readonly_fields) if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except BillingError as error:
            messages.error(request, str(error))
            return redirect(request.path)
