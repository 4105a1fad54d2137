"""A carrier's HTTP server: a real one, in a thread, that keeps what it was asked."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class HttpCarrier:
    """Answers by the last four digits of the number: 0001 refused, 0003 answers nothing until it is let go,
    0004 breaks off, 0005 too busy at first, 0006 not understood; others are taken."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.let_go = threading.Event()
        carrier = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fields = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._take(fields)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.headers["Content-Type"] == "application/json":
                    self._take(json.loads(body))
                else:
                    self._take({name: values[0] for name, values in parse_qs(body).items()})

            def _take(self, fields: dict[str, Any]) -> None:
                carrier.asked.append(fields | {"authorization": self.headers["Authorization"]})
                digits = str(fields["to"])[-4:]
                if digits == "0003":
                    carrier.let_go.wait(30)
                if digits in ("0003", "0004"):
                    self.close_connection = True
                    return
                self._answer(*carrier.answer(digits))

            def _answer(self, status: int, content: dict[str, Any] | str) -> None:
                body = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/send-sms.json"

    def answer(self, digits: str) -> tuple[int, dict[str, Any] | str]:
        """As TransmitSMS answers."""
        if digits == "0001":
            return 400, {"error": {"code": "RECIPIENTS_ERROR", "description": "no"}}
        if digits == "0005" and self.times(digits) == 1:
            return 429, {"error": {"code": "OVER_LIMIT"}}
        if digits == "0006":
            return 200, {"hello": "there"}
        return 200, {"message_id": 7_000_000 + int(digits), "error": {"code": "SUCCESS"}}

    def times(self, digits: str) -> int:
        """How often it was asked to send to a number that ends in these digits."""
        return sum(str(one["to"])[-4:] == digits for one in self.asked)

    def wait_for(self, digits: str, seconds: float = 60) -> None:
        """Return once it was asked to send to such a number."""
        deadline = time.monotonic() + seconds
        while not self.times(digits):
            if time.monotonic() > deadline:
                raise AssertionError(f"nobody asked for {digits}")
            time.sleep(0.02)


class KannelCarrier(HttpCarrier):
    """The same as Kannel's sendsms answers."""

    def answer(self, digits: str) -> tuple[int, dict[str, Any] | str]:
        if digits == "0001":
            return 400, "Invalid receiver"
        if digits == "0005" and self.times(digits) == 1:
            return 503, "Temporal failure, try again later."
        return 202, "0: Accepted for delivery"


@contextmanager
def http_carrier(kind: type[HttpCarrier] = HttpCarrier) -> Iterator[HttpCarrier]:
    carrier = kind()
    thread = threading.Thread(target=carrier.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield carrier
    finally:
        carrier.let_go.set()
        carrier.server.shutdown()
        carrier.server.server_close()
