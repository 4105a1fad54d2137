"""Long inbound messages made whole: parts in any order, and what to do about those that never come."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from messaging.models import time_of
from smpp.inbound import join_text


class Part(NamedTuple):
    """A stored part that belongs to no message yet, in the order of the columns of the statements that pick parts."""

    id: UUID
    sender: str
    recipient: str
    text: str
    octets: bytes | None
    data_coding: int
    reference: str
    total: int
    sequence: int
    carrier_id: str
    fingerprint: UUID | None
    session: str


@dataclass
class Arrived:
    """A message to deliver: all its parts, or those that came in time. By sequence number."""

    total: int
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def first(self) -> Part:
        """The part that came first; the message takes over its id."""
        return min(self.parts.values())

    @property
    def missing(self) -> int:
        return self.total - len(self.parts)

    @property
    def text(self) -> str:
        """The whole text; in place of a part that did not come it says so."""
        pieces, run = [], list[Part]()
        for number in range(1, self.total + 1):
            if number in self.parts:
                run.append(self.parts[number])
                continue
            pieces += [_read(run), f" [part {number} of {self.total} did not arrive] "]
            run = []
        return "".join([*pieces, _read(run)]).strip() if self.missing else _read(run)


def _read(run: list[Part]) -> str:
    """The text of neighbouring parts: decoded together, or as carriers decoded it that bring no octets."""
    if all(part.octets is not None for part in run):
        return join_text([(part.data_coding, bytes(part.octets or b"")) for part in run])
    return "".join(part.text for part in run)


def assemble(parts: Iterable[Part], now: datetime, patience: timedelta) -> tuple[list[Arrived], dict[UUID, datetime]]:
    """What is to be delivered now, oldest first, and until when each other part waits for the rest of its message.

    ``parts`` are of one route: new ones, and of long messages all that still wait. Of two messages with the same
    reference the older one is filled first. What is incomplete after ``patience`` is delivered as it is.
    """
    arrived, open_sets = list[Arrived](), defaultdict[tuple[str, str, str, int], list[Arrived]](list)
    for part in sorted(parts):
        if part.total == 1:
            arrived.append(Arrived(1, {1: part}))
            continue
        sets = open_sets[part.sender, part.recipient, part.reference, part.total]
        _place(part, sets, patience)
    waiting: dict[UUID, datetime] = {}
    for sets in open_sets.values():
        for one in sets:
            deadline = time_of(one.first.id) + patience
            if one.missing and now < deadline:
                waiting |= {part.id: deadline for part in one.parts.values()}
            else:
                arrived.append(one)
    return sorted(arrived, key=lambda one: one.first.id), waiting


def _place(part: Part, sets: list[Arrived], patience: timedelta) -> None:
    """Put the part into the oldest message that lacks it and began within ``patience`` of it, else into a new one."""
    for one in sets:
        if part.sequence not in one.parts and time_of(part.id) - time_of(one.first.id) <= patience:
            one.parts[part.sequence] = part
            return
    sets.append(Arrived(part.total, {part.sequence: part}))
