"""What the engines alone can do with the same table and the same codec: the limits beside the portal's figures."""

import asyncio
import time
from typing import Any

import psycopg

from benchmarks.sending_scene import Scene
from smpp.pdu import Submit, address, decode_submit, encode_submit
from smpp.text import encode_parts

CHUNK = 500  # rows that a set-based change takes at once
ROUNDS = 3

_COPY = (
    "COPY messaging_message (batch_id, account_id, payer_id, route_id, quote_id, recipient, sender, parts, price,"
    " message_class, priority, state) FROM STDIN"
)
_CHANGE = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM messaging_message WHERE route_id = 0 AND message_class = 2 AND account_id = 0
        AND state = 'queued' ORDER BY priority DESC, id LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE messaging_message m SET state = 'released' FROM picked WHERE m.id = picked.id
"""


def measure_bare(url: str, scene: Scene, rows: int) -> dict[str, float]:
    """Rows a second of COPY and of SKIP LOCKED changes, one connection; submits a second through the codec alone."""
    with psycopg.connect(url, autocommit=True) as session:
        copied = _copy(session, rows)
        changed = _change(session, rows)
        session.execute("DELETE FROM messaging_message WHERE route_id = 0")
        session.execute("VACUUM ANALYZE messaging_message")
    return {
        "copy_rows_per_s": copied, "state_changes_per_s": changed,
        "codec_submits_per_s": asyncio.run(_codec(min(rows, 20_000))),
    }  # fmt: skip


def _copy(session: "psycopg.Connection[Any]", rows: int) -> float:
    batch = "00000000-0000-7000-8000-000000000000"
    begun = time.monotonic()
    with session.cursor().copy(_COPY) as copy:
        for number in range(rows):
            copy.write_row((batch, 0, 0, 0, 0, f"+6141{number:07d}", "Bench", 1, "0.07", 2, 0, "queued"))
    return rows / (time.monotonic() - begun)


def _change(session: "psycopg.Connection[Any]", rows: int) -> float:
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"):
        session.execute(f"SET {name} = off")
    begun = time.monotonic()
    done = 0
    while changed := session.execute(_CHANGE, [CHUNK]).rowcount:
        done += changed
    return done / (time.monotonic() - begun)


async def _codec(count: int) -> float:
    """Encoded submits through a loopback socket and decoded at its other end, nothing else."""
    part = encode_parts("Hello from the bench", 0)[0]
    done = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(count):
            head = await reader.readexactly(4)
            decode_submit(head + await reader.readexactly(int.from_bytes(head) - 4))
        writer.close()
        done.set_result(None)

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    source = address("Bench")
    begun = time.monotonic()
    for number in range(count):
        to = f"+6141{number:07d}"
        writer.write(encode_submit(Submit("Bench", to, part), source, address(to), number + 1))
        if number % 100 == 0:
            await writer.drain()
    await done
    seconds = time.monotonic() - begun
    writer.close()
    server.close()
    return count / seconds
