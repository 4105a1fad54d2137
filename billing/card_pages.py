"""BILLING, Cards: the cards that are kept, and adding credit from one automatically."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MAY_BILL, TenantRequest
from billing import selectors
from billing.card_forms import RechargeForm
from billing.exceptions import BillingError
from billing.models import AutoRecharge, BillingTerms
from billing.services.cards import remove_card
from billing.services.recharges import set_recharge, stop_recharge
from billing.views import billing_view


def _page(request: TenantRequest, terms: BillingTerms, form: RechargeForm | None = None) -> HttpResponse:
    cards = selectors.cards_of(request.account)
    recharge = AutoRecharge.objects.filter(account=request.account).select_related("card").first()
    context = {
        "cards": cards,
        "recharge": recharge,
        "terms": terms,
        "form": form or RechargeForm(initial=RechargeForm.initial_of(recharge), terms=terms, cards=cards),
        "currency": request.account.currency,
    }
    return render(request, "billing/cards.html", context)


@never_cache
@require_GET
@billing_view(MAY_BILL)
def cards(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """The cards that are kept, and the automatic recharge."""
    _only_card_terms(request, terms)
    return _page(request, terms)


@require_POST
@billing_view(MAY_BILL)
def card_remove(request: TenantRequest, terms: BillingTerms, code: str) -> HttpResponse:
    """Forget a card."""
    card = selectors.get_card_for(request.account, code)
    if remove_card(card=card, actor=request.user):
        messages.success(request, f"{card} is removed and will not be charged again.")
    return redirect("billing:cards")


@require_POST
@billing_view(MAY_BILL)
def recharge_save(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """Switch the automatic recharge on, or change it."""
    _only_card_terms(request, terms)
    form = RechargeForm(request.POST, terms=terms, cards=selectors.cards_of(request.account))
    if not form.is_valid():
        return _page(request, terms, form)
    try:
        set_recharge(
            account=request.account,
            threshold=form.cleaned_data["threshold"],
            amount=form.chosen_amount(),
            card=form.chosen_card(),
            actor=request.user,
        )
    except BillingError as error:
        form.add_error(None, str(error))
        return _page(request, terms, form)
    messages.success(request, "Automatic recharge is on.")
    return redirect("billing:cards")


@require_POST
@billing_view(MAY_BILL)
def recharge_stop(request: TenantRequest, terms: BillingTerms) -> HttpResponse:
    """Switch the automatic recharge off."""
    if stop_recharge(account=request.account, actor=request.user):
        messages.success(request, "Automatic recharge is off.")
    return redirect("billing:cards")


def _only_card_terms(request: TenantRequest, terms: BillingTerms) -> None:
    """404 where there is nothing to see: no card method and no card that could be removed."""
    if not terms.pays_by_card and not selectors.cards_of(request.account):
        raise Http404("This account does not pay by card.")
