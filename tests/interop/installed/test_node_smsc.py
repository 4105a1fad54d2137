"""The connector process against an SMSC of others, the `smpp` of Node: sent, receipted, settled, and texts kept."""

import json
import shutil
import subprocess
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.models import Hold
from billing.selectors import balance_of
from messaging.models import ConnectorStatus, InboundMessage, Message, Receipt, SmppConnector
from messaging.services.inbound import receive_waiting
from tests.cast import Member
from tests.conftest import CommittedDatabase
from tests.engines import ROOT
from tests.interop.scene import EMOJI, LONG, LONG_GSM, SHORT, until
from tests.messaging.carrier import OPEN, connect_route, do_work, states
from tests.messaging.test_acceptance import accept
from tests.messaging.test_connector_faults import start

NODE, FOLDER = shutil.which("node"), ROOT / "tests/interop/node"
pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not NODE or not (FOLDER / "node_modules/smpp").exists(),
        reason="Node and its package smpp are not installed; make test-interop installs them.",
    ),
]


class NodeSmsc:
    """The SMSC in a process of its own; what it says is in ``events``."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "NodeSmsc":
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(NODE), "smsc.js", "simulator"], cwd=FOLDER, text=True, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: self.of("listening"), 20)
        self.port = self.of("listening")[0]["port"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)

    def _read(self) -> None:
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def text(self, phone: str, to: str, text: str) -> None:
        self._process.stdin.write(json.dumps({"phone": phone, "to": to, "text": text}) + "\n")
        self._process.stdin.flush()

    def text_to(self, ending: str) -> str:
        """What it read in the parts to that number, in their order."""
        parts = [one for one in self.of("accepted") if one["to"].endswith(ending)]
        return "".join(one["text"] for one in sorted(parts, key=lambda one: (one["part"] or [0])[-1]))


def work_until(done, seconds: float = 60) -> None:
    def step() -> bool:
        do_work()
        return bool(done())

    until(step, seconds)


def test_messages_go_out_are_receipted_and_settled_over_an_smsc_of_others(
    committed_db: CommittedDatabase, client_member: Member, tmp_path: Path
):
    texts = {"1111": SHORT, "2222": EMOJI, "3333": LONG, "4444": LONG_GSM}
    with NodeSmsc(tmp_path / "node.log") as smsc:
        connect_route(smsc.port)
        SmppConnector.objects.update(receipt_id_format="hex_to_decimal")
        for ending, text in texts.items():
            accept(client_member, [f"+6141234{ending}"], text)
        accept(client_member, [f"+6141234{ending}" for ending in ("0001", "0002", "0006", "0007", "0008")])
        process = start(committed_db, tmp_path / "connectors.log")
        try:
            work_until(lambda: not Message.objects.filter(state__in=OPEN).exists())
            work_until(lambda: not Receipt.objects.filter(applied_at=None).exists())
            work_until(lambda: not Message.objects.filter(settled_at=None).exists())
            assert ConnectorStatus.objects.get().state == "bound"
            smsc.text("61491570156", "61480000001", "JOIN now @ £5")
            smsc.text("61491570156", "61480000001", EMOJI)
            until(lambda: len(smsc.of("taken")) == 2)
            receive_waiting(100)
        finally:
            process.terminate()
            assert process.wait(30) == 0
        assert len(smsc.of("unbound")) == 1

    assert {ending: smsc.text_to(ending) for ending in texts} == texts
    assert {one["from"] for one in smsc.of("accepted")} == {"Shop"}
    assert {one["status"] for one in smsc.of("acknowledged") + smsc.of("taken")} == {0}
    assert states() == dict.fromkeys([*texts, "0006", "0007", "0008"], "delivered") | {
        "0001": "rejected", "0002": "undelivered",
    }  # fmt: skip
    assert Message.objects.get(recipient__endswith="0002").error_code == "042"
    assert Message.objects.get(recipient__endswith="0006").attempts == 3
    assert not Receipt.objects.filter(message=None).exists()
    assert set(InboundMessage.objects.values_list("text", "sender", "recipient")) == {
        (text, "+61491570156", "+61480000001") for text in ("JOIN now @ £5", EMOJI)
    }
    # Every part that was taken costs 0.07, the refused one nothing.
    parts = sum(Message.objects.exclude(state="rejected").values_list("parts", flat=True))
    balance = balance_of(client_member.account)
    assert (balance.available, balance.held) == (Decimal(10) - parts * Decimal("0.07"), Decimal(0))
    assert all(hold.amount == hold.captured + hold.released for hold in Hold.objects.all())
