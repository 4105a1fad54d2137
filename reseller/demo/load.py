"""Loads the demo in one transaction, once."""

from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from reseller.demo.carrier import load_carrier, point_at_simulator, write_costs
from reseller.demo.funds import hand_out_credits
from reseller.demo.history import write_history
from reseller.demo.inventory import lease_numbers, load_numbers
from reseller.demo.people import is_loaded, load_people
from reseller.demo.plans import load_plans
from reseller.demo.rates import load_rate_cards
from reseller.demo.replies import load_replies
from reseller.demo.traffic import DAYS

# Any fixed number: the key of the advisory lock that keeps two loads of one database apart.
LOCK_KEY = 7_203_114_953


@transaction.atomic
def load_demo() -> int | None:
    """Load people, prices, carrier and history; returns the number of messages, None when the demo is there already.

    Points the carrier's connector at the simulator either way.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
    if is_loaded():
        point_at_simulator()
        return None
    now = timezone.now()
    load_rate_cards()
    people = load_people(since=now - timedelta(days=DAYS + 1))
    route = load_carrier()
    count = write_history(people, route, now)
    write_costs(route)
    hand_out_credits(people["credits"])
    load_numbers(route)
    load_replies(people, lease_numbers(people, now), route, now)
    return count + load_plans(people, now).message_count
