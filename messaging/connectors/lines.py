"""The two kinds of lines to carriers, SMPP and HTTP, as a bind sees them."""

from collections.abc import Awaitable, Callable

from messaging.connectors.flight import Flight
from messaging.connectors.http_flight import HttpFlight
from messaging.connectors.http_session import HttpSession
from messaging.connectors.statements import ClaimedMessage
from messaging.services.http_sending import HttpLine
from smpp.client import ClientConfig, ClientSession, Deliver

Line = ClientConfig | HttpLine
Session = ClientSession | HttpSession
AnyFlight = Flight | HttpFlight


async def open_session(
    line: Line, on_deliver: Callable[[list[Deliver]], Awaitable[None]], on_close: Callable[[str], None]
) -> Session:
    """Connect. Raises ConnectionFailed or BindRefused."""
    if isinstance(line, HttpLine):
        return await HttpSession.connect(line, on_close)
    return await ClientSession.connect(line, on_deliver, on_close)


def new_flight(line: Line, message: ClaimedMessage) -> AnyFlight:
    """A claimed message on its way over this line."""
    return HttpFlight(message, line) if isinstance(line, HttpLine) else Flight(message)
