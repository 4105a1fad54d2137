"""What tests ask of the double: hold webhooks, release them in another order, send one again, pay without a browser."""

from typing import Any

from aiohttp import web

from reseller.stripe_double import kept_cards, payments, reversals
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
        reference = body.get("client_reference_id") or (body.get("metadata") or {}).get("reference", "")
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
    form = await request.post()
    number, slowly = str(form.get("number", "4242 4242 4242 4242")), form.get("slowly") == "1"
    email = session["customer_email"] or ""
    declined = payments.pay(request.app[STATE], session, number=number, email=email, slowly=slowly)
    request.app[COURIER].nudge()
    return web.json_response({"paid": not declined, "message": declined})


@routes.post("/_double/sessions/{id}/finish")
async def finish_session(request: web.Request) -> web.Response:
    """What became of a payment made with `slowly=1`: form field `outcome`, succeeded or failed."""
    session = _found(request, request.app[STATE].sessions)
    payments.finish(request.app[STATE], session, succeeds=await _field(request, "outcome") != "failed")
    return _done(request, session)


@routes.post("/_double/payment_methods/{id}")
async def change_card(request: web.Request) -> web.Response:
    """Put another test card's behaviour behind a kept card: form field `number`."""
    method = _found(request, request.app[STATE].methods)
    method["_digits"] = "".join(filter(str.isdigit, await _field(request, "number")))
    return _done(request, method)


@routes.post("/_double/payment_intents/{id}/approve")
async def approve_payment(request: web.Request) -> web.Response:
    """The customer's answer to their bank: form field `answer`, yes or no."""
    intent = _found(request, request.app[STATE].intents)
    kept_cards.approve(request.app[STATE], intent, agrees=await _field(request, "answer") != "no")
    return _done(request, intent)


@routes.post("/_double/payment_intents/{id}/refund")
async def refund_at_stripe(request: web.Request) -> web.Response:
    """A refund made in Stripe's own dashboard: form field `amount` in minor units, everything without it."""
    amount = await _field(request, "amount")
    params = {"payment_intent": request.match_info["id"]} | ({"amount": amount} if amount else {})
    return _done(request, reversals.refund(request.app[STATE], params))


@routes.post("/_double/refunds/{id}/fail")
async def fail_refund(request: web.Request) -> web.Response:
    """The bank sends a refund back."""
    made = _found(request, request.app[STATE].refunds)
    reversals.fail_refund(request.app[STATE], made)
    return _done(request, made)


@routes.post("/_double/payment_intents/{id}/dispute")
async def open_dispute(request: web.Request) -> web.Response:
    """The card's holder contests a payment; `inquiry=1`: only asks about it."""
    inquiry = await _field(request, "inquiry") == "1"
    return _done(request, reversals.dispute(request.app[STATE], request.match_info["id"], inquiry=inquiry))


@routes.post("/_double/disputes/{id}/{deed:escalate|win|lose}")
async def decide_dispute(request: web.Request) -> web.Response:
    """The bank makes an inquiry a dispute, or decides one."""
    dispute, deed = _found(request, request.app[STATE].disputes), request.match_info["deed"]
    if deed == "escalate":
        reversals.escalate(request.app[STATE], dispute)
    else:
        reversals.close(request.app[STATE], dispute, won=deed == "win")
    return _done(request, dispute)


async def _field(request: web.Request, name: str) -> str:
    return str((await request.post()).get(name, ""))


def _found(request: web.Request, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if request.match_info["id"] not in table:
        raise web.HTTPNotFound
    return table[request.match_info["id"]]


def _done(request: web.Request, body: dict[str, Any]) -> web.Response:
    request.app[COURIER].nudge()
    return web.json_response(payments.public(body))
