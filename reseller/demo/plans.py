"""What is still to come in the demo: a client that sends in its opening hours only, and what it sends tomorrow."""

from datetime import datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from messaging.models import Batch
from messaging.services.acceptance import accept_batch
from messaging.services.sending_terms import set_limits
from reseller.demo.funds import pay_by_card
from reseller.demo.people import Person

_RECIPIENTS = ("+61491570006", "+61491570156", "+61491570157", "+61491570158", "+61491570159", "+61491570110")
_TEXT = "Coastal Couriers: your parcel comes today between 10 and 12. Reply LATER for another day."


def load_plans(people: dict[str, Person], now: datetime) -> Batch:
    """Dispatch hours of a client and its batch for tomorrow at 8:30, its local time; returns the batch."""
    couriers, reseller = people["fixed"], people["reseller"]
    set_limits(account=couriers.account, actor=reseller.user, dispatch_from=time(8), dispatch_until=time(18, 30))
    pay_by_card(couriers, Decimal(25), now - timedelta(hours=3))
    zone = ZoneInfo(couriers.account.time_zone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return accept_batch(
        account=couriers.account, actor=couriers.user, door=Batch.Door.WEB, sender="Coastal", text=_TEXT,
        recipients=list(_RECIPIENTS), send_at=datetime.combine(tomorrow, time(8, 30), tzinfo=zone),
    )  # fmt: skip
