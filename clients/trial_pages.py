"""A client's trial in its parent's hands: extend it, end it, make the client live."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.models import Account
from accounts.selectors import get_child_for
from billing.days import DayField
from billing.exceptions import TrialRefused
from billing.selectors import terms_of
from billing.services import trials
from billing.trial import Trial, local_date, trial_of


class ExtendForm(forms.Form):
    """The new last day."""

    ends_on = DayField(
        label="New last day",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        error_messages={"invalid": "Enter a date, such as 2027-01-31.", "required": "Choose the new last day."},
    )


@tenant_view(MAY_MANAGE, parents_only=True)
def client_trial(request: TenantRequest, code: str) -> HttpResponse:
    """Where the trial stands, and the three things to do about it; 404 for a client on no trial."""
    client = get_child_for(request.account, code)
    terms = terms_of(client)
    trial = trial_of(terms)
    if trial is None:
        raise Http404("No trial.")
    deed = request.POST.get("deed", "")
    form = ExtendForm(request.POST if deed == "extend" else None)
    form.fields["ends_on"].help_text = f"In the client's time zone, {client.time_zone.replace('_', ' ')}."
    if request.method == "POST" and _act(request, client, deed, form):
        return redirect("clients:detail", client.code)
    context = {"client": client, "trial": trial, "terms": terms, "form": form, "today": local_date(client)}
    return render(request, "clients/client_trial.html", context)


def _act(request: TenantRequest, client: Account, deed: str, form: ExtendForm) -> bool:
    """Do what the pressed button says; a refusal stands at the form and False is returned."""
    who: dict[str, Any] = {"account": client, "actor": request.user}
    try:
        if deed == "extend":
            if not form.is_valid():
                return False
            trials.extend_trial(ends_on=form.cleaned_data["ends_on"], **who)
        elif deed in DEEDS:
            DEEDS[deed](**who)
        else:
            return False
    except TrialRefused as error:
        if form.is_bound:
            form.add_error("ends_on", str(error))
        else:
            messages.error(request, str(error))
        return False
    messages.success(request, _outcome(client, deed, trial_of(terms_of(client))))
    return True


DEEDS: dict[str, Callable[..., None]] = {"end": trials.end_trial, "live": trials.make_live}


def _outcome(client: Account, deed: str, trial: Trial | None) -> str:
    if trial is None:
        return f"{client.name} is live."
    if deed == "end":
        return f"The trial of {client.name} has ended; it can send again once it adds credit."
    return f"The trial of {client.name} lasts until the end of {trial.ends_on:%Y-%m-%d}."
