"""Messages and margins of clients, as the send engine leaves them."""

import itertools
import uuid
from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from billing.services import ledger
from billing.services.pricing import PriceList
from billing.services.settlement import Settlement, settle
from messaging.models import Batch, Message, Route
from messaging.periods import uuid_floor

_numbers = itertools.count(1)


def put_messages(account: Account, count: int, *, accepted_at: datetime, sent_at: datetime | None) -> Batch:
    """``count`` messages to an Australian mobile; handed to the carrier at ``sent_at``, None = not yet."""
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
    return batch


def earn(payer: Account, captured: str, earnings: dict[Account, str]) -> None:
    """Capture an amount from the payer's wallet, of which each account above it earns its part."""
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
    settle(key=f"test-{number}", settlements=[settlement])
