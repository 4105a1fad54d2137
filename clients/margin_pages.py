"""CLIENTS, a client, MARGINS: what the parent adds for single countries in place of its general margin."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.countries import country_choices, country_name
from accounts.models import Account
from accounts.selectors import get_child_for
from accounts.widgets import LongSelect
from billing.models import CountryMargin
from billing.selectors import shows_money, terms_of
from billing.services.margins import remove_country_margin, set_country_margin
from clients.losses import CONFIRMATION, MarginField, check_margin, confirmation_field, typed_loss
from clients.prices import PriceExample, example_price


class MarginForm(forms.Form):
    """A country and what is added to the parent's price there."""

    country = forms.ChoiceField(label="Country", widget=LongSelect, error_messages={"required": "Choose a country."})
    sms_margin = MarginField(
        label="SMS Margin",
        help_text="Added to your own price of each part to this country, in place of the general margin. "
        "Below zero you pay that much of each part yourself.",
        error_messages={"required": "Enter the margin; 0.00 = none."},
    )
    accept_loss = confirmation_field()

    def __init__(self, *args: Any, account: Account, parent: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parent = parent
        self.fields["country"].choices = [("", "Choose a country"), *country_choices()]  # type: ignore[attr-defined]
        self.fields["sms_margin"].currency = account.currency  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "sms_margin" in data and "country" in data:
            try:
                check_margin(self.parent, data["country"], data["sms_margin"], data[CONFIRMATION])
            except ValidationError as error:
                self.add_error("sms_margin", error)
        return data

    @property
    def loss(self) -> Decimal | None:
        """What the parent would pay of each part, as it stands in the form."""
        return typed_loss(self["sms_margin"].value())


@dataclass(frozen=True)
class MarginRow:
    """A country's margin and what a part to an ordinary mobile there comes to."""

    country: str
    margin: Decimal
    example: PriceExample

    @property
    def name(self) -> str:
        return country_name(self.country)


def margin_rows(parent: Account, client: Account) -> list[MarginRow]:
    """The client's margins for single countries, by country name."""
    found = CountryMargin.objects.filter(account=client)
    rows = [MarginRow(one.country, one.sms_margin, example_price(parent, one.country, one.sms_margin)) for one in found]
    return sorted(rows, key=lambda row: row.name)


@tenant_view(MAY_MANAGE, parents_only=True)
def client_margins(request: TenantRequest, code: str) -> HttpResponse:
    """The table, a row to add or change, and a button to remove each; 404 where the client pays no price of its own."""
    client = get_child_for(request.account, code)
    terms = terms_of(client)
    if terms is None or not terms.shows_money or not shows_money(request.account):
        raise Http404("No margins.")
    form = MarginForm(account=client, parent=request.account)
    if request.method == "POST" and "remove" in request.POST:
        return _remove(request, client, request.POST["remove"])
    if request.method == "POST":
        form = MarginForm(request.POST, account=client, parent=request.account)
        if form.is_valid():
            return _set(request, client, form.cleaned_data)
    context = {"client": client, "terms": terms, "form": form, "rows": margin_rows(request.account, client)}
    return render(request, "clients/client_margins.html", context)


def _set(request: TenantRequest, client: Account, data: dict[str, Any]) -> HttpResponse:
    set_country_margin(account=client, country=data["country"], margin=data["sms_margin"], actor=request.user)
    messages.success(request, f"The margin for {country_name(data['country'])} counts from the next send on.")
    return redirect("clients:margins", client.code)


def _remove(request: TenantRequest, client: Account, country: str) -> HttpResponse:
    if remove_country_margin(account=client, country=country, actor=request.user):
        messages.success(request, f"Your general margin holds for {country_name(country)} again.")
    return redirect("clients:margins", client.code)
