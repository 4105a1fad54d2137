"""CLIENTS: the list, ADD CLIENT, a client's page, its form, suspension; SETTINGS, Clients & margin."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.exceptions import AccountError, CountryInUse, EmailTaken, WrongState
from accounts.models import Account
from accounts.selectors import get_child_for
from accounts.services.accounts import reactivate_account, suspend_account
from billing.exceptions import CreditPriceChanged, LiveForGood, MoneyStranded, TrialRefused
from billing.models import BillingTerms, CountryMargin
from billing.selectors import balance_of, credits_of, shows_money, terms_of
from billing.trial import trial_of
from clients import listing, selectors, wording
from clients.allocation import confirm_loss
from clients.forms import ClientForm, DefaultsForm, StatusForm
from clients.holdings import holdings_of
from clients.localisation import mobile_hint, zone_groups
from clients.losses import CONFIRMATION, MarginField, typed_loss
from clients.margin_pages import margin_rows
from clients.prices import PriceExample, client_price, example_price
from clients.services.clients import create_client, update_client
from clients.services.defaults import update_defaults
from clients.switching import confirm_switch, switch_of
from clients.terms_form import TermsForm
from messaging.limits import limit_words
from virtual_numbers.exceptions import NumberError


@require_GET
@tenant_view(parents_only=True)
def client_list(request: TenantRequest) -> HttpResponse:
    """The account's clients: search, filter, sorting, pages."""
    found = listing.list_clients(request.account, listing.Wanted.from_query(request.GET), request.GET.get("page", ""))
    context = {
        "found": found,
        "columns": listing.columns_for(found.wanted, shows_money(request.account)),
        "statuses": Account.Status.choices,
        "may_manage": request.membership.role in MAY_MANAGE,
        "has_clients": found.page.paginator.count or Account.objects.children_of(request.account).exists(),
    }
    return render(request, "clients/client_list.html", context)


@sensitive_post_parameters("password")
@tenant_view(MAY_MANAGE, parents_only=True)
def add_client(request: TenantRequest) -> HttpResponse:
    """Seed 1's form, empty but for the reseller's defaults."""
    parent, sees_money = request.account, shows_money(request.account)
    initial = selectors.starting_values(parent)
    form = ClientForm(_posted(request), account=parent, sees_money=sees_money, initial=initial)
    if request.method == "POST" and form.is_valid():
        who: dict[str, Any] = {"parent": parent, "actor": request.user, "welcome": form.cleaned_data["welcome"]}
        client = _save(form, lambda values: create_client(values=values, **who))
        if client is not None:
            messages.success(request, f"{client.name} is set up and can log in as {form.cleaned_data['email']}.")
            return redirect("clients:detail", client.code)
    return render(request, "clients/add_client.html", _form_context(parent, form, sees_money))


@sensitive_post_parameters("password")
@tenant_view(MAY_MANAGE, parents_only=True)
def edit_client(request: TenantRequest, code: str) -> HttpResponse:
    """The same form, filled with what the client has."""
    client, sees_money = get_child_for(request.account, code), shows_money(request.account)
    who: dict[str, Any] = {"account": request.account, "sees_money": sees_money, "client": client}
    form = ClientForm(_posted(request), initial=selectors.values_of(client), **who)
    confirmation = loss = None
    if request.method == "POST" and form.is_valid():
        change = switch_of(client, form.cleaned_data["method"])
        confirmation = confirm_switch(change, request.POST.get("confirmed", ""), sees_money)
        loss = confirm_loss(client, form.cleaned_data["allocation"], request.POST.get("confirmed_loss", ""))
        if confirmation is None and loss is None:
            changed = get_child_for(request.account, code)  # a refused change must not show in the page's heading
            who = {"client": changed, "actor": request.user, "expected_refund": change.refund if change else None}
            if _save(form, lambda values: update_client(values=values, **who)) is not None:
                messages.success(request, f"{changed.name} is updated.")
                return redirect("clients:detail", client.code)
    terms = terms_of(client)
    context = _form_context(request.account, form, sees_money, client)
    context |= {"client": client, "client_pays": terms is not None and terms.shows_money, "confirmation": confirmation}
    context["number_loss"] = loss
    context["payment_words"] = wording.payment_words(terms, client.currency) if terms and sees_money else []
    return render(request, "clients/edit_client.html", context)


def _posted(request: TenantRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _save(form: ClientForm, deed: Callable[[Any], Account]) -> Account | None:
    """Do the deed with the form's values; a refusal is put at its field and None returned."""
    try:
        return deed(form.values())
    except EmailTaken as error:  # someone took it between the form's look and the write
        form.add_error("email", str(error))
    except (MoneyStranded, CreditPriceChanged) as error:
        form.add_error("method", str(error))
    except TrialRefused as error:
        form.add_error("trial" if isinstance(error, LiveForGood) else "trial_credit", str(error))
    except NumberError as error:
        form.add_error("allocation", str(error))
    except CountryInUse as error:
        form.add_error("country", str(error))
    except AccountError as error:
        form.add_error(None, str(error))
    return None


def _form_context(parent: Account, form: TermsForm, sees_money: bool, client: Account | None = None) -> dict[str, Any]:
    context: dict[str, Any] = {"form": form, "currency": parent.currency}
    if sees_money:
        terms = terms_of(parent)
        context["preview"] = _preview(parent, form.chosen_country, form["sms_margin"].value(), client)
        if CONFIRMATION in form.fields:  # SETTINGS begin no client below the own price
            context["loss"] = typed_loss(form["sms_margin"].value())
            context["accepts_loss"] = bool(form[CONFIRMATION].value())
        context["preview_countries"] = form["country"].field.choices[1:]  # type: ignore[attr-defined]
        if terms is not None:
            context["display_price"] = example_price(parent, form.chosen_country, terms.display_margin)
    return context


def _preview(parent: Account, country: str, margin: Any, client: Account | None = None) -> PriceExample:
    """The price of a part with a margin as it is being typed, or with the client's own one for that country."""
    own = CountryMargin.objects.filter(account=client, country=country).first() if client else None
    if own is not None:
        return replace(example_price(parent, country, own.sms_margin), is_of_country=True)
    field = MarginField(required=False)
    try:
        return example_price(parent, country, field.clean(field.prepare_value(margin) or "0"))
    except ValidationError:
        return PriceExample(
            country, parent.currency, error="Enter an SMS margin such as 0.02 to see the client's price."
        )


@require_GET
@tenant_view(MAY_MANAGE, parents_only=True)
def price_preview(request: TenantRequest) -> HttpResponse:
    """Own price and client's price in a country, for the form as it is being filled in."""
    if not shows_money(request.account):
        return HttpResponse(status=204)
    country = request.GET.get("preview_country") or request.GET.get("country", "")
    client = get_child_for(request.account, request.GET["client"]) if request.GET.get("client") else None
    preview = _preview(request.account, country, request.GET.get("sms_margin", ""), client)
    loss = None if "defaults" in request.GET else typed_loss(request.GET.get("sms_margin", ""))
    context = {"preview": preview, "loss": loss}
    return render(request, "clients/_price_preview.html", context | {"accepts_loss": CONFIRMATION in request.GET})


@require_GET
@tenant_view(MAY_MANAGE, parents_only=True)
def time_zones(request: TenantRequest) -> HttpResponse:
    """The time zones to choose from when another country is chosen, and how its mobile numbers look."""
    country, chosen = request.GET.get("country", ""), request.GET.get("time_zone", "")
    groups = zone_groups(country)
    own = [zone for zone, _ in groups[0][1]] if len(groups) > 1 else []
    context = {
        "groups": groups,
        "chosen": chosen if chosen in own or not own else own[0],
        "mobile_hint": mobile_hint(country),
    }
    return render(request, "clients/_time_zones.html", context)


@require_GET
@tenant_view(parents_only=True)
def client_detail(request: TenantRequest, code: str) -> HttpResponse:
    """A client's page: terms in words, activity, people, history."""
    client = get_child_for(request.account, code)
    terms, activity = terms_of(client), selectors.activity_of(request.account, client)
    context = {
        "client": client,
        "terms": terms,
        "trial": trial_of(terms),
        "words": wording.words_of(client, terms) if shows_money(request.account) else None,
        "balance": balance_of(client) if terms and terms.shows_money else None,
        "credits": credits_of(client) if terms and terms.method == BillingTerms.Method.SMS_CREDITS else None,
        "had_credits": client.credit_lots.exists(),
        "margins": margin_rows(request.account, client) if terms and terms.shows_money else [],
        "activity": activity,
        "holdings": holdings_of(client),
        "limits": limit_words(client),
        "deeds": wording.deeds_of(request.account, activity.entries),
        "price": client_price(request.account, client, terms) if shows_money(request.account) else None,
        "may_manage": request.membership.role in MAY_MANAGE,
    }
    return render(request, "clients/client_detail.html", context)


@tenant_view(MAY_MANAGE, parents_only=True)
def suspend_client(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then stop a client's log-in and sending."""
    return _change_status(request, code, suspend_account, "clients/suspend_client.html", "suspended")


@tenant_view(MAY_MANAGE, parents_only=True)
def reactivate_client(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then let a suspended client in again."""
    return _change_status(request, code, reactivate_account, "clients/reactivate_client.html", "active again")


def _change_status(
    request: TenantRequest, code: str, deed: Callable[..., None], template: str, outcome: str
) -> HttpResponse:
    client = get_child_for(request.account, code)
    form = StatusForm(_posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            deed(account=client, actor=request.user, reason=form.cleaned_data["reason"])
        except WrongState as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{client.name} is {outcome}.")
        return redirect("clients:detail", client.code)
    return render(request, template, {"client": client, "form": form})


@tenant_view(MAY_MANAGE, parents_only=True)
def client_defaults(request: TenantRequest) -> HttpResponse:
    """SETTINGS: the display price for billed clients, and what ADD CLIENT starts from."""
    account, sees_money = request.account, shows_money(request.account)
    terms = terms_of(account)
    initial = selectors.defaults_form_values(selectors.defaults_of(account))
    initial["display_margin"] = terms.display_margin if terms else None
    form = DefaultsForm(_posted(request), account=account, sees_money=sees_money, initial=initial)
    if request.method == "POST" and form.is_valid():
        update_defaults(account=account, actor=request.user, **form.values())
        messages.success(request, "Your margin and the defaults for new clients are saved.")
        return redirect("clients:defaults")
    return render(request, "clients/defaults.html", _form_context(account, form, sees_money))
