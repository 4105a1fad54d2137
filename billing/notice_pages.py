"""SETTINGS, Notices: when and where an account hears of a low balance."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_BILL, TenantRequest, tenant_view
from accounts.models import Account
from billing.models import BillingTerms, NoticeTerms
from billing.people import owner_email
from billing.selectors import terms_of
from billing.services.notices import set_notices


class NoticeForm(forms.ModelForm):
    """Takes ``account`` and ``terms``: money or SMS credits, whichever the account spends."""

    class Meta:
        model = NoticeTerms
        fields = ("limit", "credits_limit", "email", "tells_of_clients")
        labels = {
            "limit": "Notification limit", "credits_limit": "Notification limit",
            "email": "Notification e-mail", "tells_of_clients": "Tell me when my clients run low",
        }  # fmt: skip

    def __init__(self, *args: Any, account: Account, terms: BillingTerms, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["limit" if terms.method == BillingTerms.Method.SMS_CREDITS else "credits_limit"]
        if not (account.can_have_children and terms.shows_money):
            del self.fields["tells_of_clients"]
        self._describe(account)

    def _describe(self, account: Account) -> None:
        words = "A mail is sent once each time that less than this can be spent; empty = no mail."
        if "limit" in self.fields:
            self.fields["limit"] = forms.DecimalField(
                label="Notification limit", required=False, min_value=0, max_digits=18, decimal_places=6,
                help_text=f"In {account.currency}. {words}",
                widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
                error_messages={"invalid": "Enter an amount in figures, such as 20.00; empty = no mail."},
            )  # fmt: skip
            if self.initial.get("limit") is not None:
                self.initial["limit"] = f"{self.initial['limit'].normalize():f}"
        else:
            self.fields["credits_limit"].help_text = f"In SMS credits. {words}"
        self.fields["email"].help_text = f"Empty = the owner's, {owner_email(account) or 'once there is one'}."
        if "tells_of_clients" in self.fields:
            self.fields[
                "tells_of_clients"
            ].help_text = "A mail when clients fall below the notification limit that was set for them."

    def clean_limit(self) -> Any:
        return self.cleaned_data["limit"] or None  # 0 can never be passed from above: the same as no mail

    def clean_credits_limit(self) -> Any:
        return self.cleaned_data["credits_limit"] or None


@tenant_view(MAY_BILL)
def notices(request: TenantRequest) -> HttpResponse:
    """One form; 404 for an account that sees neither money nor credits (PRODUCT.md, money rule 3)."""
    account, terms = request.account, terms_of(request.account)
    if terms is None or terms.method == BillingTerms.Method.BILL_TO_PARENT:
        raise Http404("No notices.")
    stored = NoticeTerms.objects.filter(account=account).first() or NoticeTerms(account=account)
    posted = request.POST if request.method == "POST" else None
    form = NoticeForm(posted, instance=stored, account=account, terms=terms)
    if request.method == "POST" and form.is_valid():
        set_notices(account=account, actor=request.user, **form.cleaned_data)
        messages.success(request, "Your notices are saved.")
        return redirect("billing:notices")
    return render(request, "billing/notices.html", {"form": form})
