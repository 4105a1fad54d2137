"""The simulator's memory: an append-only file of what it accepted, which receipts it owes and which were acknowledged,
and of the texts that its phones sent.

One JSON object a line, written before the answer that promises it goes out, so that a simulator killed at any moment
owes exactly the receipts of what it accepted, and the texts that nobody took yet:

    {"event": "accepted", "id": …, "at": …, "source": …, "destination": …, "payload": hex, …}
    {"event": "receipt", "id": …, "number": 1, "due": seconds since 1970, "status": "DELIVRD", "error": "000"}
    {"event": "acknowledged", "id": …, "number": 1, "at": …}
    {"event": "texted", "id": …, "number": 1, "at": …, "source": a phone, "destination": a virtual number, …}
    {"event": "taken", "id": …, "number": 1, "at": …}
"""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from smpp.text import decode_payload

FILE_NAME: Final = "journal.jsonl"
MAX_OCTETS: Final = 256 * 1024 * 1024  # a longer journal that owes nothing is set aside at the next start
TAIL_OCTETS: Final = 1024 * 1024
_ENCODE: Final = json.JSONEncoder(check_circular=False).encode


class JournalBusy(Exception):
    """Another simulator writes to the same journal."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One submit_sm (one part) that was accepted; `at` is in seconds since 1970."""

    id: str
    at: float
    system_id: str
    source: str
    destination: str
    data_coding: int
    esm_class: int
    payload: bytes
    registered_delivery: int

    @property
    def text(self) -> str:
        """The text of this part, without its concatenation header."""
        return decode_payload(self.data_coding, self.esm_class, self.payload)[0]


@dataclass(frozen=True, slots=True)
class DueReceipt:
    """A receipt owed for `id` from `due` on (seconds since 1970); `number` tells two receipts of one part apart."""

    id: str
    number: int
    due: float
    status: str
    error: str

    @property
    def key(self) -> tuple[str, int]:
        """What names this receipt in the journal."""
        return self.id, self.number


@dataclass(frozen=True, slots=True)
class TextPart:
    """One part of a text from a phone to a virtual number; `number` counts from 1, `at` is in seconds since 1970."""

    id: str
    number: int
    at: float
    source: str
    destination: str
    data_coding: int
    esm_class: int
    payload: bytes

    @property
    def key(self) -> tuple[str, int]:
        """What names this part in the journal."""
        return self.id, self.number


class Owed(NamedTuple):
    """What a simulator has to deliver when it starts again."""

    receipts: list[tuple[Accepted, DueReceipt]]
    texts: list[TextPart]


@dataclass(slots=True)
class JournalContents:
    """Everything a journal says, in the order it happened."""

    accepted: list[Accepted] = field(default_factory=list)
    receipts: list[DueReceipt] = field(default_factory=list)
    acknowledged: set[tuple[str, int]] = field(default_factory=set)
    texted: list[TextPart] = field(default_factory=list)
    taken: set[tuple[str, int]] = field(default_factory=set)

    @property
    def outstanding(self) -> list[DueReceipt]:
        """The receipts that were never acknowledged."""
        return [receipt for receipt in self.receipts if receipt.key not in self.acknowledged]

    @property
    def duplicates(self) -> list[tuple[str, bytes]]:
        """(destination, payload) of what was accepted more than once: a message that somebody sent twice."""
        counts = Counter((entry.destination, entry.payload) for entry in self.accepted)
        return [key for key, count in counts.items() if count > 1]


def read_journal(path: Path | str) -> JournalContents:
    """Read a journal, or that of a state directory; also while a simulator writes it. A missing one is empty."""
    contents = JournalContents()
    for event, fields in _events(_file(path)):
        if event == "accepted":
            contents.accepted.append(_accepted(fields))
        elif event == "receipt":
            contents.receipts.append(DueReceipt(**fields))
        elif event == "acknowledged":
            contents.acknowledged.add((fields["id"], fields["number"]))
        elif event == "texted":
            contents.texted.append(_text_part(fields))
        else:
            contents.taken.add((fields["id"], fields["number"]))
    return contents


class Journal:
    """The writing end; lines are collected by `accepted`, `owed`, `acknowledged` and written by `flush`."""

    def __init__(self, state: Path) -> None:
        """Open the journal in directory `state`, made when missing; raises JournalBusy, OSError."""
        state.mkdir(parents=True, exist_ok=True)
        self.path = state / FILE_NAME
        self._lines: list[str] = []
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalBusy(f"Another simulator already uses {self.path}; give this one its own --state.") from None
        self._drop_torn_line()

    def outstanding(self) -> Owed:
        """Find what is still to be delivered; holds only that in memory, however long the journal is."""
        owed: dict[tuple[str, int], DueReceipt] = {}
        texts: dict[tuple[str, int], TextPart] = {}
        for event, fields in _events(self.path):
            if event == "receipt":
                receipt = DueReceipt(**fields)
                owed[receipt.key] = receipt
            elif event == "acknowledged":
                owed.pop((fields["id"], fields["number"]), None)
            elif event == "texted":
                part = _text_part(fields)
                texts[part.key] = part
            elif event == "taken":
                texts.pop((fields["id"], fields["number"]), None)
        wanted = {receipt.id for receipt in owed.values()}
        entries = {
            fields["id"]: _accepted(fields)
            for event, fields in _events(self.path)
            if event == "accepted" and fields["id"] in wanted
        }
        if not owed and not texts and self.path.stat().st_size > MAX_OCTETS:
            self._set_aside()
        return Owed([(entries[receipt.id], receipt) for receipt in owed.values()], list(texts.values()))

    def latest(self) -> Iterator[Accepted | TextPart]:
        """The parts, to and from phones, that stand in the journal's last mebibyte."""
        with self.path.open("rb") as lines:
            lines.seek(max(0, os.fstat(self._file).st_size - TAIL_OCTETS))
            for line in lines:
                try:
                    fields = json.loads(line)
                except ValueError:  # the line in whose middle the last mebibyte begins
                    continue
                event = fields.pop("event")
                if event == "accepted":
                    yield _accepted(fields)
                elif event == "texted":
                    yield _text_part(fields)

    def find(self, carrier_id: str) -> Accepted | None:
        """Look an accepted submit up by its id, however long ago that was; reads the journal from its beginning."""
        for event, fields in _events(self.path):
            if event == "accepted" and fields["id"] == carrier_id:
                return _accepted(fields)
        return None

    def accepted(self, entry: Accepted) -> None:
        """Note an accepted submit."""
        fields = {
            "id": entry.id,
            "at": entry.at,
            "system_id": entry.system_id,
            "source": entry.source,
            "destination": entry.destination,
            "data_coding": entry.data_coding,
            "esm_class": entry.esm_class,
            "payload": entry.payload.hex(),
            "registered_delivery": entry.registered_delivery,
        }
        self._note("accepted", fields)

    def owed(self, receipt: DueReceipt) -> None:
        """Note a receipt that has to be delivered."""
        fields = {
            "id": receipt.id,
            "number": receipt.number,
            "due": receipt.due,
            "status": receipt.status,
            "error": receipt.error,
        }
        self._note("receipt", fields)

    def acknowledged(self, receipt: DueReceipt, at: float) -> None:
        """Note that a receipt needs no more delivery."""
        self._note("acknowledged", {"id": receipt.id, "number": receipt.number, "at": at})

    def texted(self, part: TextPart) -> None:
        """Note a part that a phone sent."""
        fields = {
            "id": part.id,
            "number": part.number,
            "at": part.at,
            "source": part.source,
            "destination": part.destination,
            "data_coding": part.data_coding,
            "esm_class": part.esm_class,
            "payload": part.payload.hex(),
        }
        self._note("texted", fields)

    def taken(self, part: TextPart, at: float) -> None:
        """Note that a phone's part needs no more delivery."""
        self._note("taken", {"id": part.id, "number": part.number, "at": at})

    def flush(self) -> None:
        """Hand everything noted to the operating system, from where killing this process cannot take it back."""
        if not self._lines:
            return
        octets = "".join(self._lines).encode()
        self._lines.clear()
        while octets:
            octets = octets[os.write(self._file, octets) :]

    def close(self) -> None:
        """Write what is left and let another simulator have the journal."""
        self.flush()
        os.close(self._file)

    def _note(self, event: str, fields: dict[str, Any]) -> None:
        self._lines.append(_ENCODE({"event": event, **fields}) + "\n")

    def _drop_torn_line(self) -> None:
        """Cut off a line that a killed simulator did not finish; its submit was never answered."""
        size = end = os.fstat(self._file).st_size
        while end:
            start = max(0, end - 4096)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._file, end)

    def _set_aside(self) -> None:
        os.replace(self.path, self.path.with_suffix(".old"))
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _file(path: Path | str) -> Path:
    path = Path(path)
    return path if path.suffix == ".jsonl" else path / FILE_NAME


def _events(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # a line without its end is just being written
                fields = json.loads(line)
                yield fields.pop("event"), fields


def _accepted(fields: dict[str, Any]) -> Accepted:
    return Accepted(**fields | {"payload": bytes.fromhex(fields["payload"])})


def _text_part(fields: dict[str, Any]) -> TextPart:
    return TextPart(**fields | {"payload": bytes.fromhex(fields["payload"])})
