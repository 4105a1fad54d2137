"""CONTACTS, Opt-outs: who must not be sent to, adding one by hand, and opting one person in again."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from contacts import selectors
from contacts.forms import OptInForm, OptOutForm, SearchForm
from contacts.models import OptOut
from contacts.paging import page_of
from contacts.services import opt_outs


@require_GET
@tenant_view()
def opt_out_list(request: TenantRequest) -> HttpResponse:
    """Opt-outs, newest first; ``all`` shows also those that an opt-in has ended."""
    form = SearchForm(request.GET)
    with_ended = request.GET.get("all") == "1"
    found = selectors.opt_outs_of(request.account, form.search(), with_ended=with_ended)
    page = page_of(found, before=request.GET.get("before", ""), after=request.GET.get("after", ""))
    known = selectors.contacts_by_number(request.account, [row.number for row in page.rows])
    context = {
        "form": form,
        "search": form.search(),
        "with_ended": with_ended,
        "page": page,
        "rows": [(row, known.get(row.number)) for row in page.rows],
        "may_edit": request.membership.role in MAY_SEND,
    }
    return render(request, "contacts/opt_outs.html", context)


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def add_opt_out(request: TenantRequest) -> HttpResponse:
    """Never send to a number again."""
    initial = {"number": request.GET.get("number", "")[:20]}
    form = OptOutForm(request.POST if request.method == "POST" else None, account=request.account, initial=initial)
    if form.is_valid():
        number = form.cleaned_data["number"]
        is_new = opt_outs.opt_out(
            account=request.account, number=number, source=OptOut.Source.PERSON, actor=request.user,
            detail=form.cleaned_data["detail"] or f"Entered by {request.user}",
        )  # fmt: skip
        if is_new:
            messages.success(request, f"{number} is opted out: nothing is sent to it any more.")
        else:
            messages.info(request, f"{number} was opted out already.")
        return redirect("contacts:opt-outs")
    return render(request, "contacts/opt_out_form.html", {"form": form})


@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def opt_in(request: TenantRequest, code: str) -> HttpResponse:
    """Say what it means, ask for the person's own word, then let messages through to this one number again."""
    opt_out = selectors.get_opt_out_for(request.account, code)
    if opt_out.ended_at is not None:
        messages.info(request, f"{opt_out.number} has been opted in again already.")
        return redirect("contacts:opt-outs")
    form = OptInForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        opt_outs.opt_in(
            account=request.account, number=opt_out.number, reason=form.cleaned_data["reason"], actor=request.user
        )
        messages.success(request, f"{opt_out.number} is opted in: messages to it are sent again.")
        return redirect("contacts:opt-outs")
    contact: Any = selectors.contacts_by_number(request.account, [opt_out.number]).get(opt_out.number)
    return render(request, "contacts/opt_in.html", {"form": form, "opt_out": opt_out, "contact": contact})
