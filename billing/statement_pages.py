"""Statements as CSV, XLSX and PDF: of an account's money, and of the SMS credits that it sends with."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from accounts.access import TenantRequest
from billing.forms import StatementForm, kinds_for
from billing.models import CREDITS, BillingTerms
from billing.sheets import csv_lines, xlsx_blocks
from billing.statement_files import StatementFile, TooLong
from billing.views import billing_view, credits_view

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# The page that a statement's files belong to, and what their names begin with.
PAGES = {"": ("billing:overview", "statement"), CREDITS: ("billing:credits", "credits")}


@require_GET
@billing_view()
def statement_csv(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements as CSV, streamed."""
    return _download(request, "", "csv", "text/csv", _csv)


@require_GET
@billing_view()
def statement_xlsx(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements as a workbook."""
    return _download(request, "", "xlsx", XLSX, _xlsx)


@require_GET
@billing_view()
def statement_pdf(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The chosen movements to print; back to the page with the reason where they are too many."""
    return _download(request, "", "pdf", "application/pdf", _pdf)


@require_GET
@credits_view
def credits_csv(request: TenantRequest) -> HttpResponse:
    """The chosen movements of SMS credits as CSV."""
    return _download(request, CREDITS, "csv", "text/csv", _csv)


@require_GET
@credits_view
def credits_xlsx(request: TenantRequest) -> HttpResponse:
    """The chosen movements of SMS credits as a workbook."""
    return _download(request, CREDITS, "xlsx", XLSX, _xlsx)


@require_GET
@credits_view
def credits_pdf(request: TenantRequest) -> HttpResponse:
    """The chosen movements of SMS credits to print."""
    return _download(request, CREDITS, "pdf", "application/pdf", _pdf)


def _csv(file: StatementFile) -> Any:
    return csv_lines(file.rows())


def _xlsx(file: StatementFile) -> Any:
    return xlsx_blocks(file.rows(), "Statement")


def _pdf(file: StatementFile) -> Any:
    return [file.pdf()]


def _download(
    request: TenantRequest, currency: str, suffix: str, content_type: str, write: Callable[[StatementFile], Any]
) -> Any:
    """What the form asks for; a wrong period or too long a PDF goes back to the page, which says what is wrong."""
    page, name = PAGES[currency]
    form = StatementForm(request.GET, kinds=kinds_for(request.account, currency))
    back = f"{reverse(page)}?{request.GET.urlencode()}"
    if not form.is_valid():
        return redirect(back)
    file = StatementFile(request.account, form.period(), form.kind_value(), currency)
    try:
        content = write(file)
    except TooLong as error:
        messages.error(request, str(error))
        return redirect(back)
    answer = StreamingHttpResponse(content, content_type=content_type)
    owner = slugify(file.account.name) or file.account.code
    answer["Content-Disposition"] = (
        f'attachment; filename="{name}-{owner}-{file.period.first}-{file.period.last}.{suffix}"'
    )
    return answer
