"""The statement as CSV, XLSX and PDF."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from accounts.access import TenantRequest
from billing.forms import StatementForm
from billing.models import BillingTerms
from billing.sheets import csv_lines, xlsx_blocks
from billing.statement_files import StatementFile, TooLong
from billing.views import billing_view

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@require_GET
@billing_view()
def statement_csv(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements as CSV, streamed."""
    file = _file_of(request)
    return file if isinstance(file, HttpResponse) else _answer(csv_lines(file.rows()), "text/csv", "csv", file)


@require_GET
@billing_view()
def statement_xlsx(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements as a workbook."""
    file = _file_of(request)
    return (
        file if isinstance(file, HttpResponse) else _answer(xlsx_blocks(file.rows(), "Statement"), XLSX, "xlsx", file)
    )


@require_GET
@billing_view()
def statement_pdf(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements to print; back to the page with the reason where they are too many."""
    file = _file_of(request)
    if isinstance(file, HttpResponse):
        return file
    try:
        return _answer([file.pdf()], "application/pdf", "pdf", file)
    except TooLong as error:
        messages.error(request, str(error))
        return redirect(f"{reverse('billing:overview')}?{request.GET.urlencode()}")


def _file_of(request: TenantRequest) -> StatementFile | HttpResponse:
    """What the form asks for; a wrong period goes back to the page, which says what is wrong with it."""
    form = StatementForm(request.GET, earns_margins=request.account.can_have_children)
    if not form.is_valid():
        return redirect(f"{reverse('billing:overview')}?{request.GET.urlencode()}")
    return StatementFile(request.account, form.period(), form.kind_value())


def _answer(content: Any, content_type: str, suffix: str, file: StatementFile) -> Any:
    answer = StreamingHttpResponse(content, content_type=content_type)
    name = slugify(file.account.name) or file.account.code
    answer["Content-Disposition"] = (
        f'attachment; filename="statement-{name}-{file.period.first}-{file.period.last}.{suffix}"'
    )
    return answer
