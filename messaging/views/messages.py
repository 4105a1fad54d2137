"""Messages: the list, and one message's way and price."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from messaging import selectors
from messaging.explanation import explain_price
from messaging.forms import MessageFilterForm
from messaging.keyset import read_cursor
from messaging.models import Batch
from messaging.selectors import Chosen
from messaging.timeline import parts_of, timeline_of
from messaging.visitor import sight_of


@require_GET
@tenant_view()
def message_list(request: TenantRequest) -> HttpResponse:
    """The account's messages, and those of its clients, newest first."""
    sight = sight_of(request)
    batch = _batch_of(request)
    # A batch has its own days: a period narrows it only where someone chose one.
    form = MessageFilterForm(request.GET, sight=sight, fills_period=batch is None)
    has_period = batch is None or bool(request.GET.get("first") or request.GET.get("last"))
    chosen = Chosen(
        accounts=[batch.account] if batch else form.accounts(),
        period=form.period() if has_period else None,
        states=form.states(),
        recipient=form.value("recipient"),
        batch=batch,
    )
    cursor = read_cursor(request.GET.get("before", ""), request.GET.get("after", ""))
    page = selectors.page_of_messages(request.account, chosen, cursor)
    context = {
        "form": form,
        "batch": batch,
        "period": chosen.period,
        "is_filtered": bool(request.GET),
        "page": page,
        "sight": sight,
        "rows": [(message, sight.sees_price(message.payer, message.quote.currency)) for message in page.rows],
        "may_send": request.membership.role in MAY_SEND,
    }
    return render(request, "messaging/message_list.html", context)


def _batch_of(request: TenantRequest) -> Batch | None:
    code = request.GET.get("batch", "").strip()
    return selectors.get_batch_for(request.account, code) if code else None


@require_GET
@tenant_view()
def message_detail(request: TenantRequest, key: UUID) -> HttpResponse:
    """What became of a message, and why it costs what it costs."""
    message = selectors.get_message_for(request.account, key)
    sight = sight_of(request)
    context = {
        "message": message,
        "text": message.batch.text if message.text is None else message.text,
        "is_own": message.account_id == request.account.pk,
        "timeline": timeline_of(
            message,
            shows_money=sight.sees_price(message.payer, message.quote.currency),
            shows_routes=request.user.is_staff,
        ),
        "parts": parts_of(message),
        "price": explain_price(message, sight),
    }
    return render(request, "messaging/message_detail.html", context)
