"""BILLING: statements of money and of SMS credits, ADD CREDIT, the page of a top-up, and Stripe's webhook."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import ANY_ROLE, MAY_BILL, Role, TenantRequest, tenant_view
from billing import selectors
from billing.credit import credit_of
from billing.exceptions import BillingError
from billing.forms import AddCreditForm, StatementForm, kinds_for
from billing.gateways.exceptions import GatewayError, InvalidSignature
from billing.models import CREDITS, BillingTerms, TopUp
from billing.services.payment_events import record_event
from billing.services.topup_limits import room_of
from billing.services.topups import cancel_topup, pay_with_card, start_topup
from billing.statement_rows import rows_of
from billing.statements import Statement
from billing.visitor import balance_of_visitor, terms_of_visitor

# Seconds after which the waiting page says that it takes longer than usual.
PATIENCE = 60


class SeeOther(HttpResponseRedirect):
    """303: the browser asks with GET whatever the method was."""

    status_code = 303


def billing_view(roles: frozenset[Role] = ANY_ROLE) -> Callable[[Callable[..., HttpResponse]], Callable[..., Any]]:
    """As ``tenant_view``, and 404 for an account whose payer is its parent: BILLING does not exist for it.

    The view gets the account's terms as its second argument.
    """

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., Any]:
        @tenant_view()
        @wraps(view)
        def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            terms = terms_of_visitor(request)
            if terms is None or not terms.shows_money:
                raise Http404("No billing.")
            if request.membership.role not in roles:
                raise PermissionDenied("Adding credit needs the role Owner or Billing; ask the owner of the account.")
            return view(request, terms, *args, **kwargs)

        return guarded

    return decorate


def credits_view(view: Callable[..., HttpResponse]) -> Callable[..., Any]:
    """As ``tenant_view``, and 404 for an account that does not send with SMS credits."""

    @tenant_view()
    @wraps(view)
    def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        terms = terms_of_visitor(request)
        if terms is None or terms.method != BillingTerms.Method.SMS_CREDITS:
            raise Http404("No SMS credits.")
        return view(request, *args, **kwargs)

    return guarded


@require_GET
@billing_view()
def overview(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The statement, with what is available and what is held."""
    account = request.account
    may_bill = request.membership.role in MAY_BILL
    dealings = selectors.dealings_of(account)
    has_open = may_bill and dealings.has_pending_topups
    context = _statement(request) | {
        "balance": balance_of_visitor(request),
        "credit": credit_of(account) if dealings.has_invoice_terms else None,
        "may_add_credit": may_bill and terms.pays_by_card,
        "has_cards": may_bill and (terms.pays_by_card or dealings.has_cards),
        "may_bill": may_bill,
        "open_topups": selectors.open_topups_of(account, timezone.now()) if has_open else [],
    }
    return render(request, "billing/overview.html", context)


@require_GET
@credits_view
def credits_overview(request: TenantRequest) -> HttpResponse:
    """The statement in SMS credits of an account that sends with them; no money stands on it."""
    context = _statement(request, CREDITS) | {"balance": selectors.credits_of(request.account)}
    return render(request, "billing/credits.html", context)


def _statement(request: TenantRequest, currency: str = "") -> dict[str, Any]:
    """What ``billing/_statement.html`` and the figures above it show."""
    account = request.account
    form = StatementForm(request.GET, kinds=kinds_for(account, currency))
    period, kind = form.period(), form.kind_value()
    cursors = {name: request.GET.get(name, "") for name in ("before", "after")}
    filters = {"first": period.first.isoformat(), "last": period.last.isoformat(), "kind": kind}
    if not form.is_valid():  # what was typed stays in its field, beside what is wrong with it
        filters |= {name: value for name in filters if (value := request.GET.get(name, ""))}
    statement = Statement(account, period, currency)
    # Adding up a million movements takes seconds, so somebody has to ask for it.
    is_summed = "totals" in request.GET or statement.is_summed_at_once
    page = statement.page(kind, **cursors)
    return {
        "form": form,
        "filters": filters,
        "is_filtered": bool(request.GET),
        "period": period,
        "page": page,
        "rows": rows_of(page.lines, opens_receipts=request.membership.role in MAY_BILL),
        "sums": statement.sums() if is_summed else None,
    }


@never_cache
@require_http_methods(["GET", "POST"])
@billing_view(MAY_BILL)
def add_credit(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """Choose an amount; goes on to the payment page of the card processor."""
    if not terms.pays_by_card:
        raise Http404("This account does not pay by card.")
    now = timezone.now()
    room = room_of(terms, now)
    asked = {"other": request.GET.get("amount", "")}  # a mail's link asks for an amount
    cards = selectors.cards_of(request.account)
    data = request.POST if request.method == "POST" else None
    form = AddCreditForm(data, initial=asked, terms=terms, room=room, cards=cards)
    if request.method == "POST" and form.is_valid() and (goal := _pay(request, form)):
        return SeeOther(goal)
    context = {
        "form": form,
        "terms": terms,
        "room": room,
        "balance": balance_of_visitor(request),
        "open_topups": selectors.open_topups_of(request.account, now),
    }
    return render(request, "billing/add_credit.html", context)


def _pay(request: TenantRequest, form: AddCreditForm) -> str:
    """Begin the payment; returns where the browser goes on, or "" with what is wrong in the form."""
    amount, card = form.chosen_amount(), form.chosen_card()
    try:
        if card is None:
            saves = form.cleaned_data["save_card"]
            return start_topup(
                account=request.account, amount=amount, actor=request.user, saves_card=saves
            ).checkout_url
        topup = pay_with_card(account=request.account, amount=amount, card=card, actor=request.user)
    except BillingError as error:
        form.add_error(None, str(error))
        return ""
    if topup.state == TopUp.State.FAILED:
        form.add_error(None, f"{topup.card} was not charged: {topup.error}")
        return ""
    page = reverse("billing:topup-detail", args=[topup.code]) + "?returned=paid"
    return topup.checkout_url if topup.state == TopUp.State.PENDING and topup.checkout_url else page


@never_cache
@require_GET
@billing_view(MAY_BILL)
def topup_detail(request: TenantRequest, terms: BillingTerms, code: str) -> HttpResponse:
    """Where the card processor sends people back to: waits for the credit, then is the receipt."""
    topup = selectors.get_topup_for(request.account, code)
    returned = request.GET.get("returned", "")
    context = _waiting_context(topup, int(timezone.now().timestamp())) | {
        "balance_after": selectors.balance_after(topup),
        "is_waiting": topup.state == TopUp.State.PENDING and returned == "paid",
        "may_add_credit": terms.pays_by_card,
    }
    return render(request, "billing/topup_detail.html", context)


def _waiting_context(topup: TopUp, since: int) -> dict[str, Any]:
    is_late = timezone.now().timestamp() - since > PATIENCE
    return {"topup": topup, "since": since, "is_late": is_late}


@never_cache
@require_GET
@billing_view(MAY_BILL)
def topup_status(request: TenantRequest, terms: BillingTerms, code: str) -> HttpResponse:
    """The waiting part of the page, asked for every two seconds; sends the browser to the receipt once there is one."""
    topup = selectors.get_topup_for(request.account, code)
    page = reverse("billing:topup-detail", args=[code])
    if not request.htmx:
        return redirect(page)
    if topup.state != TopUp.State.PENDING:
        return HttpResponse(headers={"HX-Redirect": page})
    since = request.GET.get("since", "")
    started = int(since) if since.isdecimal() and len(since) < 12 else int(timezone.now().timestamp())
    return render(request, "billing/_topup_waiting.html", _waiting_context(topup, started))


@require_POST
@billing_view(MAY_BILL)
def topup_cancel(request: TenantRequest, terms: BillingTerms, code: str) -> HttpResponse:
    """Close a payment page that is not wanted any more."""
    topup = selectors.get_topup_for(request.account, code)
    try:
        topup = cancel_topup(topup=topup, actor=request.user)
    except GatewayError as error:
        messages.error(request, str(error))
    if topup.state == TopUp.State.PAID:
        messages.info(request, "This payment had been made already, so it was credited.")
    return redirect("billing:topup-detail", code=code)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Stripe's word on payments: stored, answered, then processed. Only what Stripe signed counts."""
    try:
        record_event(request.body, request.headers.get("Stripe-Signature", ""))
    except InvalidSignature as error:
        return HttpResponse(str(error), status=400, content_type="text/plain")
    return HttpResponse("stored", content_type="text/plain")
