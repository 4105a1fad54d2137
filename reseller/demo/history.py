"""Writes the planned traffic: money by the ledger's own services, messages and receipts in sets."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.codes import new_code
from accounts.models import Account
from billing.models import Quote
from billing.services import ledger
from billing.services.pricing import PriceList, UnitPrice
from billing.services.settlement import Settled, Settlement, settle
from messaging.models import Batch, Exclusion, Message, Route
from messaging.services.rollups import DAY, recount, roll_up
from reseller.demo.funds import Purse
from reseller.demo.people import Person
from reseller.demo.traffic import DAYS, PlannedBatch, PlannedMessage, plan_traffic
from smpp.text import Segments, segment

_IDS = "SELECT uuidv7(m - clock_timestamp()) FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS t(m, n) ORDER BY n"

_COLUMNS = (
    "id", "batch_id", "account_id", "payer_id", "route_id", "quote_id", "recipient", "sender", "parts", "price",
    "display_price", "message_class", "priority", "state", "attempts", "released_at", "sending_at", "sent_at",
    "done_at", "carrier_id", "error_code", "reason", "settled_at", "settlement_id",
)  # fmt: skip

# One row a part for what the carrier took in more than one part.
_PARTS = """
INSERT INTO messaging_messagepart (message_id, part, route_id, carrier_id, state, error_code)
SELECT m.id, p, m.route_id, m.carrier_id || CASE WHEN p > 1 THEN '-' || p ELSE '' END,
       CASE WHEN m.state = 'sent' THEN '' ELSE m.state END, m.error_code
FROM messaging_message m, generate_series(1, m.parts) AS p
WHERE m.batch_id = ANY(%s) AND m.parts > 1 AND m.carrier_id <> ''
"""

_RECEIPTS = """
INSERT INTO messaging_receipt (id, route_id, carrier_id, status, error_code, recipient, raw, message_id, applied_at,
                               attempts, next_try_at)
SELECT uuidv7(done_at - clock_timestamp()), route_id, carrier_id, status, code, ltrim(recipient, '+'),
       format('id:%%s sub:001 dlvrd:%%s submit date:%%s done date:%%s stat:%%s err:%%s text:', carrier_id,
              CASE WHEN status = 'DELIVRD' THEN '001' ELSE '000' END,
              to_char(sent_at AT TIME ZONE 'UTC', 'YYMMDDHH24MI'),
              to_char(done_at AT TIME ZONE 'UTC', 'YYMMDDHH24MI'), status, code),
       message_id, done_at + interval '100 milliseconds', 1, done_at
FROM (SELECT m.id AS message_id, m.route_id, coalesce(p.carrier_id, m.carrier_id) AS carrier_id, m.recipient, m.sent_at,
             m.done_at, coalesce(nullif(m.error_code, ''), '000') AS code,
             CASE m.state WHEN 'delivered' THEN 'DELIVRD' WHEN 'undelivered' THEN 'UNDELIV' ELSE 'EXPIRED' END AS status
      FROM messaging_message m LEFT JOIN messaging_messagepart p ON p.message_id = m.id
      WHERE m.batch_id = ANY(%s) AND m.carrier_id <> '' AND m.done_at IS NOT NULL) AS told
"""


@dataclass
class _Sale:
    """A planned batch with its prices; ``settled`` is filled once its money has moved."""

    plan: PlannedBatch
    batch: Batch
    segments: Segments
    prices: list[UnitPrice]
    quotes: dict[str, Quote]
    settled: Settled = field(default=Settled(None, None))

    @property
    def total(self) -> Decimal:
        return sum((price.price for price in self.prices), Decimal(0)) * self.segments.parts


def write_history(people: dict[str, Person], route: Route, now: datetime) -> int:
    """Write everything that the demo's accounts did before ``now``; returns the number of messages.

    The ledger stamps its movements with the moment of loading, since no booking can be dated back; messages, receipts
    and top-ups carry the times at which they would have happened.
    """
    with connection.cursor() as cursor:
        first = (now - timedelta(days=DAYS + 1)).date()
        cursor.execute("SELECT messaging_ensure_partitions(%s, %s)", [first, now.date()])
    sales = _price(plan_traffic({login: one.account for login, one in people.items()}, now), people)
    _move_money(sales, people, now)
    Batch.objects.bulk_create(sale.batch for sale in sales)
    Exclusion.objects.bulk_create(
        Exclusion(batch=sale.batch, value=value, reason=reason, detail=detail)
        for sale in sales
        for value, reason, detail in sale.plan.left_out
    )
    written = _write_messages(sales, route)
    begin = datetime.combine(first, time.min, tzinfo=UTC)
    recount(begin, begin + (DAYS + 3) * DAY)  # they went past the send engine, which counts what it writes
    roll_up()
    return written


def _ids(moments: list[datetime]) -> list[UUID]:
    """A UUIDv7 for each moment."""
    with connection.cursor() as cursor:
        cursor.execute(_IDS, [moments])
        return [row[0] for row in cursor.fetchall()]


def _price(planned: list[PlannedBatch], people: dict[str, Person]) -> list[_Sale]:
    lists = {login: PriceList(person.account) for login, person in people.items()}
    ids = _ids([plan.at for plan in planned])
    needed: defaultdict[str, dict[str, UnitPrice]] = defaultdict(dict)
    priced = [[lists[plan.login].price_of(one.recipient) for one in plan.messages] for plan in planned]
    for plan, prices in zip(planned, priced, strict=True):
        needed[plan.login] |= {price.prefix: price for price in prices}
    quotes = {login: lists[login].save_quotes(list(prices.values())) for login, prices in needed.items()}
    sales = []
    for plan, batch_id, prices in zip(planned, ids, priced, strict=True):
        payer = lists[plan.login].payer
        segments = segment(plan.habit.text)
        batch = _batch(plan, batch_id, people[plan.login], payer, segments)
        sale = _Sale(plan, batch, segments, prices, quotes[plan.login])
        batch.price = sale.total
        sales.append(sale)
    return sales


def _batch(plan: PlannedBatch, batch_id: UUID, person: Person, payer: Account, segments: Segments) -> Batch:
    return Batch(
        id=batch_id, account=person.account, payer=payer, created_by=person.user, door=Batch.Door.WEB,
        state=Batch.State.CANCELLED if plan.cancelled_at else Batch.State.ACCEPTED, sender=plan.habit.sender,
        text=plan.habit.text, encoding=segments.encoding, message_class=plan.habit.message_class,
        message_count=len(plan.messages), excluded_count=len(plan.left_out),
        part_count=len(plan.messages) * segments.parts, currency=payer.currency, created_at=plan.at,
        accepted_at=plan.at, cancelled_at=plan.cancelled_at,
    )  # fmt: skip


# --- Money ---------------------------------------------------------------------------------------------------------


def _move_money(sales: list[_Sale], people: dict[str, Person], now: datetime) -> None:
    """Day by day: purses are filled before they run dry, each batch is held, and the day's batches are settled."""
    purses = {person.account.pk: Purse(login, person, now) for login, person in people.items()}
    for day, group in groupby(sales, key=lambda sale: sale.plan.at.date()):
        today = list(group)
        for sale in today:
            purses[sale.batch.payer_id].spend(sale.total, sale.plan.at)
            ledger.hold(ledger.HoldOrder(
                batch_id=sale.batch.id, account=sale.batch.account, payer=sale.batch.payer, amount=sale.total,
                reference=sale.batch.code, quantity=len(sale.prices), actor=sale.batch.created_by,
            ))  # fmt: skip
        settlements = [_settlement(sale) for sale in today]
        settled = settle(key=f"demo:{day}", settlements=settlements)
        for sale, settlement in zip(today, settlements, strict=True):
            sale.settled = settled[sale.batch.id]
            purses[sale.batch.payer_id].gain(settlement.released)
            for owner, amount in settlement.earnings.items():
                purses[owner].gain(amount)


def _settlement(sale: _Sale) -> Settlement:
    """What became of the batch's money: what the carrier took is captured, the rest is given back."""
    settlement = Settlement(sale.batch.id, sale.batch.payer_id, sale.batch.code)
    for message, price in zip(sale.plan.messages, sale.prices, strict=True):
        amount = price.price * sale.segments.parts
        if message.sent_at is None:
            settlement.released += amount
            settlement.released_count += 1
            continue
        settlement.captured += amount
        settlement.captured_count += 1
        for owner, margin in price.earnings().items():
            settlement.earnings[owner] += margin * sale.segments.parts
    return settlement


# --- Messages ------------------------------------------------------------------------------------------------------


def _write_messages(sales: list[_Sale], route: Route) -> int:
    """COPY the messages, then make their parts and receipts from them."""
    ids = iter(_ids([message.accepted_at for sale in sales for message in sale.plan.messages]))
    batch_ids = [sale.batch.id for sale in sales]
    prefix = new_code(4)
    written = 0
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {Message._meta.db_table} ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
            for sale in sales:
                for message, price in zip(sale.plan.messages, sale.prices, strict=True):
                    written += 1
                    copy.write_row(_row(sale, message, price, route, next(ids), f"{prefix}{written:07d}"))
        cursor.execute(_PARTS, [batch_ids])
        cursor.execute(_RECEIPTS, [batch_ids])
    return written


def _row(
    sale: _Sale, message: PlannedMessage, price: UnitPrice, route: Route, message_id: UUID, carrier_id: str
) -> tuple[Any, ...]:
    """The values of ``_COLUMNS``."""
    batch, parts = sale.batch, sale.segments.parts
    was_taken = message.sent_at is not None
    written_at = message.sent_at or (message.done_at if message.state == Message.State.REJECTED else None)
    sending_at = written_at and written_at - timedelta(milliseconds=60)
    known_at = message.sent_at or message.done_at or message.accepted_at
    return (
        message_id, batch.id, batch.account_id, batch.payer_id, route.pk, sale.quotes[price.prefix].pk,
        message.recipient, batch.sender, parts, price.price * parts,
        None if price.display_price is None else price.display_price * parts, batch.message_class, 0, message.state,
        1 if written_at else 0, sending_at and message.accepted_at, sending_at, message.sent_at, message.done_at,
        carrier_id if was_taken else "", message.error_code, message.reason,
        known_at + timedelta(seconds=1), sale.settled.capture_id if was_taken else sale.settled.release_id,
    )  # fmt: skip
