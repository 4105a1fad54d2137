"""NUMBERS: giving a leased number to a client, taking it back, and releasing it, each after a confirmation."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.access import MAY_MANAGE, TenantRequest, tenant_view
from billing.exceptions import BillingError
from virtual_numbers.exceptions import NumberError
from virtual_numbers.forms import AllocateForm
from virtual_numbers.listing import row_of
from virtual_numbers.models import Lease, NumberSettings
from virtual_numbers.services import leasing
from virtual_numbers.views import keywords_on, of_lessee


def _context(request: TenantRequest, lease: Lease) -> dict[str, Any]:
    """What goes with the number when it changes hands."""
    return {
        "lease": lease, "number": lease.number, "row": row_of(request.account, lease), "keywords": keywords_on(lease),
        "has_settings": NumberSettings.objects.filter(lease=lease).exists(),
        "quarantine_days": settings.NUMBER_QUARANTINE_DAYS,
    }  # fmt: skip


@tenant_view(MAY_MANAGE, parents_only=True)
def allocate(request: TenantRequest, code: str) -> HttpResponse:
    """Choose a client, and read what it means; on POST the client has the number."""
    lease = of_lessee(request.account, code)
    form = AllocateForm(request.POST if request.method == "POST" else None, account=request.account)
    if request.method == "POST" and form.is_valid():
        client = form.cleaned_data["client"]
        if _do(request, lambda: leasing.allocate(lease=lease, child=client, actor=request.user)):
            messages.success(request, f"{client.name} uses {lease.number} from now on.")
        return redirect("numbers:detail", code)
    return render(request, "numbers/allocate.html", _context(request, lease) | {"form": form})


@tenant_view(MAY_MANAGE)
def take_back(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, then end the allocation; what the client set on the number goes."""
    lease = of_lessee(request.account, code)
    if lease.allocated_to is None:
        messages.info(request, f"{lease.number} is with no client.")
        return redirect("numbers:detail", code)
    if request.method == "POST":
        if _do(request, lambda: leasing.take_back(lease=lease, actor=request.user)):
            messages.success(request, f"{lease.number} is with you again.")
        return redirect("numbers:detail", code)
    return render(request, "numbers/take_back.html", _context(request, lease))


@tenant_view(MAY_MANAGE)
def release(request: TenantRequest, code: str) -> HttpResponse:
    """Ask, naming what ends with it, then give the number up."""
    lease = of_lessee(request.account, code)
    if request.method == "POST":
        if _do(request, lambda: leasing.release(lease=lease, actor=request.user)):
            messages.success(request, f"{lease.number} is released. It is not charged any more.")
        return redirect("numbers:list")
    return render(request, "numbers/release.html", _context(request, lease))


def _do(request: TenantRequest, deed: Callable[[], object]) -> bool:
    """Do it; what the service refuses is said, and False returned."""
    try:
        deed()
    except (BillingError, NumberError) as error:
        messages.error(request, str(error))
        return False
    return True
