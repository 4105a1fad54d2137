"""Staff's import of a list of numbers: upload, a preview of every line, confirmation."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounts.staff_screens import ReadOnlyAdmin
from virtual_numbers.exceptions import ImportRefused
from virtual_numbers.import_files import COLUMNS, MOST_BYTES, MOST_LINES, UnreadableFile
from virtual_numbers.import_lines import VERDICTS
from virtual_numbers.models import NumberImport, VirtualNumber
from virtual_numbers.services.imports import apply_import, prepare_import

LINES_PER_PAGE = 100
HEADINGS = ["Line", "What", *(name.capitalize() for name in COLUMNS)]
VERDICT_WORDS = {"new": "New", "changed": "Changed", "unchanged": "Unchanged", "error": "Error"}


def may_import(request: HttpRequest) -> bool:
    """Whoever may add and change numbers one by one may do so by a list."""
    return request.user.has_perms(["numbers.add_virtualnumber", "numbers.change_virtualnumber"])


class UploadForm(forms.Form):
    """The file; cleans to a NumberImport whose lines have been judged and kept."""

    file = forms.FileField(
        label="List of numbers", allow_empty_file=True,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.xlsx"}),
        help_text=f"CSV (UTF-8) or XLSX with the columns {', '.join(COLUMNS)}; at most {MOST_LINES:,} lines.",
        error_messages={"required": "Choose a file."},
    )  # fmt: skip

    def __init__(self, *args: Any, actor: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor

    def clean_file(self) -> NumberImport:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(
                f"{file.name} has {file.size:,} bytes; at most {MOST_BYTES:,} are read. Split it."
            )
        try:
            return prepare_import(file_name=file.name or "list", content=file.read(), actor=self.actor)
        except UnreadableFile as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(NumberImport)
class NumberImportAdmin(ReadOnlyAdmin):
    """Lists that were uploaded; each opens as its preview, from which it is confirmed."""

    list_display = (
        "file_name", "code", "created_at", "created_by", "new_count", "changed_count", "unchanged_count", "error_count",
        "shown_state",
    )  # fmt: skip
    list_select_related = ("created_by",)
    search_fields = ("file_name", "code__iexact")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("lines")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_import(request)

    @display(description="state", label={"Confirmed": "success", "With errors": "danger", "To be confirmed": "info"})
    def shown_state(self, prepared: NumberImport) -> str:
        if prepared.applied_at:
            return "Confirmed"
        return "With errors" if prepared.error_count else "To be confirmed"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The upload; goes on to the preview."""
        if not may_import(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None, actor=request.user)
        if request.method == "POST" and form.is_valid():
            return redirect("admin:numbers_numberimport_change", form.cleaned_data["file"].pk)
        context = {
            **self.admin_site.each_context(request), "title": "Import a list of numbers", "opts": self.opts,
            "form": form, "back": reverse("admin:numbers_virtualnumber_changelist"), "kinds": VirtualNumber.Kind,
            "capabilities": VirtualNumber.Capability,
        }  # fmt: skip
        return TemplateResponse(request, "admin/numbers/import_upload.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The preview on GET; on POST takes the list in as it was shown."""
        if not (self.has_view_permission(request) or may_import(request)):
            raise PermissionDenied
        prepared = NumberImport.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        if prepared is None:
            raise Http404("No such import.")
        if request.method == "POST":
            return self._confirm(request, prepared)
        wanted = request.GET.get("show", "error" if prepared.error_count else "all")
        page = _page_of(prepared, wanted, request.GET.get("page", ""))
        context = {
            **self.admin_site.each_context(request), "title": f"Import of {prepared.file_name}", "opts": self.opts,
            "prepared": prepared, "page": page, "wanted": wanted, "tabs": _tabs(prepared),
            "headings": HEADINGS, "lines": _shown(page), "may_import": may_import(request),
        }  # fmt: skip
        return TemplateResponse(request, "admin/numbers/import_preview.html", context)

    def _confirm(self, request: HttpRequest, prepared: NumberImport) -> HttpResponse:
        if not may_import(request):
            raise PermissionDenied
        actor: Any = request.user
        try:
            done = apply_import(prepared=prepared, actor=actor)
        except ImportRefused as error:
            messages.error(request, str(error))
            return redirect("admin:numbers_numberimport_change", prepared.pk)
        messages.success(request, f"{done.new_count:,} lines were new and {done.changed_count:,} changed something.")
        return redirect("admin:numbers_virtualnumber_changelist")


def _tabs(prepared: NumberImport) -> list[tuple[str, str, int]]:
    """(value of ?show=, word, lines) of each choice."""
    counts = {verdict: getattr(prepared, f"{verdict}_count") for verdict in VERDICTS}
    return [("all", "All lines", sum(counts.values()))] + [
        (verdict, VERDICT_WORDS[verdict], count) for verdict, count in counts.items()
    ]


def _page_of(prepared: NumberImport, wanted: str, number: str) -> Page:
    lines = [line for line in prepared.lines if wanted not in VERDICTS or line["verdict"] == wanted]
    return Paginator(lines, LINES_PER_PAGE).get_page(number)


def _shown(page: Page) -> list[dict[str, Any]]:
    """The lines of a page: their cells with their headings, and the remarks, each to stand by itself."""
    return [
        {
            "cells": zip(
                HEADINGS,
                [line["line"], VERDICT_WORDS[line["verdict"]], *(line["cells"][name] for name in COLUMNS)],
                strict=True,
            ),
            "notes": line["notes"],
            "is_error": line["verdict"] == "error",
        }
        for line in page
    ]
