"""Debian's Kannel as a client of ours: what its sendsms takes arrives, and receipts and texts from phones go back."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

import pytest
from django.test import Client

from messaging.models import HttpConnector
from messaging.services.receipts import apply_waiting
from reseller.engines import reserve_port
from tests.cast import Member
from tests.interop.scene import EMOJI, LONG, LONG_GSM, PASSWORD, SHORT, Carrier, until
from tests.loops import run_scenario
from tests.messaging.carrier import connectors, in_thread, states, work_until
from tests.messaging.rows import accept
from tests.messaging.test_http_connectors import connect

BEARERBOX, SMSBOX = (shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin") for name in ("bearerbox", "smsbox"))
pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not (BEARERBOX and SMSBOX), reason="Kannel is not installed; make test-interop installs it."),
]

# Kannel's numbers for what became of a message, in its %d.
DELIVERED, FAILED, REJECTED = "1", "2", "16"

CONFIGURATION = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = interop
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
log-file = {logs}/bearerbox.log
log-level = 1
dlr-storage = internal
sms-resend-freq = 1

group = smsc
smsc = smpp
smsc-id = ours
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = relay
smsc-password = {password}
system-type = ""
enquire-link-interval = 1
reconnect-delay = 1
max-pending-submits = 50

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = {logs}/smsbox.log
log-level = 1

group = sendsms-user
username = tester
password = interop
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = true
get-url = "http://127.0.0.1:{heard}/text?from=%p&to=%P&text=%b&coding=%c"
max-messages = 0
"""


class Ear:
    """An HTTP server that keeps what is told to it, as (path, parameters)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str]]] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                ear.heard.append((address.path, dict(parse_qsl(address.query, encoding="latin-1"))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests' output is not for access logs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> "Ear":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, path: str) -> list[dict[str, str]]:
        return [values for found, values in self.heard if found == path]


class Kannel:
    """Its two boxes, bound to our carrier."""

    def __init__(self, directory: Path, port: int, ear: Ear) -> None:
        self.ear = ear
        self.sendsms = reserve_port()
        self.directory = directory
        self._configuration = directory / "kannel.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                admin=reserve_port(), boxes=reserve_port(), sendsms=self.sendsms, logs=directory, port=port,
                password=PASSWORD, heard=ear.port,
            )
        )  # fmt: skip

    def start(self, box: str) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{Path(box).name}.out").open("wb")
        return subprocess.Popen([box, self._configuration], stdout=log, stderr=log, cwd=self.directory)

    def send(self, ending: str, text: str) -> None:
        told = f"http://127.0.0.1:{self.ear.port}/receipt?of={ending}&what=%d"
        values = {
            "username": "tester", "password": "interop", "from": "Shop", "to": f"+6140000{ending}", "dlr-mask": 31,
            "dlr-url": told,
        }  # fmt: skip
        if any(ord(one) > 0x2000 or "а" <= one <= "я" or "А" <= one <= "Я" for one in text):
            values |= {"coding": 2, "charset": "UTF-16BE", "text": text.encode("utf-16-be")}
        else:
            values |= {"coding": 0, "charset": "UTF-8", "text": text}
        with urlopen(f"http://127.0.0.1:{self.sendsms}/cgi-bin/sendsms?{urlencode(values)}", timeout=5) as answer:
            assert answer.status == 202, answer.read()


@contextmanager
def kannel(directory: Path, carrier: Carrier, ear: Ear) -> Iterator[Kannel]:
    one = Kannel(directory, carrier.port, ear)
    boxes = []
    try:
        boxes.append(one.start(str(BEARERBOX)))
        until(lambda: carrier.server.sessions, 20)
        boxes.append(one.start(str(SMSBOX)))
        until(lambda: _listens(one.sendsms), 20)
        yield one
    finally:
        for box in reversed(boxes):
            box.terminate()
        for box in boxes:
            try:
                box.wait(15)
            except subprocess.TimeoutExpired:
                box.kill()


def read(told: dict[str, str]) -> str:
    """The text of an inbound message: Kannel tells its octets, and 2 for UCS-2."""
    return told["text"].encode("latin-1").decode("utf-16-be" if told["coding"] == "2" else "utf-8")


def _listens(port: int) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}/cgi-bin/sendsms", timeout=1).close()
    except OSError as error:
        return getattr(error, "code", 0) != 0
    return True


def test_what_kannel_sends_arrives_and_receipts_and_texts_go_back_to_it(tmp_path):
    texts = {"1111": SHORT, "2222": EMOJI, "3333": LONG, "4444": LONG_GSM, "0002": "fails"}
    with Carrier(tmp_path / "carrier") as carrier, Ear() as ear, kannel(tmp_path, carrier, ear) as peer:
        [session] = carrier.server.sessions
        assert (session.bind, session.system_id) == ("transceiver", "relay")
        for ending, text in texts.items():
            peer.send(ending, text)
        peer.send("0006", "throttled twice, which Kannel tries again")
        until(lambda: {one["of"] for one in ear.of("/receipt") if one["what"] in (DELIVERED, FAILED)} >= set(texts), 30)
        assert {ending: carrier.text_to(ending) for ending in texts} == texts
        final = {one["of"]: one["what"] for one in ear.of("/receipt") if one["what"] in (DELIVERED, FAILED)}
        assert {key: final[key] for key in texts} == dict.fromkeys(texts, DELIVERED) | {"0002": FAILED}

        carrier.text("+61491570156", "+61480000001", "JOIN now @ £5")
        carrier.text("+61491570156", "+61480000001", EMOJI)
        until(lambda: len(ear.of("/text")) == 2)
        assert {read(one) for one in ear.of("/text")} == {"JOIN now @ £5", EMOJI}
        assert {(one["from"], one["to"]) for one in ear.of("/text")} == {("+61491570156", "+61480000001")}
        until(lambda: carrier.text_to("0006"), 60)
        until(lambda: carrier.outstanding == 0)
        assert not session.closed


def test_messages_go_out_by_its_sendsms_and_its_receipts_are_read(
    committed_db, client_member: Member, tmp_path, settings
):
    """The preset of HTTP connectors: what Kannel answers, converts and tells by dlr-url is what we take it for."""
    texts = {"1111": SHORT, "2222": EMOJI, "3333": LONG, "4444": LONG_GSM, "0002": "fails", "0001": "refused"}
    with Carrier(tmp_path / "carrier") as carrier, Ear() as ear, kannel(tmp_path, carrier, ear) as peer:
        settings.SITE_URL = f"http://127.0.0.1:{ear.port}"
        url = f"http://127.0.0.1:{peer.sendsms}/cgi-bin/sendsms"
        connect(url, "kannel", username="tester", password="interop")

        async def scenario() -> None:
            for ending, text in texts.items():
                await in_thread(partial(accept, client_member, [f"+6141234{ending}"], text=text))
            async with connectors():
                await work_until(lambda: set(states().values()) == {"sent"})

        run_scenario(scenario())
        told = f"/carrier/test/receipts/{HttpConnector.objects.get().receipt_secret}"
        until(lambda: final(ear.of(told)) == len(texts), 30)
        assert {ending: carrier.text_to(ending) for ending in texts if ending != "0001"} == {
            ending: text for ending, text in texts.items() if ending != "0001"
        }
    for receipt in ear.of(told):
        assert Client().get(told, receipt).status_code == 200
    apply_waiting(1000)
    wanted = dict.fromkeys(texts, "delivered") | {"0002": "undelivered", "0001": "undelivered"}
    assert states() == wanted


def final(receipts: list[dict[str, str]]) -> int:
    """How many messages are told of for the last time."""
    return len({one["id"] for one in receipts if one["status"] in (DELIVERED, FAILED, REJECTED)})
