"""Messages and margins of clients, as the send engine leaves them: in the ledger and in the reports' counts."""

import itertools
import uuid
from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from django.db import connection

from accounts.models import Account
from billing.models import Quote
from billing.services import ledger
from billing.services.pricing import PriceList
from billing.services.settlement import Settlement, settle
from messaging.models import Batch, Message, ReportChange, Route
from messaging.periods import uuid_floor
from messaging.services.rollups import Captured, note_captured

_numbers = itertools.count(1)


def put_messages(account: Account, count: int, *, accepted_at: datetime, sent_at: datetime | None) -> Batch:
    """``count`` messages to an Australian mobile; taken by the carrier and paid for at ``sent_at``, None = not yet."""
    prices = PriceList(account)
    price = prices.price_of("+61412345678")
    (quote,) = prices.save_quotes([price]).values()
    batch = Batch.objects.create(
        account=account, payer=prices.payer, door="web", state="accepted", sender="Test", text="Hello", encoding="gsm7",
        currency=account.currency, message_count=count, part_count=count,
    )  # fmt: skip
    Message.objects.bulk_create(
        Message(
            id=uuid.UUID(int=uuid_floor(accepted_at).int + next(_numbers)), batch=batch, account=account,
            payer=prices.payer, route=Route.objects.get(), quote=quote, recipient="+61412345678", sender="Test",
            parts=1, price=price.price, message_class=2, state="delivered" if sent_at else "queued", sent_at=sent_at,
        )
        for _ in range(count)
    )  # fmt: skip
    _count(account, quote, accepted_at, messages=count, sent=count if sent_at else 0)
    if sent_at:
        _count(account, quote, sent_at, captured=count, captured_parts=count)
    return batch


def _count(account: Account, quote: Quote, moment: datetime, **counts: int) -> None:
    with connection.cursor() as db:
        db.execute("SELECT messaging_quarter(%s)", [moment])
        (quarter,) = db.fetchone()
    ReportChange.objects.create(account=account, quote=quote, quarter=quarter, **counts)


def earn(payer: Account, captured: str, earnings: dict[Account, str]) -> None:
    """Capture a message's price from the payer's wallet, of which each account above it earns its part."""
    number = next(_numbers)
    batch_id = uuid.UUID(int=number)
    ledger.hold(ledger.HoldOrder(
        batch_id=batch_id, account=payer, payer=payer, amount=Decimal(captured), reference=f"B{number}", quantity=1,
        actor=None,
    ))  # fmt: skip
    settlement = Settlement(
        batch_id=batch_id, payer_id=payer.pk, reference=f"B{number}", captured=Decimal(captured), captured_count=1,
        earnings=defaultdict(Decimal, {owner.pk: Decimal(amount) for owner, amount in earnings.items()}),
    )  # fmt: skip
    capture_id = settle(key=f"test-{number}", settlements=[settlement])[batch_id].capture_id
    assert capture_id is not None
    quote = Quote.objects.create(
        account=payer, payer=payer, currency=payer.currency, prefix="61", country="AU",
        chain=_chain(payer, Decimal(captured), earnings), unit_price=captured, fingerprint=f"test-{number}",
    )  # fmt: skip
    note_captured([Captured(capture_id, quote.pk, 1, 1)])


def _chain(payer: Account, price: Decimal, earnings: dict[Account, str]) -> list[list[object]]:
    """Prices from the platform's client down to the payer, between which lies what each of them earns."""
    earned = {owner.pk: Decimal(amount) for owner, amount in earnings.items()}
    chain: list[list[object]] = []
    for key in reversed(payer.path[1:]):
        price -= earned.get(key, Decimal(0))
        chain.insert(0, [key, str(price)])
    return chain
