"""CLIENTS, a client, CREDITS: transfer SMS credits, take them back, and hear when they run low."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from accounts.models import Account
from accounts.selectors import get_child_for
from billing.exceptions import BillingError
from billing.models import CREDITS, BillingTerms, LedgerAccount, LedgerEntry, LedgerTransaction, NoticeTerms
from billing.selectors import Balance, balance_of, credits_of, shows_money, terms_of
from billing.services.credits import (
    MOST_CREDITS,
    CreditOffer,
    TakeBack,
    lots_of,
    offer_for,
    plan_take_back,
    take_back_credits,
    transfer_credits,
)
from billing.services.notices import set_notices
from billing.statements import names_of
from billing.wording import credits_text, money_text

HISTORY_PAGE = 25
Kind = LedgerTransaction.Kind
WORDS = {
    Kind.CREDITS: "Transferred",
    Kind.TAKEBACK: "Taken back",
    Kind.HOLD: "Set aside for messages",
    Kind.RELEASE: "Given back for messages not sent",
}


class CreditForm(forms.Form):
    """A number of credits, and on the second step the price that was shown and the key that makes it happen once."""

    quantity = forms.IntegerField(
        label="SMS credits",
        min_value=1,
        max_value=MOST_CREDITS,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={
            "required": "Enter how many credits.",
            "invalid": "Enter a whole number, such as 500.",
            "min_value": "Enter 1 or more.",
            "max_value": f"Enter {MOST_CREDITS:,} or less.",
        },
    )
    amount = forms.DecimalField(required=False, widget=forms.HiddenInput)
    key = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)


class NoticeForm(forms.Form):
    """Below how many credits client and parent get a mail."""

    credits_limit = forms.IntegerField(
        label="Low credits",
        required=False,
        min_value=1,
        max_value=MOST_CREDITS,
        help_text="You and the client are mailed once each time that fewer than this are left; empty = no mail.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={
            "invalid": "Enter a whole number, such as 100; empty = no mail.",
            "min_value": "Enter 1 or more; empty = no mail.",
            "max_value": f"Enter {MOST_CREDITS:,} or less; empty = no mail.",
        },
    )


@dataclass(frozen=True)
class Proposal:
    """A transfer or take-back as it would be done, to be confirmed. ``amount`` None where no money is shown."""

    quantity: int
    amount: Decimal | None
    key: str
    left: Balance | None = None  # the wallet that would pay, as it is now

    @property
    def after(self) -> Decimal | None:
        return self.left.available - self.amount if self.left and self.amount is not None else None

    @property
    def shortfall(self) -> Decimal:
        return -self.after if self.after is not None and self.after < 0 else Decimal(0)


@tenant_view(MAY_MANAGE, parents_only=True)
def client_credits(request: TenantRequest, code: str) -> HttpResponse:
    """Balance, lots and history of a client's credits, with what its parent can do about them."""
    client = get_child_for(request.account, code)
    terms = terms_of(client)
    sends_with_them = terms is not None and terms.method == BillingTerms.Method.SMS_CREDITS
    lots = list(reversed(lots_of(client)))
    if not sends_with_them and not lots:
        raise Http404("No SMS credits.")
    page = _Page(request, client)
    if request.method == "POST" and page.act(request.POST.get("deed", "")):
        return redirect("clients:credits", client.code)
    history = _history(client, request.GET.get("page", ""))
    context = page.context() | {
        "lots": lots,
        "sends_with_them": sends_with_them,
        "history": history,
        "movements": _movements(request.account, history),
    }
    return render(request, "clients/client_credits.html", context)


def _history(client: Account, number: str) -> Page[LedgerEntry]:
    wallet = LedgerAccount.objects.filter(owner=client, kind=LedgerAccount.Kind.WALLET, currency=CREDITS)
    entries = LedgerEntry.objects.filter(ledger_account__in=wallet).select_related("transaction")
    return Paginator(entries.order_by("-pk"), HISTORY_PAGE).get_page(number)


def _movements(viewer: Account, history: Page[LedgerEntry]) -> list[tuple[str, str, LedgerEntry]]:
    """What, who and the entry; people above the viewer stay unnamed, as on its statement."""
    moved = [entry.transaction for entry in history]
    people = names_of(viewer, {movement.actor_id for movement in moved if movement.actor_id})
    return [
        (WORDS[Kind(entry.transaction.kind)], people.get(entry.transaction.actor_id or 0, "the portal"), entry)
        for entry in history
    ]


class _Page:
    """The page's forms and what a press of their buttons does."""

    def __init__(self, request: TenantRequest, client: Account) -> None:
        self.request, self.client = request, client
        self.sees_money = shows_money(request.account)
        self.transfer = CreditForm(auto_id="transfer_%s")
        self.back = CreditForm(auto_id="back_%s")
        found = NoticeTerms.objects.filter(account=client).first()
        self.notice = NoticeForm(initial={"credits_limit": found.credits_limit if found else None})
        self.proposals: dict[str, Any] = {}

    def context(self) -> dict[str, Any]:
        offer, refusal = self._offer()
        return {
            "client": self.client,
            "balance": credits_of(self.client),
            "transfer_form": self.transfer,
            "back_form": self.back,
            "notice_form": self.notice,
            "offer": offer if self.sees_money else None,
            "refusal": refusal,
            **self.proposals,
        }

    def _offer(self) -> tuple[CreditOffer | None, str]:
        try:
            return offer_for(self.client), ""
        except BillingError as error:
            return None, str(error)

    def act(self, deed: str) -> bool:
        """Do what the pressed button says; False = show the page, with the price to confirm or what is wrong."""
        if deed == "notice":
            return self._set_notice()
        steps = {
            "price": self._propose_transfer, "transfer": self._do_transfer, "back": self._propose_back,
            "take-back": self._do_back,
        }  # fmt: skip
        if deed not in steps:
            return False
        name = "transfer" if deed in ("price", "transfer") else "back"
        form = CreditForm(self.request.POST, auto_id=f"{name}_%s")
        setattr(self, name, form)
        if not form.is_valid():
            return False
        try:
            return steps[deed](form.cleaned_data)
        except BillingError as error:
            form.add_error("quantity", str(error))
            return False

    def _propose_transfer(self, data: dict[str, Any]) -> bool:
        offer, quantity = offer_for(self.client), data["quantity"]
        amount = offer.total(quantity) if self.sees_money else None
        left = balance_of(offer.payer) if self.sees_money else None
        self.proposals["proposal"] = Proposal(quantity, amount, uuid.uuid4().hex, left)
        return False

    def _do_transfer(self, data: dict[str, Any]) -> bool:
        quantity = data["quantity"]
        if not data["key"] or (self.sees_money and data["amount"] is None):
            return self._propose_transfer(data)
        transfer_credits(
            client=self.client, quantity=quantity, actor=self.request.user, idempotency_key=data["key"],
            expected_price=data["amount"] if self.sees_money else None,
        )  # fmt: skip
        messages.success(self.request, f"{self.client.name} got {credits_text(quantity)}.")
        return True

    def _propose_back(self, data: dict[str, Any]) -> bool:
        plan: TakeBack = plan_take_back(self.client, data["quantity"])
        amount = plan.refund if self.sees_money else None
        self.proposals |= {"back_proposal": Proposal(plan.quantity, amount, uuid.uuid4().hex)}
        if self.sees_money:
            self.proposals |= {"pieces": plan.pieces}
        return False

    def _do_back(self, data: dict[str, Any]) -> bool:
        if not data["key"] or (self.sees_money and data["amount"] is None):
            return self._propose_back(data)
        quantity, amount = data["quantity"], data["amount"] if self.sees_money else None
        take_back_credits(
            client=self.client, quantity=quantity, actor=self.request.user, expected_refund=amount,
            idempotency_key=data["key"],
        )  # fmt: skip
        returned = f" {money_text(amount, self.client.currency)} came back." if amount is not None else ""
        messages.success(self.request, f"{credits_text(quantity)} taken back from {self.client.name}.{returned}")
        return True

    def _set_notice(self) -> bool:
        self.notice = NoticeForm(self.request.POST)
        if not self.notice.is_valid():
            return False
        limit = self.notice.cleaned_data["credits_limit"]
        set_notices(account=self.client, actor=self.request.user, credits_limit=limit)
        said = (
            f"You hear of it when fewer than {credits_text(limit)} are left." if limit else "No mail about low credits."
        )
        messages.success(self.request, said)
        return True
