"""The page that an account sees whose trial ran out."""

from typing import Any

from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access import MAY_BILL, TenantRequest, tenant_view
from billing.selectors import balance_of, terms_of
from billing.trial import trial_of


@never_cache
@require_GET
@tenant_view()
def trial_expired(request: TenantRequest) -> Any:
    """What happened and how to go on; an account that is live goes to its dashboard."""
    terms = terms_of(request.account)
    trial = trial_of(terms)
    if terms is None or trial is None or not trial.is_over:
        return redirect("dashboard")
    context = {
        "trial": trial,
        "balance": balance_of(request.account),
        "pays_by_card": terms.pays_by_card,
        "may_bill": request.membership.role in MAY_BILL,
    }
    return render(request, "billing/trial_expired.html", context)
