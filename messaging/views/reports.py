"""REPORTS: figures by day and country, client activity, and both as files."""

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from accounts.access import TenantRequest, tenant_view
from billing.sheets import csv_lines, xlsx_blocks
from billing.statement_pages import XLSX
from billing.statements import Period
from messaging.exports import MessageExport, activity_rows
from messaging.forms import ClientPeriodForm, PeriodForm
from messaging.periods import presets
from messaging.reports import client_activity, summarise
from messaging.selectors import Sight
from messaging.visitor import sight_of


@require_GET
@tenant_view()
def reports(request: TenantRequest) -> HttpResponse:
    """Messages of a period by day and by country."""
    sight = sight_of(request)
    form = ClientPeriodForm(request.GET, sight=sight)
    summary = summarise(request.account, form.accounts(), form.period())
    return render(request, "messaging/reports.html", _context(request, sight, form) | {"summary": summary})


def _context(request: TenantRequest, sight: Sight, form: PeriodForm) -> dict[str, Any]:
    return {
        "form": form,
        "period": form.period(),
        "presets": presets(timezone.localdate()),
        "client_code": form.value("client"),
        "sight": sight,
        "shows_margin": sight.shows_money and request.account.can_have_children,
    }


@require_GET
@tenant_view()
def message_export(request: TenantRequest) -> StreamingHttpResponse:
    """The period's messages as CSV."""
    sight = sight_of(request)
    form = ClientPeriodForm(request.GET, sight=sight)
    export = MessageExport(sight, form.accounts(), form.period())
    return _csv_answer(csv_lines(export.rows()), "messages", request, form.period())


def _csv_answer(lines: Any, name: str, request: TenantRequest, period: Period) -> StreamingHttpResponse:
    return _download(lines, "text/csv; charset=utf-8", f"{name}-{_stem(request, period)}.csv")


def _stem(request: TenantRequest, period: Period) -> str:
    return f"{slugify(request.account.name) or request.account.code}-{period.first}-{period.last}"


def _download(content: Any, content_type: str, file: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{file}"'
    return answer


@require_GET
@tenant_view(parents_only=True)
def activity(request: TenantRequest) -> HttpResponse:
    """Per client billed to the account: what it sent, at the account's price and at its display price."""
    sight = _money_sight(request)
    form = PeriodForm(request.GET)
    accounts = sight.accounts() if form.is_valid() else []
    found, total = client_activity(request.account, accounts, form.period())
    context = _context(request, sight, form) | {"found": found, "total": total}
    return render(request, "messaging/client_activity.html", context)


@require_GET
@tenant_view(parents_only=True)
def activity_export(request: TenantRequest) -> StreamingHttpResponse:
    """The client activity report as CSV."""
    rows, period = _activity_rows(request)
    return _csv_answer(csv_lines(rows), "client-activity", request, period)


@require_GET
@tenant_view(parents_only=True)
def activity_xlsx(request: TenantRequest) -> StreamingHttpResponse:
    """The client activity report as a workbook."""
    rows, period = _activity_rows(request)
    return _download(xlsx_blocks(rows, "Client activity"), XLSX, f"client-activity-{_stem(request, period)}.xlsx")


def _activity_rows(request: TenantRequest) -> tuple[Iterator[list[Any]], Period]:
    sight, period = _money_sight(request), PeriodForm(request.GET).period()
    found, total = client_activity(request.account, sight.accounts(), period)
    return activity_rows(found, total, request.account.currency), period


def _money_sight(request: TenantRequest) -> Sight:
    """404 for an account that itself is billed to its parent: it pays for nobody."""
    sight = sight_of(request)
    if not sight.shows_money:
        raise Http404("No client activity.")
    return sight
