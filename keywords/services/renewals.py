"""The monthly renewal of keywords, and the end of those that must not be charged again."""

from datetime import datetime

import structlog
from django.db.models import Exists, OuterRef

from billing.models import Subscription
from billing.services import subscriptions
from billing.services.service_prices import ServicePrice, keyword_sale
from billing.services.subscriptions import FURTHEST_AHEAD, Counts
from billing.trial import local_date
from keywords.exceptions import KeywordOver
from keywords.models import Keyword
from keywords.selectors import terms_of
from keywords.services.keywords import close_for_good, end_keyword
from virtual_numbers.models import Lease

log = structlog.get_logger(__name__)


def renew_keywords(now: datetime) -> Counts:
    """Charge the months that are due at the price of today; may run twice, late and side by side."""
    end_strays(now)
    return subscriptions.renew_due(
        Subscription.Service.KEYWORD,
        price_of=price_of,
        on_end=lambda subscription: close_for_good(subscription, now),
        now=now,
    )


def price_of(subscription: Subscription) -> ServicePrice:
    """What the next month costs: the price that the parent asks now."""
    return keyword_sale(subscription.account, terms_of(subscription.account).price)


def end_strays(now: datetime) -> int:
    """End keywords before they are charged again for nothing; returns how many.

    Those on a number that their account does not hold any more, at once; those of an account for which keywords were
    switched off, when the month that is paid for is over.
    """
    held = Lease.objects.filter(number=OuterRef("number"), holder=OuterRef("account"), ended_at=None)
    in_force = Keyword.objects.filter(ended_at=None).select_related("account", "subscription").order_by("pk")
    lost = list(in_force.filter(~Exists(held)))
    due = in_force.filter(Exists(held), subscription__next_renewal_on__lte=(now + FURTHEST_AHEAD).date())
    off = due.filter(account__keyword_terms__is_enabled=False)
    over = [one for one in off if one.subscription.next_renewal_on <= local_date(one.account, now)]
    return sum(_end(keyword, now) for keyword in [*lost, *over])


def _end(keyword: Keyword, now: datetime) -> bool:
    try:
        end_keyword(keyword=keyword, actor=None, now=now)
    except KeywordOver:  # somebody ended it meanwhile
        return False
    log.info("stray_keyword_ended", keyword=keyword.code, account=keyword.account.code)
    return True
