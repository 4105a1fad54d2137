"""Under what conditions an account sends: its prices, its routes, whether it may send at all."""

import time
from functools import cached_property

from accounts.models import Account
from accounts.selectors import suspended_in_line
from accounts.services.changes import Kept
from billing.exceptions import NotAllowed
from billing.selectors import shows_money
from billing.services.pricing import PriceList
from messaging.exceptions import SendingNotAllowed
from messaging.models import SendingTerms
from messaging.services.route_states import down_routes
from messaging.services.routing import RoutePlanner

ROUTES_SECONDS = 1.0  # after which it is looked again which routes are down: nobody notes that as a change


class Conditions:
    """One account's, each read when it is first asked for."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._routes: RoutePlanner | None = None
        self._routes_at = 0.0

    @cached_property
    def is_active(self) -> bool:
        """Whether neither the account nor one above it is suspended."""
        return suspended_in_line(self._account) is None

    @cached_property
    def prices(self) -> PriceList:
        """Raises SendingNotAllowed where nobody pays for the account."""
        try:
            return PriceList(self._account)
        except NotAllowed as error:
            raise SendingNotAllowed(str(error)) from error

    @cached_property
    def shows_money(self) -> bool:
        """Whether the account may see any amount (PRODUCT.md, money rule 3)."""
        return shows_money(self._account)

    @cached_property
    def has_limits(self) -> bool:
        """Whether its messages may have to wait for a limit, its own or of an account above it, or for its hours."""
        terms = SendingTerms.objects.filter(account__in=self._account.path)
        limited = terms.exclude(throughput=None, daily_limit=None)
        return limited.exists() or terms.filter(account=self._account, dispatch_from__isnull=False).exists()

    @property
    def routes(self) -> RoutePlanner:
        """What chooses routes, with the routes that were down a second ago at most."""
        now = time.monotonic()
        if self._routes is not None and now - self._routes_at > ROUTES_SECONDS:
            self._routes_at = now
            if self._routes.down != down_routes():
                self._routes = None
        if self._routes is None:
            self._routes, self._routes_at = RoutePlanner(self._account), now
        return self._routes


kept_conditions = Kept(Conditions)  # for doors through which messages come one by one
