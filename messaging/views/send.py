"""SEND SMS: write, preview, send. Each step is a POST that carries everything typed; nothing is kept in between.

What goes to many is kept instead, and goes on in messaging/views/preparing.py.
"""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import MAY_BILL, MAY_SEND, TenantRequest, tenant_view
from contacts import merge
from contacts.selectors import field_names
from messaging import selectors
from messaging.exceptions import NotEnoughMoney, SendingError
from messaging.forms import ConfirmationForm, SendForm
from messaging.limits import limit_words
from messaging.models import Batch
from messaging.preview import Preview, preview_of
from messaging.services import preparing
from messaging.services.acceptance import accept_batch
from messaging.services.planning import MAX_PARTS, plan_batch

# What each step takes over from the one before, beside the lists.
CARRIED = ("recipients", "sender", "text", "when", "send_at", "valid_for")


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def send(request: TenantRequest) -> HttpResponse:
    """The form; ``step`` of a POST is preview, send or edit (back to the form with everything in it)."""
    step = request.POST.get("step", "preview")
    if request.method == "GET" or step == "edit":
        return show_form(request, _empty_form(request))
    form = SendForm(request.POST, account=request.account)
    if not form.is_valid():
        return show_form(request, form)
    try:
        if step == "send":
            return _send(request, form)
        return _preview(request, form)
    except SendingError as error:
        form.refuse(error)
        return show_form(request, form, lacks_money=isinstance(error, NotEnoughMoney))


def _empty_form(request: TenantRequest) -> SendForm:
    senders = selectors.recent_senders(request.account)
    initial: dict[str, Any] = {"sender": senders[0] if senders else ""}
    if request.method == "POST":
        initial |= {name: request.POST[name] for name in CARRIED if name in request.POST}
        initial["lists"] = request.POST.getlist("lists")
    elif "draft" in request.GET:  # what goes to many, to be edited
        initial |= _draft(request)
    else:  # a list's page, or a contact's, leads here
        initial |= {"lists": request.GET.getlist("list"), "recipients": request.GET.get("to", "")[:20]}
    return SendForm(initial=initial, account=request.account)


def _draft(request: TenantRequest) -> dict[str, Any]:
    found = selectors.find_preparation(request.account, request.GET["draft"])
    if found is None:
        messages.warning(request, "What was typed there is not kept any more: it was sent, or is more than a week old.")
        return {}
    return found.typed | {"recipients": found.recipients, "lists": found.lists}


def show_form(request: TenantRequest, form: SendForm, *, lacks_money: bool = False) -> HttpResponse:
    context = {
        "form": form,
        "most_recipients": settings.MAX_WEB_RECIPIENTS,
        "most_parts": MAX_PARTS,
        "recent_senders": selectors.recent_senders(request.account),
        "limits": limit_words(request.account),
        "merge_fields": [*merge.STANDARD, *field_names(request.account)],
        "offers_credit": lacks_money and _may_add_credit(request),
    }
    return render(request, "messaging/send.html", context)


def _may_add_credit(request: TenantRequest) -> bool:
    return request.membership.role in MAY_BILL and selectors.pays_by_card(request.account)


def _preview(request: TenantRequest, form: SendForm) -> HttpResponse:
    if form.is_large:
        found = preparing.start_check(account=request.account, actor=request.user, typed=form.typed())
        return redirect("messaging:send-prepared", code=found.code)
    preview = preview_of(plan_batch(account=request.account, **form.sending()))
    # A new key for each preview: what is sent from this page is sent once, a changed text is another sending.
    return show_preview(request, form, preview, key=uuid.uuid4().hex)


def show_preview(request: TenantRequest, form: SendForm, preview: Preview, **context: Any) -> HttpResponse:
    """The preview, whose form carries everything with a ``key``, or goes to the ``preparation`` that keeps it."""
    context |= {
        "form": form,
        "preview": preview,
        "times": form.times(),
        "expected_price": f"{preview.total:.6f}",
        "offers_credit": bool(preview.shortfall) and _may_add_credit(request),
    }
    return render(request, "messaging/send_preview.html", context)


def _send(request: TenantRequest, form: SendForm) -> HttpResponse:
    confirmation = ConfirmationForm(request.POST)
    if not confirmation.is_valid():
        return _preview(request, form)
    key, price = confirmation.cleaned_data["key"], confirmation.expected_price()
    if form.is_large:  # by now: its lists have grown since the preview
        batch = preparing.send_unchecked(
            account=request.account, actor=request.user, typed=form.typed(), key=key, confirmed=form.confirmed(price)
        )
        return redirect("messaging:batch-detail", code=batch.code)
    batch = accept_batch(
        account=request.account,
        door=Batch.Door.WEB,
        actor=request.user,
        idempotency_key=key,
        expected_price=price,
        **form.times(),
        **form.sending(),
    )
    verb = "Scheduled" if batch.send_at else "Accepted"
    messages.success(request, f"{verb}: {batch.message_count:,} message{'' if batch.message_count == 1 else 's'}.")
    return redirect("messaging:batch-detail", code=batch.code)
