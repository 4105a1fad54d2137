"""Batches: the list, one batch with its progress, and cancelling it."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRefresh

from accounts.access import MAY_BILL, MAY_SEND, TenantRequest, tenant_view
from billing.sheets import csv_lines
from messaging import selectors
from messaging.exceptions import BadSchedule, NotCancellable, NotReschedulable
from messaging.exports import exclusion_rows
from messaging.forms import ClientPeriodForm
from messaging.keyset import read_cursor
from messaging.models import Batch
from messaging.preparing_progress import checked
from messaging.schedule_forms import LATER, WhenForm
from messaging.selectors import Chosen
from messaging.services.cancelling import cancel_batch, cancel_preparing
from messaging.services.rescheduling import reschedule_batch
from messaging.visitor import sight_of
from messaging.waiting import why_waiting


@require_GET
@tenant_view()
def batch_list(request: TenantRequest) -> HttpResponse:
    """The account's batches, and those of its clients."""
    sight = sight_of(request)
    form = ClientPeriodForm(request.GET, sight=sight)
    cursor = read_cursor(request.GET.get("before", ""), request.GET.get("after", ""))
    page = selectors.page_of_batches(request.account, Chosen(form.accounts(), form.period()), cursor)
    context = {
        "form": form,
        "period": form.period(),
        "is_filtered": bool(request.GET),
        "page": page,
        "sight": sight,
        "rows": [(batch, sight.sees_price(batch.payer, batch.currency)) for batch in page.rows],
        "may_send": request.membership.role in MAY_SEND,
    }
    return render(request, "messaging/batch_list.html", context)


@require_GET
@tenant_view()
def batch_detail(request: TenantRequest, code: str) -> HttpResponse:
    """One batch; the part that changes asks for itself until the batch is finished."""
    batch = selectors.get_batch_for(request.account, code)
    more = {"excluded": selectors.excluded_of(batch), "has_own_texts": selectors.has_own_texts(batch)}
    context = _progress_context(request, batch) | more
    return render(request, "messaging/batch_detail.html", context)


@never_cache
@require_GET
@tenant_view()
def batch_progress(request: TenantRequest, code: str) -> HttpResponse:
    """The part of the batch's page that changes, for htmx; others go to the whole page."""
    batch = selectors.get_batch_for(request.account, code)
    if not request.htmx:
        return redirect("messaging:batch-detail", code=code)
    if "preparing" in request.GET and batch.state != Batch.State.PREPARING:
        return HttpResponseClientRefresh()  # all of the page is another one now
    return render(request, "messaging/_batch_progress.html", _progress_context(request, batch))


def _progress_context(request: TenantRequest, batch: Batch) -> dict[str, Any]:
    sight = sight_of(request)
    sees_price = sight.sees_price(batch.payer, batch.currency)
    progress = selectors.progress_of(batch)
    return {
        "batch": batch,
        "progress": progress,
        "money": selectors.money_of(batch, sight),
        "rows": [(message, sees_price) for message in selectors.first_messages_of(batch)],
        "reasons": why_waiting(progress),
        "can_move": batch.send_at is not None and batch.send_at > timezone.now() and progress.counts.get("scheduled"),
        "is_own": batch.account_id == request.account.pk,
        "sight": sight,
        "shows_price": sees_price,
        "may_send": request.membership.role in MAY_SEND,
    } | _preparing_context(request, batch)


def _preparing_context(request: TenantRequest, batch: Batch) -> dict[str, Any]:
    """How far a batch is prepared; where it came to nothing, the way back for those who may send it again."""
    if batch.accepted_at is not None:
        return {}
    found = selectors.preparation_of(batch)
    if found is None or batch.state == Batch.State.PREPARING:
        return {"checked": checked(found) if found else None}
    is_own = batch.account_id == request.account.pk
    pays = request.membership.role in MAY_BILL and selectors.pays_by_card(request.account)
    return {
        "draft": found.code if is_own and request.membership.role in MAY_SEND else "",
        "offers_credit": found.lacks_money and is_own and pays,
    }


@require_GET
@tenant_view()
def batch_left_out(request: TenantRequest, code: str) -> StreamingHttpResponse:
    """All recipients that were left out of a batch, with the reasons, as CSV."""
    batch = selectors.get_batch_for(request.account, code)
    answer = StreamingHttpResponse(csv_lines(exclusion_rows(batch)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="left-out-{batch.code}.csv"'
    return answer


@never_cache
@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def batch_cancel(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then cancel what no carrier has got yet."""
    batch = selectors.get_batch_for(request.account, code)
    if request.method == "GET":
        context = {"batch": batch, "progress": selectors.progress_of(batch)}
        return render(request, "messaging/batch_cancel.html", context)
    if cancel_preparing(batch=batch, actor=request.user):
        messages.success(request, "Cancelled before it was accepted: nothing was sent, and nothing charged.")
        return redirect("messaging:batch-detail", code=code)
    try:
        count = cancel_batch(batch=batch, actor=request.user)
    except NotCancellable as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, f"{count:,} message{'' if count == 1 else 's'} cancelled; they cost nothing.")
    return redirect("messaging:batch-detail", code=code)


@never_cache
@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def batch_time(request: TenantRequest, code: str) -> HttpResponse:
    """Have a scheduled batch sent at another time, or at once."""
    batch = selectors.get_batch_for(request.account, code)
    initial = {"when": LATER, "send_at": batch.send_at}
    form = WhenForm(request.POST or None, initial=initial, account=request.account)
    if request.method == "POST" and form.is_valid():
        try:
            reschedule_batch(batch=batch, send_at=form.times()["send_at"], actor=request.user)
        except BadSchedule as error:
            form.add_error(error.field, str(error))
        except NotReschedulable as error:
            messages.warning(request, str(error))
            return redirect("messaging:batch-detail", code=code)
        else:
            messages.success(request, "The time of sending is changed.")
            return redirect("messaging:batch-detail", code=code)
    return render(request, "messaging/batch_time.html", {"batch": batch, "form": form})
