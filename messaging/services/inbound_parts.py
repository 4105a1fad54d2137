"""Inbound parts as carriers bring them: rows that are stored before the carrier gets its answer (docs/message-way.md).

SMPP connectors and the HTTP webhook make the same rows. Nothing is looked up here: a carrier waits for the answer.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from smpp.inbound import read_piece
from smpp.pdu import Deliver

STORE = """
    INSERT INTO messaging_inboundpart (route_id, sender, recipient, text, reference, total, sequence, carrier_id,
                                       octets, data_coding, fingerprint, session)
    SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::smallint[],
                             %s::text[], %s::bytea[], %s::smallint[], %s::uuid[], %s::text[])
"""
MAX_ADDRESS = 21  # characters: "+" and the 20 of SMPP 3.4, 4.6.1
MAX_CARRIER_ID = 65


class PartRow(NamedTuple):
    """One part, in the order of the columns of STORE."""

    sender: str
    recipient: str
    text: str
    reference: str
    total: int
    sequence: int
    carrier_id: str
    octets: bytes | None
    data_coding: int
    fingerprint: UUID
    session: str


def part_of_deliver(route_id: int, deliver: Deliver, session: str) -> PartRow:
    """The part that a deliver_sm brings. ``session`` names the connection on which it came."""
    piece = read_piece(deliver)
    octets = piece.octets if piece.total > 1 else None
    return make_part(
        route_id, deliver.source, deliver.destination, piece.text, session=session, reference=piece.reference,
        total=piece.total, sequence=piece.sequence, octets=octets, data_coding=piece.data_coding,
    )  # fmt: skip


def make_part(
    route_id: int,
    sender: str,
    recipient: str,
    text: str,
    *,
    session: str,
    reference: str = "",
    total: int = 1,
    sequence: int = 1,
    carrier_id: str = "",
    octets: bytes | None = None,
    data_coding: int = 0,
) -> PartRow:
    """A part with its fingerprint: equal for all that may be the same part, brought several times."""
    sender, recipient = _plain(sender)[:MAX_ADDRESS], _plain(recipient)[:MAX_ADDRESS]
    carrier_id, reference = _plain(carrier_id)[:MAX_CARRIER_ID], _plain(reference)[:20]
    said = octets if octets is not None else text.encode()
    named = (route_id, sender, recipient, carrier_id, reference, total, sequence)
    digest = blake2b(repr(named).encode() + said, digest_size=16).digest()
    return PartRow(
        sender,
        recipient,
        text,
        reference,
        total,
        sequence,
        carrier_id,
        octets,
        data_coding,
        UUID(bytes=digest),
        session,
    )


def columns_of(route_id: int, parts: Sequence[PartRow]) -> list[Any]:
    """The parameters of STORE."""
    return [route_id, *(list(column) for column in zip(*parts, strict=True))]


def store_parts(route_id: int, parts: Sequence[PartRow]) -> None:
    """Store parts over Django's connection, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(STORE, columns_of(route_id, parts))


def _plain(value: str) -> str:
    """Without what the database cannot store."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()
