"""BILLING, Renewals: what numbers and keywords will cost in the next 60 days, beside the balance."""

from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import MAY_BILL, TenantRequest
from billing import selectors
from billing.forecasts import Due, forecast, spendable
from billing.models import BillingTerms
from billing.trial import local_date
from billing.views import billing_view

DAYS = 60


@require_GET
@billing_view()
def renewals(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """Every renewal that the account pays, with the balance after it if nothing else came or went."""
    dues = forecast(request.account, DAYS)
    short = next((due for due in dues if not due.is_covered), None)
    context = {
        "dues": dues,
        "days": DAYS,
        "today": local_date(request.account),
        "total": sum((due.amount for due in dues), Decimal(0)),
        "short": short,
        "missing": _missing(dues),
        "balance": selectors.balance_of(request.account),
        "spendable": spendable(request.account),
        "may_add_credit": request.membership.role in MAY_BILL and terms.pays_by_card,
    }
    return render(request, "billing/forecast.html", context)


def _missing(dues: list[Due]) -> Decimal:
    """How much has to come in so that all of it is covered; 0 when the balance does."""
    return max(-min((due.balance_after for due in dues), default=Decimal(0)), Decimal(0))
