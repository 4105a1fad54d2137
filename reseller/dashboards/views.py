"""DASHBOARD: a reseller's business or a client's messages at a glance."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import MAY_BILL, MAY_MANAGE, MAY_SEND, TenantRequest, tenant_view
from billing.visitor import balance_of_visitor, terms_of_visitor
from messaging.periods import last_days
from messaging.reports import summarise
from messaging.selectors import Sight
from reseller.dashboards import figures
from reseller.dashboards.steps import next_steps


@require_safe
@tenant_view()
def dashboard(request: TenantRequest) -> HttpResponse:
    """The reseller's dashboard for accounts with the right to have clients, the client's for all others."""
    account, role = request.account, request.membership.role
    terms = terms_of_visitor(request)
    balance = balance_of_visitor(request) if terms is not None and terms.shows_money else None
    accounts = Sight(account).accounts()
    context: dict[str, Any] = {
        "account": account,
        "balance": balance,
        "credits": figures.credits_figure(account, terms),
        "summary": summarise(account, accounts, last_days(timezone.localdate())),
        "batches": figures.last_batches(account, accounts),
        "may_add_credit": balance is not None and terms is not None and terms.pays_by_card and role in MAY_BILL,
        "may_send": role in MAY_SEND,
    }
    if account.can_have_children:
        context |= _of_reseller(request, context)
    if not context["batches"]:
        clients = context["clients"].total if account.can_have_children else 0
        context["steps"] = next_steps(account, request.membership, terms, balance, clients)
    return render(request, f"dashboards/{'reseller' if account.can_have_children else 'client'}.html", context)


def _of_reseller(request: TenantRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What only an account with clients is shown; money only where it sees any."""
    shown: dict[str, Any] = {
        "clients": figures.count_clients(request.account),
        "may_manage": request.membership.role in MAY_MANAGE,
    }
    if context["balance"] is not None:
        shown["margin_chart"] = figures.margin_chart(context["summary"])
        low = [*figures.clients_low_on_credits(request.account), *figures.clients_low_on_balance(request.account)]
        shown["low_clients"] = low
        shown["low_share"] = f"{figures.LOW_SHARE:.0%}"
    return shown
