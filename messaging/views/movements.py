"""Why this amount: one line of the statement, and the margins that a parent earned."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from accounts.access import MAY_BILL, TenantRequest, tenant_view
from billing.sheets import csv_lines, xlsx_blocks
from billing.statement_pages import XLSX
from messaging import movements
from messaging.forms import PeriodForm
from messaging.keyset import read_cursor
from messaging.margins import MarginReport, margin_report, margin_rows
from messaging.periods import presets
from messaging.selectors import Sight
from messaging.visitor import sight_of


def _money_sight(request: TenantRequest) -> Sight:
    """404 for an account whose parent pays: it sees no money anywhere."""
    sight = sight_of(request)
    if not sight.shows_money:
        raise Http404("No billing.")
    return sight


@require_GET
@tenant_view()
def movement(request: TenantRequest, public_id: UUID) -> HttpResponse:
    """What a line of the statement is made of."""
    sight = sight_of(request)
    if not sight.shows_amounts:
        raise Http404("No statement.")
    entry = movements.get_entry_for(request.account, public_id, sight.currency)
    cursor = read_cursor(request.GET.get("before", ""), request.GET.get("after", ""))
    page = movements.page_of(request.account, entry.transaction, cursor)
    context = {
        "explained": movements.explain(request.account, entry),
        "currency": entry.transaction.currency,
        "may_bill": request.membership.role in MAY_BILL,
        "sight": sight,
        "page": page,
        "rows": [(message, sight.sees_price(message.payer, entry.transaction.currency)) for message in page.rows],
    }
    return render(request, "messaging/movement.html", context)


@require_GET
@tenant_view(parents_only=True)
def margins(request: TenantRequest) -> HttpResponse:
    """What the account earned on its clients' messages: by client, country and day."""
    sight = _money_sight(request)
    form = PeriodForm(request.GET)
    context = {
        "form": form,
        "sight": sight,
        "period": form.period(),
        "presets": presets(timezone.localdate()),
        "report": margin_report(request.account, form.period()),
    }
    return render(request, "messaging/margins.html", context)


@require_GET
@tenant_view(parents_only=True)
def margins_csv(request: TenantRequest) -> StreamingHttpResponse:
    """The margin report as CSV: a row for each day, client and country."""
    report = _report(request)
    return _answer(request, csv_lines(margin_rows(report)), "text/csv", "csv", report)


@require_GET
@tenant_view(parents_only=True)
def margins_xlsx(request: TenantRequest) -> StreamingHttpResponse:
    """The margin report as a workbook."""
    report = _report(request)
    return _answer(request, xlsx_blocks(margin_rows(report), "Margins"), XLSX, "xlsx", report)


def _report(request: TenantRequest) -> MarginReport:
    _money_sight(request)
    return margin_report(request.account, PeriodForm(request.GET).period())


def _answer(
    request: TenantRequest, content: Any, content_type: str, suffix: str, report: MarginReport
) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(content, content_type=content_type)
    name = slugify(request.account.name) or request.account.code
    file = f"margins-{name}-{report.period.first}-{report.period.last}.{suffix}"
    answer["Content-Disposition"] = f'attachment; filename="{file}"'
    return answer
