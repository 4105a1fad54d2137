"""What a request's account may see, with terms that were looked up once for the whole page."""

from accounts.access import TenantRequest
from billing.visitor import terms_of_visitor
from messaging.selectors import Sight


def sight_of(request: TenantRequest) -> Sight:
    """What the request's account may see of messages."""
    return Sight(request.account, lambda: terms_of_visitor(request))
