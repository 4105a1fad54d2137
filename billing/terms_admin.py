"""Staff's screen of who pays and how: what it would cost somebody is shown before it is saved."""

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.http import HttpRequest, QueryDict
from unfold.widgets import UnfoldBooleanSwitchWidget

from accounts.models import Account
from billing.exceptions import NotAllowed
from billing.models import BillingTerms
from billing.service_admin import ServiceAdmin
from billing.services.switching import plan_switch, switch_sentences
from billing.services.terms import EDITABLE, check_card, check_invoice, check_payer, create_terms, update_terms
from billing.services.trials import grant_trial_credit
from billing.wording import money_text

CONFIRMATION = ("confirm", "shown")
AMOUNTS_OF: dict[str, dict[str, str]] = {
    BillingTerms.Method.CARD_FIXED: {
        "fixed_topup": "Enter the amount that the client adds at a time, such as 50.00.",
    },
    BillingTerms.Method.CARD_VARIABLE: {
        "minimum_topup": "Enter the smallest amount that the client can add, such as 10.00.",
        "daily_topup_limit": "Enter the most that the client can add in 24 hours, such as 100.00.",
    },
}


class BillingTermsForm(forms.ModelForm):
    """Seed 1's labels. ``shown``: what the page said it would do; saved as it was shown, or said again."""

    confirm = forms.BooleanField(
        required=False, label="Do what is said above", widget=UnfoldBooleanSwitchWidget(),
        help_text="Another payment method, or a margin below zero: saving says first what it does, then asks for this.",
    )  # fmt: skip
    shown = forms.CharField(required=False, widget=forms.HiddenInput())
    expected_refund: Decimal | None = None

    class Meta:
        model = BillingTerms
        fields = (
            "account", "method", "fixed_topup", "minimum_topup", "daily_topup_limit", "sms_margin", "display_margin",
            "rate_card", "trial_ends_on", "trial_credit",
        )  # fmt: skip
        labels = {
            "method": "Payment Method", "fixed_topup": "Fixed Top Up Amount", "sms_margin": "SMS Margin",
            "minimum_topup": "Minimum Top Up Limit", "daily_topup_limit": "Daily Top Up Limit",
            "display_margin": "SMS Margin in its Settings", "trial_ends_on": "Trial Expiry Date",
            "trial_credit": "Trial Credit",
        }  # fmt: skip

    @property
    def changed_data(self) -> list[str]:
        """Without the confirmation, which is no change of the terms."""
        return [name for name in super().changed_data if name not in CONFIRMATION]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        account = data.get("account") or getattr(self.instance, "account", None)
        try:
            if account is not None and "method" in data:
                check_payer(account, data["method"])
                check_invoice(account, data["method"])
        except NotAllowed as error:
            self.add_error("method", str(error))
            return data
        try:
            if account is not None:
                check_card(account, data.get("rate_card"))
        except NotAllowed as error:
            self.add_error("rate_card", str(error))
            return data
        self._ask_for_amounts(data)
        said = {field: words for field, words in (self._of_method(data), self._of_margin(data)) if words}
        wanted = " ".join(said.values())
        if said and not (data.get("confirm") and data.get("shown") == wanted):
            for field, words in said.items():
                self.add_error(field, words)
            self.add_error("confirm", "Read what is said above, then switch this on and save again.")
            typed = cast(QueryDict, self.data).copy()
            typed.pop("confirm", None)
            typed["shown"] = wanted
            self.data = typed
        return data

    def _ask_for_amounts(self, data: dict[str, Any]) -> None:
        """A card method without its amounts would leave the account nothing that it could add."""
        daily = data.get("daily_topup_limit")
        for name, sentence in AMOUNTS_OF.get(data.get("method", ""), {}).items():
            amount = data.get(name)
            if amount is None and name not in self.errors:
                self.add_error(name, sentence)
            elif amount is not None and daily is not None and amount > daily:
                self.add_error(name, "This is above the Daily Top Up Limit; lower it, or raise the limit.")

    def _of_method(self, data: dict[str, Any]) -> tuple[str, str]:
        """What another payment method does to balance, credits and holds."""
        if self.instance._state.adding or "method" not in data or "method" not in self.changed_data:
            return "method", ""
        terms = BillingTerms.objects.select_related("account__parent").get(pk=self.instance.pk)
        plan = plan_switch(terms, data["method"])
        if plan.refusal:
            self.add_error("method", plan.refusal)
            return "method", ""
        self.expected_refund = plan.refund
        above = terms.account.parent.name if terms.account.parent else ""
        return "method", f"To {above}, whose client it is: {' '.join(switch_sentences(plan))}"

    def _of_margin(self, data: dict[str, Any]) -> tuple[str, str]:
        """What a margin below zero costs the account above, of each part."""
        margin, account = data.get("sms_margin"), data.get("account") or getattr(self.instance, "account", None)
        if account is None or margin is None or margin >= 0 or "sms_margin" not in self.changed_data:
            return "sms_margin", ""
        above = account.parent.name if account.parent else ""
        each = money_text(-margin, account.currency)
        return "sms_margin", f"Below zero: {above} would sell below its own price and pay {each} of each part itself."


@admin.register(BillingTerms)
class BillingTermsAdmin(ServiceAdmin):
    """Who pays and how; saved through the services, which note old and new values."""

    form = BillingTermsForm
    list_display = ("account", "method", "sms_margin", "display_margin", "rate_card", "trial_ends_on")
    list_filter = ("method",)
    list_select_related = ("account", "rate_card")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("account", "trial_closed_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whose terms they are first, and the confirmation below all that it is about."""
        closed = ("trial_closed_at",) if obj else ()
        return (*BillingTermsForm.Meta.fields, *closed, *reversed(CONFIRMATION))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "account":
            without = Account.objects.filter(parent__isnull=False, billing_terms=None)
            kwargs["queryset"] = without.order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "trial_credit":
            field.required = False
        return field

    def save_model(self, request: HttpRequest, obj: BillingTerms, form: Any, change: bool) -> None:
        values = {key: value for key, value in form.cleaned_data.items() if key in EDITABLE}
        actor: Any = request.user
        if change:
            terms = BillingTerms.objects.get(pk=obj.pk)
            update_terms(terms=terms, actor=actor, expected_refund=form.expected_refund, **values)
        else:
            create_terms(account=obj.account, actor=actor, **values)
            obj._state.adding = False
        total = form.cleaned_data.get("trial_credit")
        if total is not None:  # empty = what was given stays
            grant_trial_credit(account=obj.account, total=total, actor=actor)
