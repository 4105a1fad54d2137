"""The carriers' door: what comes over HTTP is stored before it is answered (docs/message-way.md)."""

from collections.abc import Callable
from functools import partial

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from messaging.services.http_inbound import BadCall, find_webhook, read_call, take_call
from messaging.services.http_receipts import find_connector, read_receipts, take_receipts

log = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def inbound(request: HttpRequest, code: str, secret: str) -> HttpResponse:
    """Take what a carrier posts. A route that does not exist and a wrong secret are both 404.

    400 names the field that cannot be read; 503 asks the carrier to come again.
    """
    return _answer(code, partial(_take_inbound, request, code, secret))


@csrf_exempt
@require_http_methods(["GET", "POST"])
def receipts(request: HttpRequest, code: str, secret: str) -> HttpResponse:
    """Take receipts, one or many; some carriers bring theirs by GET. Answered as ``inbound``."""
    return _answer(code, partial(_take_receipts, request, code, secret))


def _take_inbound(request: HttpRequest, code: str, secret: str) -> None:
    webhook = find_webhook(code, secret)
    if webhook is None:
        raise Http404("No such webhook.")
    take_call(webhook, read_call(webhook, request.content_type or "", request.body, request.POST))


def _take_receipts(request: HttpRequest, code: str, secret: str) -> None:
    connector = find_connector(code, secret)
    if connector is None:
        raise Http404("No such webhook.")
    body, fields = request.body, request.POST or request.GET
    take_receipts(connector, read_receipts(connector, request.content_type or "", body, fields))


def _answer(code: str, store: Callable[[], None]) -> HttpResponse:
    try:
        store()
    except BadCall as error:
        log.warning("carrier.bad_call", route=code, detail=str(error))
        return HttpResponse(f"{error}\n", status=400, content_type="text/plain; charset=utf-8")
    except (OperationalError, InterfaceError) as error:
        log.warning("carrier.call_later", route=code, detail=str(error))
        return HttpResponse("Come again.\n", status=503, content_type="text/plain", headers={"Retry-After": "10"})
    return HttpResponse("OK\n", content_type="text/plain")
