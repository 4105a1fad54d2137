"""The network between the connectors and the carrier: it passes octets on, stands still, or breaks inside a PDU."""

import asyncio
import threading
from collections.abc import Callable

HOST = "127.0.0.1"
_Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Wire:
    """Leads from ``port``, a free one, to the port ``target``; doubles nothing and loses nothing until it is cut.

    It works in a thread of its own while the ``with`` block lasts.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[_Pair] = set()
        self._moving = asyncio.Event()
        self._left: int | None = None  # octets that may still pass before the cut
        self.port = 0
        self.sessions_cut = 0

    def __enter__(self) -> "Wire":
        self._thread.start()
        self._moving.set()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), self._loop).result(
            10
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(self._server), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut_after(self, octets: int) -> None:
        """Let so many octets pass, both ways together, then break every session without a goodbye."""
        self._soon(lambda: setattr(self, "_left", octets))

    def stall(self) -> None:
        """Keep what comes until ``go_on``."""
        self._soon(self._moving.clear)

    def go_on(self) -> None:
        """Pass on what waited."""
        self._soon(self._moving.set)

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        self._moving.set()
        self._break()
        while self._open:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = writer, far_writer
        self._open.add(pair)
        try:
            # The first side that ends takes the other with it.
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        finally:
            self._open.discard(pair)
            for end in pair:
                end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while octets := await source.read(65536):
                await self._moving.wait()
                if self._left is not None and len(octets) >= self._left:
                    sink.write(octets[: self._left])
                    self._cut()
                    return
                if self._left is not None:
                    self._left -= len(octets)
                sink.write(octets)
                await sink.drain()
        except OSError:
            return

    def _cut(self) -> None:
        self._left = None
        self.sessions_cut += len(self._open)
        self._break()

    def _break(self) -> None:
        for pair in self._open:
            for end in pair:
                end.close()
