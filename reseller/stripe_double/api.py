"""The double's /v1: Bearer keys, form encoding, idempotency keys, expansion and errors as Stripe has them."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from reseller.stripe_double import forms, payments
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
        return await handler(request)
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


@routes.post("/v1/checkout/sessions")
async def create_session(request: web.Request) -> web.Response:
    """Open a session; a repeated Idempotency-Key gets the first answer again."""
    raw = await request.read()
    params = forms.decode((name, str(value)) for name, value in (await request.post()).items())
    state, key = request.app[STATE], request.headers.get("Idempotency-Key", "")
    fingerprint = hashlib.sha256(raw).hexdigest()
    if known := state.answers.get(key):
        if known["fingerprint"] != fingerprint:
            sentence = "Keys for idempotent requests can only be used with the parameters they were first used with."
            return problem(400, sentence, kind="idempotency_error")
        return web.json_response(known["body"], headers={"Idempotent-Replayed": "true"})
    body = payments.public(payments.open_session(state, params, request.app[PUBLIC_URL] or str(request.url.origin())))
    if key:
        state.answers[key] = {"fingerprint": fingerprint, "body": json.loads(json.dumps(body))}
    request.app[COURIER].nudge()
    return web.json_response(body)


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
