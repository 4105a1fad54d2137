"""A carrier that costs next to nothing: raw asyncio, no session layer, so that the portal is measured and not the sink.

Answers every submit_sm at once with an id of its own, brings a receipt (DELIVRD) two seconds later, and notes which
recipients it has seen and when. Run as a process; commands come on standard input, answers go to standard output, one
line each:

| command | answer |
|---|---|
| (start) | the port |
| ``stats`` | JSON: submits, duplicates, receipts, receipts acknowledged |
| ``arrivals PREFIX`` | JSON: recipient -> when its submit came (time.time()), of recipients with that prefix (no +) |
| ``reset`` | ``ok``; forgets everything |
| ``receipts on``, ``receipts off`` | ``ok``; messages that come while they are off never get one |
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from collections import deque

RECEIPT_SECONDS = 2.0
RECEIPT_WINDOW = 1000  # deliver_sm without an answer
TICK = 0.005  # seconds between two rounds of receipts

_HEADER = struct.Struct(">4I")
_SUBMIT, _DELIVER, _ENQUIRE, _UNBIND = 0x04, 0x05, 0x15, 0x06
_BINDS = (0x01, 0x02, 0x09)
_RESPONSE = 0x80000000


class Sink:
    """What all sessions share."""

    def __init__(self) -> None:
        self.reset()
        self.sequence = 0
        self.brings_receipts = True
        self.sessions: list[Session] = []

    def reset(self) -> None:
        """Forget everything that was seen; ids go on."""
        self.seen: dict[bytes, float] = {}
        self.duplicates = self.submits = self.receipts = self.acknowledged = 0

    def stats(self) -> dict[str, int]:
        """What was seen since the last reset."""
        names = ("submits", "duplicates", "receipts", "acknowledged")
        return {name: getattr(self, name) for name in names}


class Session(asyncio.Protocol):
    """One bound connection."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._due: deque[tuple[float, bytes, bytes, bytes]] = deque()
        self._open = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._sink.sessions.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.sessions.remove(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Read every whole PDU; all answers are written at once."""
        data = self._rest + data
        at, size, answers = 0, len(data), []
        while size - at >= 16:
            length, command, _, sequence = _HEADER.unpack_from(data, at)
            if size - at < length:
                break
            answer = self._answer(command, sequence, data, at, at + length)
            if answer:
                answers.append(answer)
            at += length
        self._rest = data[at:]
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))

    def _answer(self, command: int, sequence: int, data: bytes, begin: int, end: int) -> bytes:
        if command == _SUBMIT:
            return self._take(sequence, data, begin)
        if command == _DELIVER | _RESPONSE:
            self._open -= 1
            self._sink.acknowledged += 1
            return b""
        if command in _BINDS:
            return _HEADER.pack(21, command | _RESPONSE, 0, sequence) + b"sink\0"
        if command in (_ENQUIRE, _UNBIND):
            return _HEADER.pack(16, command | _RESPONSE, 0, sequence)
        return b""

    def _take(self, sequence: int, data: bytes, begin: int) -> bytes:
        sink = self._sink
        source_at = data.index(b"\0", begin + 16) + 3  # service_type, then type and plan of the source
        source_end = data.index(b"\0", source_at)
        to_at = source_end + 3
        to_end = data.index(b"\0", to_at)
        to, now = data[to_at:to_end], time.time()
        if to in sink.seen:
            sink.duplicates += 1
        else:
            sink.seen[to] = now
        sink.submits += 1
        sink.sequence += 1
        carrier_id = b"%x" % sink.sequence
        if sink.brings_receipts:
            self._due.append((now + RECEIPT_SECONDS, carrier_id, data[source_at:source_end], to))
        return _HEADER.pack(17 + len(carrier_id), _SUBMIT | _RESPONSE, 0, sequence) + carrier_id + b"\0"

    def bring_receipts(self) -> None:
        """Write the receipts that are due and that the window has room for."""
        if not self._due or self._transport is None:
            return
        sink, now, pdus = self._sink, time.time(), []
        while self._due and self._due[0][0] <= now and self._open < RECEIPT_WINDOW:
            _, carrier_id, source, to = self._due.popleft()
            text = b"id:%b sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD err:000 text:" % (
                carrier_id
            )
            body = b"\0\1\1%b\0\0\0%b\0\4\0\0\0\0\0\0\0\0%b%b" % (to, source, bytes([len(text)]), text)
            sink.receipts += 1
            pdus.append(_HEADER.pack(16 + len(body), _DELIVER, 0, sink.receipts & 0x7FFFFFFF) + body)
            self._open += 1
        if pdus:
            self._transport.write(b"".join(pdus))


async def run() -> None:
    """Serve on a free port of the loopback interface until standard input ends."""
    sink, loop = Sink(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(sink), "127.0.0.1", 0)
    _print(server.sockets[0].getsockname()[1])
    ticker = loop.create_task(_tick(sink))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "stats":
            _print(json.dumps(sink.stats()))
        elif line[0] == "arrivals":
            prefix = line[1].encode()
            _print(json.dumps({to.decode(): at for to, at in sink.seen.items() if to.startswith(prefix)}))
        elif line[0] == "receipts":
            sink.brings_receipts = line[1] == "on"
            _print("ok")
        elif line[0] == "reset":
            sink.reset()
            _print("ok")
    ticker.cancel()


async def _tick(sink: Sink) -> None:
    while True:
        await asyncio.sleep(TICK)
        for session in sink.sessions:
            session.bring_receipts()


def _print(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
