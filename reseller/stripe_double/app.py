"""Put the double together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from reseller.stripe_double import api, control, hosted
from reseller.stripe_double.state import State
from reseller.stripe_double.webhooks import Courier


def build_app(
    *, secret_key: str, webhook_secret: str, webhook_url: str, state_file: Path | None = None, public_url: str = ""
) -> web.Application:
    """The double as an aiohttp application; webhooks go to `webhook_url`, signed with `webhook_secret`.

    Payment pages are under `public_url`; empty means under the address that the portal called.
    """
    app = web.Application(middlewares=[api.api_rules])
    app[api.STATE] = State.load(state_file)
    app[api.SECRET_KEY] = secret_key
    app[api.PUBLIC_URL] = public_url.rstrip("/")
    app[api.COURIER] = Courier(app[api.STATE], webhook_url, webhook_secret)
    app.cleanup_ctx.append(_deliver)
    for room in (api, hosted, control):
        app.add_routes(room.routes)
    return app


async def _deliver(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[api.COURIER].run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    app[api.STATE].save()
