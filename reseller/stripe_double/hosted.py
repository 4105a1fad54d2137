"""The hosted Checkout page, as a customer of Stripe would see it, plainly marked as a double."""

import re
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from aiohttp import web

from billing.gateways.money import from_minor_units
from reseller.stripe_double import kept_cards, payments
from reseller.stripe_double.api import COURIER, STATE

_PAGES = Path(__file__).parent / "pages"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
routes = web.RouteTableDef()


def _page(name: str, *, status: int = 200, raw: dict[str, str] | None = None, **values: str) -> web.Response:
    """Fill a page; every value is escaped except those in `raw`, which are our own mark-up."""
    filled = {key: escape(value) for key, value in values.items()} | (raw or {})
    text = Template((_PAGES / name).read_text()).substitute(filled)
    return web.Response(text=text, content_type="text/html", headers=_HEADERS, status=status)


def _session(request: web.Request) -> dict[str, Any]:
    session = request.app[STATE].sessions.get(request.match_info["id"])
    if session is None:
        raise web.HTTPNotFound(text="There is no such Checkout session.")
    return session


def _money(session: dict[str, Any]) -> str:
    amount = from_minor_units(session["amount_total"], session["currency"])
    places = 2 if amount != session["amount_total"] else 0
    return f"{amount:,.{places}f} {session['currency'].upper()}"


def _form(session: dict[str, Any], given: dict[str, str], *, problem: str = "") -> web.Response:
    alert = f'<p class="alert" role="alert" id="card-error">{escape(problem)}</p>' if problem else ""
    email = session["customer_email"] or session.get("_email") or ""
    return _page(
        "checkout.html",
        raw={"alert": alert, "fixed": "readonly" if email else ""},
        amount=_money(session),
        description=session["_description"],
        reference=session["client_reference_id"] or session["id"],
        cancel_url=session["cancel_url"] or "",
        email=email or given.get("email", ""),
        number=given.get("number", ""),
        expiry=given.get("expiry", ""),
        holder=given.get("holder", ""),
    )


@routes.get("/double.css")
async def style(_request: web.Request) -> web.Response:
    """The page's style sheet."""
    return web.Response(text=(_PAGES / "double.css").read_text(), content_type="text/css")


@routes.get("/c/pay/{id}")
async def show(request: web.Request) -> web.StreamResponse:
    """The payment page; a session that is over says so or goes back to the shop."""
    session = _session(request)
    if session["status"] == "complete":
        raise web.HTTPSeeOther(session["success_url"])
    if session["status"] == "expired":
        return _page("expired.html", status=410, cancel_url=session["cancel_url"] or "")
    return _form(session, {})


@routes.post("/c/pay/{id}")
async def submit(request: web.Request) -> web.StreamResponse:
    """Pay: back to the shop when the card is good, else the page again with what the bank said."""
    session = _session(request)
    if session["status"] != "open":
        return await show(request)
    given = {key: str(value) for key, value in (await request.post()).items()}
    problem = _expiry_problem(given.get("expiry", ""))
    if not problem and not re.fullmatch(r"\d{3,4}", given.get("cvc", "").strip()):
        problem = "Your card's security code is incomplete."
    if not problem:
        email = given.get("email") or session["customer_email"] or ""
        problem = payments.pay(request.app[STATE], session, number=given.get("number", ""), email=email)
        request.app[COURIER].nudge()
    if problem:
        return _form(session, given, problem=problem)
    raise web.HTTPSeeOther(session["success_url"])


@routes.get("/c/approve/{id}")
async def ask(request: web.Request) -> web.StreamResponse:
    """The bank's page on which its customer approves a payment."""
    intent = _waiting_intent(request)
    return _page("approve.html", amount=_money(intent | {"amount_total": intent["amount"]}))


@routes.post("/c/approve/{id}")
async def answer(request: web.Request) -> web.StreamResponse:
    """The customer's answer; back to the shop."""
    intent = _waiting_intent(request)
    back = intent["next_action"]["redirect_to_url"]["return_url"]
    kept_cards.approve(request.app[STATE], intent, agrees=(await request.post()).get("answer") == "yes")
    request.app[COURIER].nudge()
    raise web.HTTPSeeOther(back)


def _waiting_intent(request: web.Request) -> dict[str, Any]:
    intent = request.app[STATE].intents.get(request.match_info["id"], {})
    if intent.get("status") != "requires_action":
        raise web.HTTPNotFound(text="There is no payment to approve.")
    return intent


def _expiry_problem(text: str) -> str:
    """What is wrong with a card's "MM / YY", or ""."""
    match = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(\d{2}|\d{4})\s*", text)
    if match is None or not 1 <= int(match[1]) <= 12:
        return "Your card's expiration date is incomplete."
    today = datetime.now(tz=UTC)
    year = int(match[2]) + (2000 if len(match[2]) == 2 else 0)
    return "Your card's expiration date is in the past." if (year, int(match[1])) < (today.year, today.month) else ""
