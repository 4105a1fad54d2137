"""The double's /v1: Bearer keys, form encoding, idempotency keys, expansion and errors as Stripe has them."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from reseller.stripe_double import forms, kept_cards, payments, reversals
from reseller.stripe_double.state import State, new_id
from reseller.stripe_double.webhooks import Courier

STATE = web.AppKey("state", State)
COURIER = web.AppKey("courier", Courier)
SECRET_KEY = web.AppKey("secret_key", str)
PUBLIC_URL = web.AppKey("public_url", str)

routes = web.RouteTableDef()


def problem(status: int, message: str, *, kind: str = "invalid_request_error", **more: str) -> web.Response:
    """An error answer in Stripe's shape."""
    error = {"type": kind, "message": message, **{key: value for key, value in more.items() if value}}
    return web.json_response({"error": error}, status=status)


@web.middleware
async def api_rules(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Check the key of /v1 calls and put Stripe's request id on every answer."""
    if not request.path.startswith("/v1/"):
        try:
            return await handler(request)
        except payments.Refused as refusal:
            return problem(400, str(refusal))
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not hmac.compare_digest(key, request.app[SECRET_KEY]):
        answer: web.StreamResponse = problem(401, "Invalid API Key provided.")
    else:
        try:
            answer = await handler(request)
        except payments.Refused as refusal:
            answer = problem(400, str(refusal), param=refusal.param)
        except web.HTTPNotFound:
            answer = problem(404, f"Unrecognized request URL ({request.method}: {request.path}).")
    answer.headers["Request-Id"] = new_id("req_")
    return answer


def _expanded(state: State, body: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """A copy of `body` with the related objects that `expand[]` asks for in place of their ids."""
    whole = payments.public(body)
    for path in paths:
        node = whole
        for step in path.split("."):
            if isinstance(node.get(step), str):
                node[step] = payments.public(state.find(node[step]) or {})
            if not isinstance(node.get(step), dict):
                break
            node = node[step]
    return whole


def _lookup(request: web.Request, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    body = table.get(request.match_info["id"])
    if body is None:
        raise payments.Refused(f"No such object: '{request.match_info['id']}'", "id")
    return body


def _answer(request: web.Request, body: dict[str, Any]) -> web.Response:
    paths = forms.decode(request.query.items()).get("expand", [])
    return web.json_response(_expanded(request.app[STATE], body, paths))


async def create(request: web.Request, make: Callable[[State, dict[str, Any]], dict[str, Any]]) -> web.StreamResponse:
    """Answer a call that makes something; a repeated Idempotency-Key gets the first answer again, refusals included."""
    raw = await request.read()
    params = forms.decode((name, str(value)) for name, value in (await request.post()).items())
    state, key = request.app[STATE], request.headers.get("Idempotency-Key", "")
    fingerprint = hashlib.sha256(raw).hexdigest()
    if known := state.answers.get(key):
        if known["fingerprint"] != fingerprint:
            sentence = "Keys for idempotent requests can only be used with the parameters they were first used with."
            return problem(400, sentence, kind="idempotency_error")
        headers = {"Idempotent-Replayed": "true"}
        return web.json_response(known["body"], status=known.get("status", 200), headers=headers)
    status, body = 200, {}
    try:
        body = _expanded(state, make(state, params), params.get("expand", []))
    except kept_cards.Declined as decline:
        error = {"type": "card_error", "code": decline.code, "message": str(decline)}
        status, body = 402, {"error": error | {"payment_intent": payments.public(decline.intent)}}
    if key:
        state.answers[key] = {"fingerprint": fingerprint, "status": status, "body": json.loads(json.dumps(body))}
    request.app[COURIER].nudge()
    return web.json_response(body, status=status)


def origin_of(request: web.Request) -> str:
    """Where browsers reach the double."""
    return request.app[PUBLIC_URL] or str(request.url.origin())


@routes.post("/v1/checkout/sessions")
async def create_session(request: web.Request) -> web.StreamResponse:
    """Open a session."""
    return await create(request, lambda state, params: payments.open_session(state, params, origin_of(request)))


@routes.get("/v1/checkout/sessions/{id}")
async def retrieve_session(request: web.Request) -> web.Response:
    """Show a session."""
    return _answer(request, _lookup(request, request.app[STATE].sessions))


@routes.post("/v1/checkout/sessions/{id}/expire")
async def expire_session(request: web.Request) -> web.Response:
    """Close an open session."""
    session = _lookup(request, request.app[STATE].sessions)
    payments.expire(request.app[STATE], session)
    request.app[COURIER].nudge()
    return _answer(request, session)


@routes.get("/v1/payment_intents/{id}")
async def retrieve_intent(request: web.Request) -> web.Response:
    """Show a payment."""
    return _answer(request, _lookup(request, request.app[STATE].intents))


@routes.post("/v1/payment_intents")
async def create_intent(request: web.Request) -> web.StreamResponse:
    """Pay with a kept card."""
    return await create(request, lambda state, params: kept_cards.charge(state, params, origin_of(request)))


@routes.post("/v1/payment_intents/{id}/cancel")
async def cancel_intent(request: web.Request) -> web.Response:
    """Give a payment up."""
    intent = _lookup(request, request.app[STATE].intents)
    kept_cards.cancel(request.app[STATE], intent)
    request.app[COURIER].nudge()
    return _answer(request, intent)


@routes.post("/v1/customers")
async def create_customer(request: web.Request) -> web.StreamResponse:
    """Make a customer."""
    return await create(request, kept_cards.open_customer)


@routes.get("/v1/payment_methods/{id}")
async def retrieve_method(request: web.Request) -> web.Response:
    """Show a kept card."""
    return _answer(request, _lookup(request, request.app[STATE].methods))


@routes.post("/v1/payment_methods/{id}/detach")
async def detach_method(request: web.Request) -> web.Response:
    """Forget a kept card."""
    method = _lookup(request, request.app[STATE].methods)
    kept_cards.detach(method)
    request.app[COURIER].nudge()
    return _answer(request, method)


@routes.post("/v1/refunds")
async def create_refund(request: web.Request) -> web.StreamResponse:
    """Give a payment back."""
    return await create(request, reversals.refund)


@routes.get("/v1/refunds")
async def list_refunds(request: web.Request) -> web.Response:
    """The refunds of a payment."""
    found = reversals.refunds_of(request.app[STATE], request.query.get("payment_intent", ""))
    return web.json_response({"object": "list", "url": "/v1/refunds", "has_more": False, "data": found})
