"""INBOX: the list of conversations, one conversation's thread, and what is done with it."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from messaging import inbox
from messaging.exceptions import PriceChanged, SendingError
from messaging.inbox_forms import AssignForm, InboxFilterForm, ReplyForm
from messaging.keyset import read_cursor
from messaging.models import Conversation
from messaging.selectors import Sight
from messaging.services import conversations as service
from messaging.services.planning import MAX_PARTS
from messaging.thread import thread_of

NOTHING_NEW = 204  # htmx leaves the page as it is
LIST_SECONDS, SEARCH_SECONDS = 5, 30  # between two refreshments of the list


@require_GET
@tenant_view()
def inbox_page(request: TenantRequest) -> HttpResponse:
    """All conversations, the latest first."""
    return render(request, "messaging/inbox.html", _list_context(request))


@require_GET
@tenant_view()
def conversation_list(request: TenantRequest) -> HttpResponse:
    """The list alone, for the page that refreshes it; nothing when it is as the page has it (``seen``)."""
    if not request.htmx:
        return redirect(_with_query(reverse("messaging:inbox"), request))
    context = _list_context(request)
    if context["digest"] == request.GET.get("seen"):
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "messaging/_conversations.html", context | {"is_refresh": True})


@require_GET
@tenant_view()
def conversation(request: TenantRequest, code: str) -> HttpResponse:
    """The list and one conversation."""
    return _show(request, inbox.get_conversation_for(request.account, code))


@require_GET
@tenant_view()
def conversation_thread(request: TenantRequest, code: str) -> HttpResponse:
    """The thread alone, for the page that refreshes it; nothing when it is as the page has it (``seen``)."""
    found = inbox.get_conversation_for(request.account, code)
    if not request.htmx:
        return redirect("messaging:conversation", code=code)
    context = _thread_context(request, found)
    if context["thread"].digest == request.GET.get("seen"):
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "messaging/_thread.html", context)


@require_POST
@tenant_view(MAY_SEND)
def conversation_reply(request: TenantRequest, code: str) -> HttpResponse:
    """Send a reply; what is refused is shown with everything typed."""
    found = inbox.get_conversation_for(request.account, code)
    form = ReplyForm(request.POST)
    if form.is_valid():
        try:
            service.reply(
                conversation=found,
                text=form.cleaned_data["text"],
                key=form.cleaned_data["key"],
                unit_price=form.cleaned_data["unit_price"],
                actor=request.user,
            )
            return redirect(_with_query(reverse("messaging:conversation", args=[code]), request))
        except SendingError as error:
            form.add_error("text" if error.field == "text" else None, str(error))
            if isinstance(error, PriceChanged):
                form.take_price(service.reply_terms(found))
    return _show(request, found, form)


@require_POST
@tenant_view(MAY_SEND)
def conversation_read(request: TenantRequest, code: str) -> HttpResponse:
    """Mark what the person saw as read, or the conversation as unread again (``as`` = unread)."""
    found = inbox.get_conversation_for(request.account, code)
    if request.POST.get("as") == "unread":
        service.mark_unread(conversation=found)
        return redirect(_with_query(reverse("messaging:inbox"), request))
    service.mark_read(conversation=found, newest=_read_key(request.POST.get("newest", "")))
    if request.htmx:
        return HttpResponse(headers={"HX-Trigger": "inbox-changed"})
    return redirect(_with_query(reverse("messaging:conversation", args=[code]), request))


@require_POST
@tenant_view(MAY_SEND)
def conversation_assign(request: TenantRequest, code: str) -> HttpResponse:
    """Give the conversation to one of the account's people, or to nobody."""
    found = inbox.get_conversation_for(request.account, code)
    form = AssignForm(request.POST, users=service.assignable_users(request.account))
    if not form.is_valid():
        messages.error(request, str(form.errors["user"][0]))
    else:
        user = form.chosen()
        service.assign(conversation=found, user=user, actor=request.user)
        messages.success(request, f"Assigned to {user}." if user else "Assigned to nobody.")
    return redirect(_with_query(reverse("messaging:conversation", args=[code]), request))


def _show(request: TenantRequest, found: Conversation, form: ReplyForm | None = None) -> HttpResponse:
    may_send = request.membership.role in MAY_SEND
    terms = service.reply_terms(found) if may_send else None
    if form is None and terms is not None:
        form = ReplyForm.empty(terms)
    context = _list_context(request) | _thread_context(request, found)
    context |= {
        "open_code": found.code,
        "terms": terms,
        "form": form,
        "assign_form": AssignForm(
            initial={"user": found.assigned_to.username if found.assigned_to else ""},
            users=service.assignable_users(request.account),
        ),
        "most_parts": MAX_PARTS,
        "sight": Sight(request.account),
    }
    return render(request, "messaging/conversation.html", context)


def _list_context(request: TenantRequest) -> dict[str, Any]:
    form = InboxFilterForm(request.GET)
    show, search = form.value("show"), form.value("search")
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    page = inbox.page_of_conversations(
        request.account, request.user, show=show, search=search, before=before, after=after
    )
    unread = inbox.unread_count(request.account)
    return {
        "filter_form": form,
        "choices": inbox.Show.CHOICES,
        "show": show,
        "search": search,
        "page": page,
        "unread": unread,
        "digest": page.digest(unread),
        "query": _narrowing(request),
        "open_code": request.GET.get("open", ""),
        # Older pages stay as they are: what is new would move them under the reader. A search costs more than a look.
        "refresh_seconds": 0 if before or after else SEARCH_SECONDS if search else LIST_SECONDS,
    }


def _thread_context(request: TenantRequest, found: Conversation) -> dict[str, Any]:
    before = _read_key(request.GET.get("older", ""))
    return {
        "conversation": found,
        "row": inbox.row_of(found),
        "thread": thread_of(found, before),
        "is_latest": before is None,
        "may_send": request.membership.role in MAY_SEND,
        "query": _narrowing(request),
    }


def _read_key(text: str) -> UUID | None:
    return read_cursor(text, "").before


def _narrowing(request: TenantRequest) -> str:
    """What the list is narrowed to, as a query that links of the page carry on."""
    form = InboxFilterForm(request.GET)
    return urlencode({name: form.value(name) for name in ("show", "search") if form.value(name)})


def _with_query(url: str, request: TenantRequest) -> str:
    query = _narrowing(request)
    return f"{url}?{query}" if query else url
