"""What a client may send, in its parent's hands: throughput, daily limit and hours."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.selectors import get_child_for
from messaging.models import SendingTerms
from messaging.services.sending_terms import set_limits

FIELDS = ("throughput", "daily_limit", "dispatch_from", "dispatch_until")


def _count(label: str, help_text: str, least: int) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, help_text=help_text, min_value=least, max_value=100_000_000, required=False,
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={
            "invalid": "Enter a whole number, such as 500; empty = no limit.",
            "min_value": f"Enter {least} or more; empty = no limit.",
            "max_value": "Enter 100,000,000 or less; empty = no limit.",
        },
    )  # fmt: skip


def _hour(label: str) -> forms.TimeField:
    return forms.TimeField(
        label=label, required=False, widget=forms.TimeInput({"type": "time"}, "%H:%M"),
        error_messages={"invalid": "Enter a time, such as 08:00; empty = at any hour."},
    )  # fmt: skip


class LimitsForm(forms.Form):
    """A client's sending limits; empty fields do not limit."""

    throughput = _count("Throughput", "Messages a second; empty = as fast as the route goes.", 1)
    daily_limit = _count("Daily limit", "Messages in one day of the client's time zone; empty = no limit.", 0)
    dispatch_from = _hour("Time of dispatch, from")
    dispatch_until = _hour("Time of dispatch, until")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name, other in (("dispatch_from", "dispatch_until"), ("dispatch_until", "dispatch_from")):
            if data.get(name) is None and data.get(other) is not None and not {name, other} & set(self.errors):
                self.add_error(name, f"Enter both times, or none: {data[other]:%H:%M} stands alone.")
        return data


@tenant_view(MAY_MANAGE, parents_only=True)
def client_limits(request: TenantRequest, code: str) -> HttpResponse:
    """Show and change a client's sending limits."""
    client = get_child_for(request.account, code)
    terms = SendingTerms.objects.filter(account=client).first() or SendingTerms(account=client)
    form = LimitsForm(request.POST or None, initial={name: getattr(terms, name) for name in FIELDS})
    if request.method == "POST" and form.is_valid():
        set_limits(account=client, actor=request.user, **{name: form.cleaned_data[name] for name in FIELDS})
        messages.success(request, f"The sending limits of {client.name} are changed.")
        return redirect("clients:detail", client.code)
    return render(request, "clients/client_limits.html", {"client": client, "form": form})
