"""The carriers' door: inbound messages over HTTP, stored before they are answered (docs/message-way.md)."""

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from messaging.services.http_inbound import BadCall, find_webhook, read_call, take_call

log = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def inbound(request: HttpRequest, code: str, secret: str) -> HttpResponse:
    """Take what a carrier posts. A route that does not exist and a wrong secret are both 404.

    400 names the field that cannot be read; 503 asks the carrier to come again.
    """
    try:
        webhook = find_webhook(code, secret)
        if webhook is None:
            raise Http404("No such webhook.")
        parts = read_call(webhook, request.content_type or "", request.body, request.POST)
        take_call(webhook, parts)
    except BadCall as error:
        log.warning("carrier.bad_call", route=code, detail=str(error))
        return HttpResponse(f"{error}\n", status=400, content_type="text/plain; charset=utf-8")
    except (OperationalError, InterfaceError) as error:
        log.warning("carrier.call_later", route=code, detail=str(error))
        return HttpResponse("Come again.\n", status=503, content_type="text/plain", headers={"Retry-After": "10"})
    return HttpResponse("OK\n", content_type="text/plain")
