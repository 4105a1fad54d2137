"""Requests to a carrier, as many at once as it allows; what became of each is known or declared lost.

Nothing written = NotSent (it may be sent again); written and not answered = AnswerLost (never again blindly). A
connection that cannot be made ends the session, so that its bind tries again with back-off and its route counts as
down meanwhile.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.conf import settings
from yarl import URL

from messaging.services.http_sending import LONGEST_ANSWER, Answer, HttpLine, Outgoing, build_request, read_answer
from messaging.services.outgoing_http import is_public
from smpp.client import AnswerLost, ConnectionFailed, NotSent, PduError

CONNECT_SECONDS = 5.0
# Carriers close idle connections after some seconds; one that is older may be closed just as a request is written.
KEEP_ALIVE_SECONDS = 2.0
_OUR_FAULT = (UnicodeError, aiohttp.InvalidURL, ValueError)


class _Resolver(AbstractResolver):
    """Names lead to the public internet only, unless PRIVATE_CARRIERS allows others; the address found is used."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for one in found:
            check_address(one["host"])
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_address(address: str) -> None:
    """Raises OSError for an address of a private network, unless PRIVATE_CARRIERS allows it."""
    if not settings.PRIVATE_CARRIERS and not is_public(ipaddress.ip_address(address.partition("%")[0])):
        raise OSError(f"{address} is not on the public internet (PRIVATE_CARRIERS allows it)")


class HttpSession:
    """Takes messages while the carrier can be reached; make it with ``connect``."""

    def __init__(self, line: HttpLine, on_close: Callable[[str], None]) -> None:
        self._line = line
        self._on_close = on_close
        self._slots = asyncio.Semaphore(line.window)
        self._requests: set[asyncio.Task[Answer]] = set()
        self._is_closed = False
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_written)
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=_Resolver(), keepalive_timeout=KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=line.timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace], auto_decompress=True, middlewares=(_only_once,),
        )  # fmt: skip

    @classmethod
    async def connect(cls, line: HttpLine, on_close: Callable[[str], None]) -> "HttpSession":
        """See that the carrier's server takes connections. Raises ConnectionFailed."""
        session = cls(line, on_close)
        try:
            await session._look()
        except (OSError, ValueError, TimeoutError) as error:
            await session._client.close()
            raise ConnectionFailed(f"{URL(line.url).host} cannot be reached: {error}"[:200]) from error
        return session

    async def _look(self) -> None:
        url = URL(self._line.url)
        if url.scheme not in ("http", "https") or not url.host or not url.port:
            raise ValueError("the URL has to begin with http:// or https://")
        found = await _Resolver().resolve(url.host, url.port)
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(found[0]["host"], url.port)
        writer.close()

    async def wait_for_slot(self) -> None:
        """Wait until another request may be on its way. Raises NotSent when the session has ended."""
        if self._is_closed:
            raise NotSent("the session has ended")
        async with self._slots:
            pass

    def submit(self, message: Outgoing) -> "asyncio.Future[Answer]":
        """Send one message; the future ends in the carrier's Answer, NotSent, AnswerLost or PduError."""
        request = asyncio.get_running_loop().create_task(self._send(message))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        return request

    async def _send(self, message: Outgoing) -> Answer:
        written = SimpleNamespace(headers=False)
        async with self._slots:
            try:
                if self._is_closed:
                    raise NotSent("the session has ended")
                async with asyncio.timeout(self._line.timeout_seconds + CONNECT_SECONDS):
                    return await self._ask(message, written)
            except (aiohttp.ClientError, OSError, TimeoutError, asyncio.CancelledError, *_OUR_FAULT) as error:
                raise self._judge(error, written) from error

    async def _ask(self, message: Outgoing, written: SimpleNamespace) -> Answer:
        method, url, headers, body = build_request(self._line, message)
        async with self._client.request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, trace_request_ctx=written
        ) as answer:
            content = await answer.content.read(LONGEST_ANSWER)
            while len(content) < LONGEST_ANSWER and (more := await answer.content.read(LONGEST_ANSWER)):
                content += more
            return read_answer(self._line, answer.status, content, message.id)

    def _judge(self, error: BaseException, written: SimpleNamespace) -> Exception:
        if written.headers:
            return AnswerLost(str(error) or type(error).__name__)
        if isinstance(error, _OUR_FAULT) and not isinstance(error, aiohttp.ClientConnectorError):
            return PduError(str(error)[:120], 0)
        if isinstance(error, aiohttp.ClientError | OSError | TimeoutError):
            self._end(str(error) or "The carrier's server does not take connections.")
        return NotSent(str(error))

    def _end(self, reason: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close(reason[:200])

    async def close(self, seconds: float = 0.0) -> None:
        """Take nothing more and wait for open answers; those that are late are lost."""
        self._is_closed = True
        if self._requests:
            await asyncio.wait(set(self._requests), timeout=seconds)
        left = set(self._requests)
        for request in left:
            request.cancel()
        if left:
            await asyncio.wait(left)
        await self._client.close()


async def _only_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """The library would send a GET again by itself when the connection breaks, though the carrier may have read it."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientError(str(error)) from error


async def _note_written(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
    """The next thing that is done is writing."""
    context.trace_request_ctx.headers = True
