"""What tests ask of the double: hold webhooks, release them in another order, send one again, pay without a browser."""

from typing import Any

from aiohttp import web

from reseller.stripe_double import payments
from reseller.stripe_double.api import COURIER, STATE

routes = web.RouteTableDef()


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Whether the double runs, and how many events wait for the portal."""
    return web.json_response({"status": "ok", "undelivered": len(request.app[COURIER].pending())})


@routes.get("/_double/events")
async def list_events(request: web.Request) -> web.Response:
    """All events, oldest first, with how their delivery went. `?reference=` shows one top-up's."""
    state, wanted = request.app[STATE], request.query.get("reference")
    rows: list[dict[str, Any]] = []
    for event_id, event in state.events.items():
        body, delivery = event["data"]["object"], state.deliveries[event_id]
        reference = body.get("client_reference_id") or body["metadata"].get("reference", "")
        if wanted in (None, reference):
            delivered = bool(delivery.delivered_at)
            row = {"id": event_id, "type": event["type"], "reference": reference, "delivered": delivered}
            rows.append(row | {"attempts": delivery.attempts, "last_answer": delivery.last_answer})
    return web.json_response(rows)


@routes.post("/_double/events/{id}/send")
async def send_again(request: web.Request) -> web.Response:
    """Send one event now, whether or not it was delivered; answers with the portal's status."""
    if request.match_info["id"] not in request.app[STATE].events:
        raise web.HTTPNotFound
    status = await request.app[COURIER].send(request.match_info["id"])
    return web.json_response({"status": status})


@routes.post("/_double/hold")
async def hold(request: web.Request) -> web.Response:
    """Send no webhook until told to."""
    request.app[STATE].held = True
    request.app[COURIER].nudge()
    return web.json_response({"held": True})


@routes.post("/_double/release")
async def release(request: web.Request) -> web.Response:
    """Send what was held, one after the other; `?order=reverse` sends the newest first."""
    courier = request.app[COURIER]
    waiting = courier.pending()
    if request.query.get("order") == "reverse":
        waiting.reverse()
    answers = [{"id": event_id, "status": await courier.send(event_id)} for event_id in waiting]
    request.app[STATE].held = False
    courier.nudge()
    return web.json_response(answers)


@routes.post("/_double/sessions/{id}/pay")
async def pay_session(request: web.Request) -> web.Response:
    """Pay a session without the page: form field `number`, by default the card that succeeds."""
    session = request.app[STATE].sessions.get(request.match_info["id"])
    if session is None or session["status"] != "open":
        raise web.HTTPNotFound
    number = str((await request.post()).get("number", "4242 4242 4242 4242"))
    declined = payments.pay(request.app[STATE], session, number=number, email=session["customer_email"] or "")
    request.app[COURIER].nudge()
    return web.json_response({"paid": not declined, "message": declined})
