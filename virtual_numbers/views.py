"""NUMBERS: what the account has, what it can lease, and a number's page with its settings."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MAY_MANAGE, MAY_SEND, TenantRequest, tenant_view
from accounts.models import Account
from billing.exceptions import BillingError
from billing.months import month_after
from billing.selectors import balance_of, shows_money
from billing.trial import local_date
from contacts import merge
from contacts.selectors import field_names
from virtual_numbers import listing
from virtual_numbers.action_forms import ActionsForm
from virtual_numbers.exceptions import NumberError
from virtual_numbers.forms import LabelForm, LeaseForm
from virtual_numbers.listing import OfferedNumber
from virtual_numbers.models import Lease, NumberSettings, VirtualNumber
from virtual_numbers.selectors import get_lease_for, may_lease
from virtual_numbers.services import leasing
from virtual_numbers.services import settings as number_settings

GONE = "This number cannot be leased any more: somebody else was faster. Choose another one."


@require_GET
@tenant_view()
def number_list(request: TenantRequest) -> HttpResponse:
    """The numbers that the account leases or uses."""
    context = {
        "rows": listing.rows_of(request.account),
        "shows_prices": shows_money(request.account),
        "may_lease": may_lease(request.account),
        "may_manage": request.membership.role in MAY_MANAGE,
    }
    return render(request, "numbers/number_list.html", context)


# --- Leasing -------------------------------------------------------------------------------------------------------


def _only_for_buyers(request: TenantRequest) -> None:
    """404 for an account that has the numbers which its parent gives it: it has no list to pick from."""
    if not may_lease(request.account):
        raise Http404("This account leases no numbers itself.")


@require_GET
@tenant_view(MAY_MANAGE)
def offers(request: TenantRequest) -> HttpResponse:
    """What can be leased, by country, type and digits, each at its price to this account."""
    _only_for_buyers(request)
    wanted = listing.Wanted.from_query(request.GET)
    can_pay = listing.can_be_paid(request.account)
    context = {
        "found": listing.list_offers(request.account, wanted, request.GET.get("page", "")) if can_pay else None,
        "wanted": wanted,
        "kinds": VirtualNumber.Kind.choices,
        "shows_prices": shows_money(request.account),
    }
    return render(request, "numbers/offers.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@tenant_view(MAY_MANAGE)
def lease_number(request: TenantRequest, code: str) -> HttpResponse:
    """What it costs now and next; on POST leases the number, or says why not."""
    _only_for_buyers(request)
    offered = listing.offer_of(request.account, code) if listing.can_be_paid(request.account) else None
    if offered is None:
        messages.error(request, GONE)
        return redirect("numbers:offers")
    form = LeaseForm(_posted(request))
    if request.method == "POST" and form.is_valid():
        made = _lease(request, offered.number, form)
        if made is not None:
            messages.success(request, f"{made.number} is yours from now on.")
            return redirect("numbers:detail", made.code)
        offered = listing.offer_of(request.account, code)  # what it costs, and whether it is there, may have changed
        if offered is None:
            messages.error(request, GONE)
            return redirect("numbers:offers")
    return render(request, "numbers/lease.html", _confirmation(request, offered, form))


def _lease(request: TenantRequest, number: VirtualNumber, form: LeaseForm) -> Lease | None:
    account = request.account
    shown = form.expected_price()
    if shown is None and shows_money(account):
        form.add_error(None, "Look at the price below, then confirm it.")
        return None
    try:
        return leasing.lease(
            account=account, number=number, expected=shown, label=form.cleaned_data["label"], actor=request.user
        )
    except (BillingError, NumberError) as error:
        form.add_error(None, str(error))
    return None


def _confirmation(request: TenantRequest, offered: OfferedNumber, form: LeaseForm) -> dict[str, Any]:
    account = request.account
    today = local_date(account, timezone.now())
    context: dict[str, Any] = {
        "offered": offered, "form": form, "today": today, "next_renewal": month_after(today, today.day),
        "shows_prices": shows_money(account),
    }  # fmt: skip
    if context["shows_prices"]:
        balance = balance_of(account)
        now = offered.offer.now if offered.offer else Decimal(0)
        left = balance.available - now
        context |= {"balance": balance, "left": left, "missing": -left if left < 0 else None, "expected": f"{now:.6f}"}
    return context


def _posted(request: TenantRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


# --- A number's page -----------------------------------------------------------------------------------------------


def number_page(
    request: TenantRequest,
    lease: Lease,
    *,
    form: ActionsForm | None = None,
    label_form: LabelForm | None = None,
    secret: str = "",
) -> HttpResponse:
    """The page of a number; ``secret``: the one that was made just now, shown this once."""
    account = request.account
    row = listing.row_of(account, lease)
    stored = NumberSettings.objects.filter(lease=lease).select_related("contact_list").first()
    role = request.membership.role
    context: dict[str, Any] = {
        "row": row, "lease": lease, "number": lease.number, "secret": secret,
        "label_form": label_form or LabelForm(initial={"label": lease.label}),
        "may_manage": role in MAY_MANAGE, "may_set": role in MAY_SEND,
        "may_allocate": row.is_mine and account.can_have_children,
        "shows_prices": shows_money(account),
    }  # fmt: skip
    if row.is_used:
        context |= {
            "form": form or ActionsForm(account=account, initial=ActionsForm.initial_of(stored)),
            "has_secret": bool(stored and stored.webhook_secret),
            "merge_fields": [*merge.STANDARD, *field_names(account)],
            "keywords": keywords_on(lease),
        }
    return render(request, "numbers/detail.html", context)


def keywords_on(lease: Lease) -> list[Any]:
    """The keywords in force that the number's user has on it; their room is above, and hangs them on the number."""
    number: Any = lease.number
    return list(number.keywords.filter(account=lease.holder_id, ended_at=None).order_by("word"))


@never_cache
@require_GET
@tenant_view()
def detail(request: TenantRequest, code: str) -> HttpResponse:
    """What the number is, costs and does."""
    return number_page(request, get_lease_for(request.account, code))


@require_POST
@tenant_view(MAY_SEND)
def label(request: TenantRequest, code: str) -> HttpResponse:
    """Name the number."""
    lease = of_lessee(request.account, code)
    form = LabelForm(request.POST)
    if not form.is_valid():
        return number_page(request, lease, label_form=form)
    try:
        number_settings.label_lease(lease=lease, label=form.cleaned_data["label"], actor=request.user)
    except NumberError as error:
        messages.error(request, str(error))
        return redirect("numbers:list")
    messages.success(request, "The label is saved.")
    return redirect("numbers:detail", code)


@never_cache
@require_POST
@tenant_view(MAY_SEND)
def save_settings(request: TenantRequest, code: str) -> HttpResponse:
    """Keep what messages to the number do; the page after it shows a new secret once."""
    lease = _of_holder(request.account, code)
    form = ActionsForm(request.POST, account=request.account)
    if not form.is_valid():
        return number_page(request, lease, form=form)
    try:
        secret = number_settings.save_settings(
            lease=lease, holder=request.account, actor=request.user, **form.actions()
        )
    except NumberError as error:
        messages.error(request, str(error))
        return redirect("numbers:list")
    if secret:
        return number_page(request, lease, secret=secret)
    messages.success(request, "The settings are saved.")
    return redirect("numbers:detail", code)


@never_cache
@require_POST
@tenant_view(MAY_SEND)
def renew_secret(request: TenantRequest, code: str) -> HttpResponse:
    """Sign what is posted to the URL with another secret, shown once on the page that follows."""
    lease = _of_holder(request.account, code)
    try:
        secret = number_settings.renew_secret(lease=lease, holder=request.account, actor=request.user)
    except NumberError as error:
        messages.error(request, str(error))
        return redirect("numbers:list")
    return number_page(request, lease, secret=secret)


def _of_holder(account: Account, code: str) -> Lease:
    """The lease of a number that the account uses itself; 404 for one that it gave to a client."""
    lease = get_lease_for(account, code)
    if lease.holder_id != account.pk:
        raise Http404("This number is used by a client.")
    return lease


def of_lessee(account: Account, code: str) -> Lease:
    """The lease of a number that the account pays for; 404 for one that was allocated to it."""
    lease = get_lease_for(account, code)
    if lease.account_id != account.pk:
        raise Http404("This number is leased by somebody else.")
    return lease
