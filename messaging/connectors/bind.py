"""One bind's life: the right to it, connecting, claiming, reconnecting, leaving."""

import asyncio
import random
import time
from collections.abc import Callable
from secrets import token_hex

import structlog

from messaging.connectors import statements
from messaging.connectors.asking import Asker
from messaging.connectors.configuration import BindConfig
from messaging.connectors.database import Database, DatabaseAway
from messaging.connectors.lines import Session, open_session
from messaging.connectors.sending import Hand
from messaging.connectors.statements import StatusRow
from messaging.models import ConnectorStatus
from messaging.services.inbound_parts import part_of_deliver
from smpp.client import BindRefused, ClientSession, ConnectionFailed, Deliver, DeliverRefused
from smpp.pdu import Status
from smpp.receipts import Receipt, parse_receipt

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0  # how often released messages are looked for without being told
# After a claim that emptied the stock of a few, what comes within this time is claimed and recorded together. One that
# comes after quiet is claimed at once.
REST_SECONDS = 0.05
FEW = 4  # times as many there would have been room for
LOCK_POLL_SECONDS = 1.0
RECONCILE_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts to connect
STABLE_SECONDS = 10.0  # a session that lived this long starts the back-off anew
DRAIN_SECONDS = 12.0  # for open answers when leaving
RECORD_SECONDS = 6.0  # then for the database to take them
# After so long a carrier may have given up waiting for its answer, and brings the same again on the same session.
PUNCTUAL_SECONDS = 5.0

State = ConnectorStatus.State


class Bind:
    """Runs one session to a carrier for as long as this process has the right to it.

    The right is an advisory lock on the connection that claims: without the lock there is no connection to claim with.
    ``on_claimed`` and ``on_ended`` are told that the stock shrinks and that there is something to give back,
    ``on_refused`` that a carrier has said "later",
    ``on_receipts`` and ``on_inbound`` that receipts or inbound messages were stored.
    """

    def __init__(
        self,
        config: BindConfig,
        *,
        on_claimed: Callable[[int], None],
        on_ended: Callable[[], None],
        on_refused: Callable[[], None],
        on_receipts: Callable[[], None],
        on_inbound: Callable[[], None],
    ) -> None:
        self.config = config
        # A new one for every bind that is started: what another had in hand is never mistaken for this one's.
        self._token = f"{statements.claim_prefix(*config.key)}{token_hex(6)}"
        self.hand = Hand(config, self._token, on_ended=on_ended, on_refused=on_refused)
        self._on_claimed = on_claimed
        self._on_receipts = on_receipts
        self._on_inbound = on_inbound
        self._asker = Asker(config.route_id, config.name, on_receipts)
        self._session = ""  # names what inbound parts came on; see ``_store``
        self._claims = Database(f"connector {config.name} claims", reopen=False)
        self._received = Database(f"connector {config.name} received")
        self._stopping = asyncio.Event()
        self._leave = asyncio.Event()  # end the session: it closed, the right is lost, or the process ends
        self._owns = False
        self._state, self._detail = State.CONNECTING, ""

    # --- what the process sees -------------------------------------------------------------------------------------

    @property
    def status(self) -> StatusRow | None:
        """What to show of this bind; None while another process runs it."""
        if not self._owns:
            return None
        hand = self.hand
        return StatusRow(*self.config.key, str(self._state), self._detail, len(hand.claimed), hand.pacer.is_slow)

    @property
    def is_bound(self) -> bool:
        """Whether it can submit, so that it needs a share of the route's throughput."""
        return self._owns and self._state == State.BOUND and not self._stopping.is_set()

    def stop(self) -> None:
        """Have ``run`` drain and return."""
        self._stopping.set()
        self._leave.set()
        self.hand.wake.set()

    async def run(self) -> None:
        """Hold the session until stopped, then leave nothing behind. Returns within 30 s of ``stop``."""
        recorder = asyncio.create_task(self.hand.record_all())
        recorder.add_done_callback(lambda _: self.stop())  # it never ends by itself: without it nothing may be sent
        pause = FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                if not await self._obtain_right():
                    await self._sleep(LOCK_POLL_SECONDS)
                    continue
                began = time.monotonic()
                await self._hold_session()
                pause = FIRST_PAUSE if time.monotonic() - began > STABLE_SECONDS else min(LONGEST_PAUSE, pause * 2)
                if not self._stopping.is_set():
                    await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        finally:
            if not recorder.done():
                await self._finish_records()
            recorder.cancel()
            for database in (self.hand, self._claims, self._received, self._asker):
                await database.close()
        if not recorder.cancelled() and recorder.done():
            recorder.result()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _finish_records(self) -> None:
        self.hand.put_back()
        self.hand.abandon()
        deadline = time.monotonic() + RECORD_SECONDS
        while not self.hand.is_empty and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if not self.hand.is_empty:
            log.error("connector.not_recorded", bind=self.config.name, messages=len(self.hand.claimed))

    # --- the right to the bind -------------------------------------------------------------------------------------

    async def _obtain_right(self) -> bool:
        """Take the bind's lock unless we have it, and put in order what others or a broken connection left behind."""
        if self._owns and self._claims.is_open:
            return True
        self._owns = False
        try:
            await self._claims.open()
            if not await statements.lock_bind(self._claims, *self.config.key):
                return False
            prefix = statements.claim_prefix(*self.config.key)
            await statements.mark_dead_claims(self._claims, self.config.route_id, prefix, self._token)
            await self._reconcile()
        except DatabaseAway as error:
            log.warning("connector.database_away", bind=self.config.name, detail=str(error))
            return False
        self._owns = True
        return True

    async def _reconcile(self) -> None:
        await statements.give_back_unknown_claims(self._claims, self.config.route_id, self._token, self.hand.claimed)

    # --- a session -------------------------------------------------------------------------------------------------

    async def _hold_session(self) -> None:
        """Connect, work until the session ends or has to, and bring in what is open."""
        self._say(State.CONNECTING, "")
        self._leave.clear()
        if self._stopping.is_set():
            return
        self._session = token_hex(6)
        try:
            session = await open_session(self.config.line, self._store, self._closed)
        except BindRefused as error:
            self._say(State.REFUSED, str(error))
            return
        except ConnectionFailed as error:
            self._say(State.DOWN, str(error))
            return
        except Exception as error:  # a defect of ours: staff see it beside the bind, and not a bind that ever connects
            log.exception("connector.broke", bind=self.config.name)
            self._say(State.DOWN, f"The connector broke: {error!r}")
            return
        self._say(State.BOUND, "")
        asker = asyncio.create_task(self._ask(session))
        submitter = asyncio.create_task(self.hand.submit_all(session))
        claimer = asyncio.create_task(self._claim_all())
        for task in (submitter, claimer):
            task.add_done_callback(lambda _: self._leave.set())
        await self._leave.wait()
        self.hand.wake.set()
        submitter.cancel()
        asker.cancel()
        await asyncio.wait({submitter, asker})
        self.hand.put_back()
        await session.close(DRAIN_SECONDS)
        await asyncio.wait({claimer})
        self.hand.put_back()
        for task in (submitter, claimer, asker):
            if not task.cancelled():
                task.result()

    async def _ask(self, session: Session) -> None:
        """One bind of a route asks for all of them."""
        if self.config.number == 0 and isinstance(session, ClientSession):
            await self._asker.ask_all(session)

    def _closed(self, reason: str) -> None:
        self._say(State.DOWN, reason)
        self._leave.set()

    def _say(self, state: State, detail: str) -> None:
        if (state, detail) != (self._state, self._detail):
            log.info("connector.state", bind=self.config.name, state=str(state), detail=detail)
        self._state, self._detail = state, detail

    async def _claim_all(self) -> None:
        """Claim a window at a time until the session has to end."""
        reconcile_at = time.monotonic() + RECONCILE_SECONDS
        while not self._leave.is_set():
            self.hand.wake.clear()
            room = self.hand.room()
            try:
                if time.monotonic() > reconcile_at:
                    await self._reconcile()
                    reconcile_at = time.monotonic() + RECONCILE_SECONDS
                claimed = await self._claim(room) if room else 0
            except DatabaseAway:
                if not await self._regain_right():
                    return
                continue
            if 0 < claimed * FEW < room:
                await asyncio.sleep(REST_SECONDS)
            if claimed < room or not room:
                await self._wait_for_work()

    async def _claim(self, room: int) -> int:
        messages, taken = await statements.claim(self._claims, self.config.route_id, room, self._token)
        if messages:
            self.hand.take_on(messages)
        if taken:
            self._on_claimed(self.config.route_id)
        return taken

    async def _wait_for_work(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self.hand.wake.wait()
        except TimeoutError:
            pass

    async def _regain_right(self) -> bool:
        """After the claiming connection broke: the lock is gone with it. False = end the session."""
        while not self._leave.is_set():
            if await self._obtain_right():
                return True
            if self._claims.is_open:
                log.warning("connector.taken_over", bind=self.config.name)
                self._leave.set()
                return False
            await self._sleep(LOCK_POLL_SECONDS)
        return False

    async def _store(self, delivers: list[Deliver]) -> None:
        """Store what the carrier brought before it is acknowledged; while the database is away it has to come again.

        An inbound part that comes again on the same session is another one, for the carrier has its answer. Where that
        is not certain, because the answer was an error or came late, the session gets another name.
        """
        receipts, parts, session = list[tuple[Deliver, Receipt]](), [], self._session
        for one in delivers:
            if (receipt := parse_receipt(one)) is not None:
                receipts.append((one, receipt))
            else:
                parts.append(part_of_deliver(self.config.route_id, one, session))
        began = time.monotonic()
        try:
            if receipts:
                await statements.store_receipts(self._received, self.config.route_id, receipts)
                self._on_receipts()
            if parts:
                await statements.store_parts(self._received, self.config.route_id, parts)
                self._on_inbound()
        except DatabaseAway as error:
            self._session = token_hex(6)
            log.warning("connector.received_later", bind=self.config.name, count=len(delivers), detail=str(error))
            raise DeliverRefused(Status.ESME_RX_T_APPN) from error
        if time.monotonic() - began > PUNCTUAL_SECONDS:
            self._session = token_hex(6)
