"""A carrier that is not there: an SMPP server for development, demonstration and tests.

What it does with a message depends on the last four digits of the recipient, see `BEHAVIOURS`; of a long message each
part is treated so by itself. In process:

    async with Simulator(state=tmp_path) as carrier:
        ... connect to carrier.port as "relay" with password "simulator" ...
    read_journal(tmp_path).accepted

or as a process of its own, which prints the port it listens on: `python -m smpp.simulator --port 0 --state DIR`.

Its phones show what they received and text virtual numbers: `carrier.phones`, `carrier.text(…)`, or smpp.control.
"""

import argparse
import asyncio
import heapq
import hmac
import itertools
import logging
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smpp.accepted import CarrierIds, States
from smpp.allowance import Allowance
from smpp.behaviours import BEHAVIOURS, Behaviour, behaviour_for, describe
from smpp.control import ControlPort
from smpp.journal import Accepted, DueReceipt, Journal, JournalBusy, read_journal
from smpp.link import logger
from smpp.pdu import BindRequest, PduError, Status, Submit, SubmitAnswer
from smpp.phones import Phones
from smpp.receipt_ids import IdFormat
from smpp.receipts import Receipt, ReceiptStatus, format_receipt
from smpp.server import ServerSession, SmppServer
from smpp.texting import Texting

__all__ = ["BEHAVIOURS", "JournalBusy", "Simulator", "add_arguments", "describe", "read_journal", "serve"]

TICK_SECONDS: Final = 0.005  # receipts that fall due within it leave together
HOLD_SECONDS: Final = 5.0  # how long 0007 waits for its receipt to be acknowledged before it answers anyway
MAX_THROTTLED: Final = 100_000


class Simulator:
    """The carrier. Any number of binds; receipts go to any receiver or transceiver and are repeated until acknowledged.

    `state` is the journal's directory (None: nothing survives). `receipt_delay` in seconds; `rate` in submits a second,
    above which ESME_RTHROTTLED is answered. `port` 0 takes a free one; `control_port` None opens none (smpp.control).
    `id_format` is how ids differ between answers and receipts (smpp.receipt_ids.IdFormat).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        state: Path | None = None,
        system_id: str = "relay",
        password: str = "simulator",  # noqa: S107  (the demonstration's password, on a carrier that sends nothing)
        receipt_delay: float = 0.3,
        rate: float | None = None,
        retry_seconds: float = 1.0,
        control_port: int | None = None,
        id_format: str = IdFormat.AS_IS,
    ) -> None:
        self._states = States(receipt_delay, lambda: self._journal)
        self._server = SmppServer(
            host,
            port,
            authenticate=self._authenticate,
            on_submit=self._take,
            on_query=self._states.answer,
            on_bound=lambda session: self._bound(),
            system_id="simulator",
            deliver_window=500,
        )
        self._state = state
        self._system_id = system_id
        self._password = password
        self._receipt_delay = receipt_delay
        self._allowance = Allowance(rate)
        self._retry_seconds = retry_seconds
        self._journal: Journal | None = None
        self._ids = CarrierIds(id_format)
        self._order = itertools.count()
        self._owed: list[tuple[float, int, Accepted, DueReceipt]] = []
        self._uncommitted: list[tuple[asyncio.Future[SubmitAnswer], Accepted, list[DueReceipt], bool]] = []
        self._commit_due = False
        self._held: dict[str, asyncio.Future[SubmitAnswer]] = {}
        self._throttled: dict[tuple[str, str, bytes], int] = {}
        self._wake = asyncio.Event()
        self._courier: asyncio.Task[None] | None = None
        self.accepted_count = 0
        self.phones = Phones()
        self._texting = Texting(
            self.phones,
            lambda: self._receiver(self._system_id),
            retry_seconds=retry_seconds,
            commit_soon=self._commit_soon,
        )
        self._control = None if control_port is None else ControlPort(control_port, self.phones, self._texting)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def control_port(self) -> int:
        """The port on which it takes commands, 0 for none."""
        return self._control.port if self._control else 0

    @property
    def sessions(self) -> list[ServerSession]:
        """The sessions bound now."""
        return self._server.sessions

    async def start(self) -> None:
        """Take up what the journal says is owed, and listen; raises JournalBusy, OSError when the port is taken."""
        if self._state is not None:
            self._journal = self._texting.journal = Journal(self._state)
            self._take_up(self._journal)
        try:
            await self._server.start()
            if self._control is not None:
                await self._control.start()
        except OSError:
            await self._server.stop(drain_seconds=0)
            self._close_journal()
            raise
        self._courier = asyncio.get_running_loop().create_task(self._deliver_receipts())

    def _take_up(self, journal: Journal) -> None:
        """Go on where an earlier run ended: owe what it owed, and show on the phones what they showed."""
        owed = journal.outstanding()
        for entry, receipt in owed.receipts:
            self._owe(entry, receipt)
        self._texting.take_up(owed.texts)
        if self._control is not None:
            self.phones.restore(journal.latest(), {part.id for part in owed.texts})

    async def stop(self) -> None:
        """Unbind everybody and close; what is owed stays in the journal."""
        if self._courier is not None:
            self._courier.cancel()
        if self._control is not None:
            self._control.stop()
        await self._server.stop(drain_seconds=1.0)
        self._close_journal()

    async def __aenter__(self) -> "Simulator":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def text(self, phone: str, number: str, text: str) -> str:
        """Let a phone text a virtual number (smpp.texting.Texting.send); returns the text's id."""
        return self._texting.send(phone, number, text)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = self._texting.journal = None

    def _bound(self) -> None:
        self._wake.set()
        self._texting.send_ready()

    async def _authenticate(self, request: BindRequest) -> int:
        if request.system_id != self._system_id:
            return Status.ESME_RINVSYSID
        matches = hmac.compare_digest(request.password.encode(), self._password.encode())
        return Status.ESME_ROK if matches else Status.ESME_RINVPASWD

    # --- submits ---------------------------------------------------------------------------------------------------

    def _take(self, session: ServerSession, submit: Submit) -> "asyncio.Future[SubmitAnswer]":
        future: asyncio.Future[SubmitAnswer] = asyncio.get_running_loop().create_future()
        behaviour = behaviour_for(submit.destination)
        if status := self._refusal(session.system_id, submit, behaviour):
            future.set_result(SubmitAnswer(status))
            return future
        now = time.time()
        part = submit.part
        entry = Accepted(
            self._ids.new(), now, session.system_id, submit.source, submit.destination,
            part.data_coding, part.esm_class, part.payload, submit.registered_delivery,
        )  # fmt: skip
        receipts = self._receipts(entry, behaviour, now)
        if self._journal is not None:
            self._journal.accepted(entry)
            for receipt in receipts:
                self._journal.owed(receipt)
        self._uncommitted.append((future, entry, receipts, behaviour.receipt_first))
        self._commit_soon()
        return future

    def _refusal(self, system_id: str, submit: Submit, behaviour: Behaviour) -> int:
        if not submit.destination.removeprefix("+").isdigit():
            return Status.ESME_RINVDSTADR
        if not self._allowance.take():
            return Status.ESME_RTHROTTLED
        if behaviour.throttles:
            key = (system_id, submit.destination, submit.part.payload)
            seen = self._throttled.pop(key, 0)
            if seen < behaviour.throttles:
                if len(self._throttled) >= MAX_THROTTLED:
                    del self._throttled[next(iter(self._throttled))]
                self._throttled[key] = seen + 1
                return Status.ESME_RTHROTTLED
        return behaviour.refusal

    def _receipts(self, entry: Accepted, behaviour: Behaviour, now: float) -> list[DueReceipt]:
        wanted = entry.registered_delivery & 0x03
        receipts = []
        for number, (status, error, delay) in enumerate(behaviour.receipts, start=1):
            if wanted == 1 or (wanted == 2 and status is not ReceiptStatus.DELIVERED):
                usual = 0.0 if behaviour.receipt_first else self._receipt_delay * number
                due = now + (usual if delay is None else delay)
                receipts.append(DueReceipt(entry.id, number, due, str(status), error))
        return receipts

    def _commit_soon(self) -> None:
        if not self._commit_due:
            self._commit_due = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        """Write what one turn of the loop brought, then let its answers go out."""
        self._commit_due = False
        batch, self._uncommitted = self._uncommitted, []
        if self._journal is not None:
            try:
                self._journal.flush()
            except OSError:
                logger.exception("the journal cannot be written; %d submits are refused", len(batch))
                for future, *_ in batch:
                    future.set_result(SubmitAnswer(Status.ESME_RSYSERR))
                return
        self.accepted_count += len(batch)
        for future, entry, receipts, receipt_first in batch:
            self._states.remember(entry)
            if self._control is not None:
                self.phones.receive(entry)
            if receipt_first and receipts:
                self._held[entry.id] = future
                asyncio.get_running_loop().call_later(HOLD_SECONDS, self._answer_held, entry.id)
            elif not future.done():
                future.set_result(SubmitAnswer(Status.ESME_ROK, entry.id))
        # A turn of the loop later, when the answers are written: on a slow disk receipts are due before their answers.
        asyncio.get_running_loop().call_soon(self._owe_all, [(entry, receipts) for _, entry, receipts, _ in batch])

    def _owe_all(self, owed: list[tuple[Accepted, list[DueReceipt]]]) -> None:
        for entry, receipts in owed:
            for receipt in receipts:
                self._owe(entry, receipt)

    def _answer_held(self, carrier_id: str) -> None:
        future = self._held.pop(carrier_id, None)
        if future is not None and not future.done():
            future.set_result(SubmitAnswer(Status.ESME_ROK, carrier_id))

    # --- receipts --------------------------------------------------------------------------------------------------

    def _owe(self, entry: Accepted, receipt: DueReceipt, due: float | None = None) -> None:
        due = receipt.due if due is None else due
        if not self._owed or due < self._owed[0][0]:
            self._wake.set()
        heapq.heappush(self._owed, (due, next(self._order), entry, receipt))

    async def _deliver_receipts(self) -> None:
        while True:
            self._wake.clear()
            pause = self._send_due()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(TICK_SECONDS)

    def _send_due(self) -> float | None:
        """Send what is due as far as windows allow; return the seconds until more is, None when an event will tell."""
        while self._owed:
            wait = self._owed[0][0] - time.time()
            if wait > 0:
                return wait
            session = self._receiver(self._owed[0][2].system_id)
            if session is None:
                return None
            _, _, entry, receipt = heapq.heappop(self._owed)
            self._send(session, entry, receipt)
        return None

    def _receiver(self, system_id: str) -> ServerSession | None:
        able = [s for s in self._server.sessions if s.can_receive and s.system_id == system_id and s.free_slots > 0]
        return max(able, key=lambda session: session.free_slots, default=None)

    def _send(self, session: ServerSession, entry: Accepted, receipt: DueReceipt) -> None:
        done_at = datetime.fromtimestamp(receipt.due, UTC)
        deliver = format_receipt(
            Receipt(self._ids.in_receipt(entry.id), ReceiptStatus(receipt.status), receipt.error, done_at, ""),
            source=entry.destination,
            destination=entry.source,
            submitted_at=datetime.fromtimestamp(entry.at, UTC),
            text=entry.text,
        )
        future = session.deliver(deliver)
        future.add_done_callback(lambda done: self._sent(entry, receipt, done))

    def _sent(self, entry: Accepted, receipt: DueReceipt, done: "asyncio.Future[int]") -> None:
        self._wake.set()
        error = None if done.cancelled() else done.exception()
        if isinstance(error, PduError):
            logger.error("the receipt of %s can never be sent: %s", entry.id, error)
        elif done.cancelled() or error is not None or done.result() != Status.ESME_ROK:
            self._owe(entry, receipt, time.time() + self._retry_seconds)
            return
        if self._journal is not None:
            self._journal.acknowledged(receipt, time.time())
            self._commit_soon()
        self._answer_held(entry.id)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the simulator's options to a command's parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=2775, help="port to listen on, 0 for a free one (%(default)s)")
    parser.add_argument("--state", type=Path, help="directory of the journal; without it nothing survives a restart")
    parser.add_argument("--system-id", default="relay", help="who may bind (default %(default)s)")
    parser.add_argument("--password", default="simulator", help="with which password (default %(default)s)")
    parser.add_argument("--receipt-delay", type=float, default=0.3, help="seconds to a usual receipt (%(default)s)")
    parser.add_argument("--rate", type=float, help="submits a second above which ESME_RTHROTTLED is answered")
    parser.add_argument(
        "--ids",
        choices=list(IdFormat),
        default=IdFormat.AS_IS,
        help="ids in answers and receipts (%(default)s)",
    )
    parser.add_argument(
        "--control-port", type=int, help="port on 127.0.0.1 for the handset page, 0 for a free one; none unless given"
    )


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT; raises JournalBusy, OSError when the port is taken."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    carrier = Simulator(
        options.host,
        options.port,
        state=options.state,
        system_id=options.system_id,
        password=options.password,
        receipt_delay=options.receipt_delay,
        rate=options.rate,
        control_port=options.control_port,
        id_format=options.ids,
    )
    async with carrier:
        sys.stdout.write(f"SMSC simulator listening on {options.host}:{carrier.port} for {options.system_id}\n")
        if carrier.control_port:
            sys.stdout.write(f"Control port of the phones: 127.0.0.1:{carrier.control_port}\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator as a program; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m smpp.simulator",
        description="Run the SMSC simulator.",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(options))
    except (JournalBusy, OSError) as error:
        sys.stderr.write(f"The simulator cannot start on {options.host}:{options.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
