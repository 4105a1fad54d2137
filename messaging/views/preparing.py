"""What goes to many between SEND SMS and its batch: a worker checks it, then its preview waits to be confirmed."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRefresh

from accounts.access import MAY_SEND, TenantRequest, tenant_view
from billing.selectors import shows_money
from messaging.exceptions import SendingError
from messaging.forms import PriceForm, SendForm
from messaging.models import Preparation
from messaging.preparing_progress import checked
from messaging.preview import from_json
from messaging.selectors import find_preparation
from messaging.services import preparing
from messaging.services.acceptance import batch_of_key
from messaging.views.send import show_form, show_preview


@never_cache
@require_http_methods(["GET", "POST"])
@tenant_view(MAY_SEND)
def preparation(request: TenantRequest, code: str) -> HttpResponse:
    """Checking, then the preview; ``step`` of a POST is send, preview (check again) or edit."""
    found = find_preparation(request.account, code)
    batch = found.batch if found else batch_of_key(request.account, code)
    if batch is not None:
        return redirect("messaging:batch-detail", code=batch.code)
    if found is None:
        raise Http404("No such sending.")
    step = request.POST.get("step")
    if step == "edit":
        return redirect(f"{reverse('messaging:send')}?draft={found.code}")
    if step == "preview":
        preparing.check_again(found)
        return redirect("messaging:send-prepared", code=code)
    if found.state == Preparation.State.CHECKING:
        context = {"preparation": found, "checked": checked(found)}
        return render(request, "messaging/send_checking.html", context)
    return _answer(request, found, is_sent=step == "send")


def _answer(request: TenantRequest, found: Preparation, *, is_sent: bool) -> HttpResponse:
    """What was checked: its preview, its batch once it ``is_sent``, or the form with what stands in the way."""
    form, price = SendForm(found.as_posted(), account=request.account), PriceForm(request.POST)
    if not form.is_valid():
        return show_form(request, form)
    if found.state == Preparation.State.ENDED:
        form.refuse(SendingError(found.refusal), found.refused_field)
        return show_form(request, form)
    if found.preview is None:
        raise Http404("Nothing was checked.")
    if not is_sent or not price.is_valid():
        preview = from_json(request.account, found.preview, shows_money=shows_money(request.account))
        return show_preview(request, form, preview, preparation=found)
    try:
        confirmed = form.confirmed(price.expected_price())
        batch = preparing.start_accepting(preparation=found, actor=request.user, confirmed=confirmed)
    except SendingError as error:
        form.refuse(error)
        return show_form(request, form)
    return redirect("messaging:batch-detail", code=batch.code)


@never_cache
@require_GET
@tenant_view(MAY_SEND)
def preparation_progress(request: TenantRequest, code: str) -> HttpResponse:
    """How far the check has come, for htmx, which loads the page again when it has ended."""
    found = find_preparation(request.account, code)
    if found is None:
        raise Http404("No such sending.")
    if not request.htmx:
        return redirect("messaging:send-prepared", code=code)
    if found.state != Preparation.State.CHECKING:
        return HttpResponseClientRefresh()
    context = {"preparation": found, "checked": checked(found)}
    return render(request, "messaging/_checking.html", context)
