"""Why a message costs what it costs, as far as the viewer may see (PRODUCT.md, money rules 2 and 3)."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.countries import country_name
from accounts.models import Account
from messaging.models import Message
from messaging.selectors import Sight


@dataclass(frozen=True)
class Level:
    """One account's price of the message. ``margin``: what the account above it earns on a part, None at the top."""

    account: Account
    unit_price: Decimal
    total: Decimal
    margin: Decimal | None
    is_viewer: bool
    is_payer: bool


@dataclass(frozen=True)
class Billed:
    """What the paying parent bills its client: its display price."""

    client: Account
    unit_price: Decimal
    total: Decimal
    profit: Decimal


@dataclass(frozen=True)
class PriceExplanation:
    """The levels from the viewer down to the payer; nothing above the viewer is in it."""

    levels: list[Level]
    billed: Billed | None
    currency: str
    parts: int
    prefix: str
    country: str


def explain_price(message: Message, sight: Sight) -> PriceExplanation | None:
    """The message's price from the viewer's level down; None where the viewer may see no price of it."""
    if not sight.sees_price(message.payer, message.quote.currency):
        return None
    chain = [(int(owner), Decimal(price)) for owner, price in message.quote.chain]
    start = next((index for index, (owner, _) in enumerate(chain) if owner == sight.viewer.pk), None)
    if start is None:
        return None
    visible = chain[start:]
    accounts = Account.objects.in_bulk([*(owner for owner, _ in visible), *message.account.path])
    levels, above = [], None
    for owner, price in visible:
        levels.append(
            Level(
                account=accounts[owner],
                unit_price=price,
                total=price * message.parts,
                margin=None if above is None else price - above,
                is_viewer=owner == sight.viewer.pk,
                is_payer=owner == message.payer_id,
            )
        )
        above = price
    return PriceExplanation(
        levels=levels,
        billed=_billed(message, accounts),
        currency=message.quote.currency,
        parts=message.parts,
        prefix=message.quote.prefix,
        country=country_name(message.quote.country),
    )


def _billed(message: Message, accounts: dict[int, Account]) -> Billed | None:
    unit_price = message.quote.display_price
    if unit_price is None:
        return None
    client = accounts[message.account.path[len(message.payer.path)]]
    total = unit_price * message.parts
    return Billed(client, unit_price, total, total - message.quote.unit_price * message.parts)
