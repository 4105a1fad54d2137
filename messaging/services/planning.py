"""What sending a text would do and cost, without doing it: the preview and the first half of accepting a batch."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings

from accounts.models import Account
from accounts.selectors import suspended_in_line
from billing.exceptions import NoPrice, NotAllowed, NotLocal
from billing.selectors import shows_money
from billing.services.pricing import PriceList, UnitPrice
from billing.trial import trial_is_over
from messaging.exceptions import (
    AccountSuspended,
    BadSender,
    BadText,
    NothingToSend,
    SendingNotAllowed,
    TextTooLong,
    TooManyRecipients,
    TrialExpired,
)
from messaging.models import Exclusion, RouteRule
from messaging.services.recipients import NotMobile, read_mobile, read_sender_number, split_recipients
from smpp.text import Segments, segment

__all__ = [
    "MAX_PARTS",
    "Destination",
    "Plan",
    "PlannedExclusion",
    "PlannedRecipient",
    "check_sender",
    "check_text",
    "plan_batch",
    "split_recipients",
]

MAX_PARTS = 10
MAX_NAME = 11  # characters of an alphanumeric sender (3GPP TS 23.040, 9.1.2.5)

_NUMBER_LIKE = re.compile(r"[+\d\s().\-/]+")
_NAME = re.compile(r"[A-Za-z0-9 &._'\-]+")
_NAME_CHARACTERS = "letters A–Z, digits, space and & . _ ' -"

Reason = Exclusion.Reason


@dataclass(frozen=True, slots=True)
class PlannedRecipient:
    """A recipient that would get the message: E.164 number, the price of one part and the route that takes it."""

    number: str
    price: UnitPrice
    route_id: int


@dataclass(frozen=True, slots=True)
class PlannedExclusion:
    """A recipient that would be left out: ``value`` as it was typed, a reason (Exclusion.Reason) and it in words."""

    value: str
    reason: str
    detail: str

    @property
    def reason_label(self) -> str:
        return str(Reason(self.reason).label)


@dataclass(frozen=True, slots=True)
class Destination:
    """All recipients that share a price: how many, the payer's price of one part, and what all their parts cost."""

    prefix: str
    country: str
    count: int
    unit_price: Decimal
    total: Decimal


@dataclass(frozen=True)
class Plan:
    """What would be sent, to whom, and for how much. Money is the payer's, in its currency."""

    account: Account
    payer: Account
    prices: PriceList
    shows_money: bool  # whether the sending account may see any amount (PRODUCT.md, money rule 3)
    sender: str
    text: str
    segments: Segments
    recipients: list[PlannedRecipient]
    exclusions: list[PlannedExclusion]
    destinations: list[Destination] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "destinations", self._sum_destinations())

    def _sum_destinations(self) -> list[Destination]:
        counts = Counter(recipient.price.prefix for recipient in self.recipients)
        prices = {recipient.price.prefix: recipient.price for recipient in self.recipients}
        rows = [
            Destination(
                prefix, prices[prefix].country, count, prices[prefix].price, prices[prefix].price * self.parts * count
            )
            for prefix, count in counts.items()
        ]
        return sorted(rows, key=lambda row: (-row.count, row.prefix))

    @property
    def encoding(self) -> str:
        """The alphabet: GSM-7 or UCS-2."""
        return self.segments.encoding

    @property
    def characters(self) -> int:
        return self.segments.characters

    @property
    def parts(self) -> int:
        """Parts of one message."""
        return self.segments.parts

    @property
    def part_count(self) -> int:
        """Parts of all messages."""
        return self.parts * len(self.recipients)

    @property
    def message_count(self) -> int:
        return len(self.recipients)

    @property
    def total(self) -> Decimal:
        """What accepting the batch would hold, exactly."""
        return sum((row.total for row in self.destinations), Decimal(0))

    @property
    def subsidies(self) -> dict[int, Decimal]:
        """What accepting the batch would hold of accounts above the payer that sell below their own price."""
        found: defaultdict[int, Decimal] = defaultdict(Decimal)
        prices = {recipient.price.prefix: recipient.price for recipient in self.recipients}
        for row in self.destinations:
            for owner, margin in prices[row.prefix].earnings().items():
                if margin < 0:
                    found[owner] -= margin * self.parts * row.count
        return dict(found)

    @property
    def currency(self) -> str:
        return self.prices.currency

    @property
    def shows_credits(self) -> bool:
        """Whether the amounts are the sending account's own SMS credits."""
        return self.prices.uses_credits and self.payer.pk == self.account.pk

    @property
    def shows_amounts(self) -> bool:
        """Whether the sending account may see what the batch takes: money, or credits."""
        return self.shows_money or self.shows_credits

    def excluded(self, reason: str) -> list[PlannedExclusion]:
        """The exclusions with one reason of Exclusion.Reason."""
        return [row for row in self.exclusions if row.reason == reason]


def plan_batch(*, account: Account, sender: str, text: str, recipients: list[str], limit: int | None = None) -> Plan:
    """Validate, normalise, filter, segment, route and price; writes nothing.

    ``recipients`` are numbers as typed (see split_recipients), local ones read for the account's country; ``limit`` is
    the most that one batch may have (MAX_WEB_RECIPIENTS when None). A plan may have no recipient left.

    Raises SendingError: AccountSuspended, BadSender, BadText, TextTooLong, NothingToSend (none was given),
    TooManyRecipients, SendingNotAllowed, TrialExpired.
    """
    limit = settings.MAX_WEB_RECIPIENTS if limit is None else limit
    if not recipients:
        raise NothingToSend("Enter at least one recipient.")
    if len(recipients) > limit:
        raise TooManyRecipients(f"There are {len(recipients):,} recipients; at most {limit:,} can be sent to at once.")
    check_active(account)
    sender, text = check_sender(sender, account.country), check_text(text)
    try:
        prices = PriceList(account)
    except NotAllowed as error:
        raise SendingNotAllowed(str(error)) from error
    check_trial(account, prices)
    sorter = _Sorter(account.country, prices, load_routes())
    for value in recipients:
        sorter.add(value)
    return Plan(
        account=account, payer=prices.payer, prices=prices, shows_money=shows_money(account), sender=sender, text=text,
        segments=segment(text), recipients=sorter.recipients, exclusions=sorter.exclusions,
    )  # fmt: skip


def check_active(account: Account) -> None:
    """Raises AccountSuspended when the account or one above it is not active; names no other account."""
    stopped = suspended_in_line(account)
    if stopped is None:
        return
    if stopped == account:
        raise AccountSuspended("This account is suspended, so nothing can be sent. Ask whoever manages it.")
    raise AccountSuspended("Sending is stopped for this account. Ask whoever manages it.")


def check_trial(account: Account, prices: PriceList) -> None:
    """Raises TrialExpired when the payer's trial ran out. What was accepted before still goes."""
    if not trial_is_over(prices.payer_terms):
        return
    if prices.payer != account:
        raise TrialExpired("Sending is stopped for this account. Ask whoever manages it.")
    ended = f"{prices.payer_terms.trial_ends_on:%Y-%m-%d}"
    raise TrialExpired(f"The trial of this account ended on {ended}, so nothing can be sent. Add credit to go on.")


def check_sender(sender: str, country: str = "") -> str:
    """Return the sender as it will be sent. Raises BadSender saying what is allowed."""
    sender = " ".join(sender.split())
    if not sender:
        raise BadSender("Enter a sender: a number, or a name of up to 11 characters.")
    if _NUMBER_LIKE.fullmatch(sender):
        number = read_sender_number(sender, country)
        if not number:
            raise BadSender(f"The sender {sender[:40]} is no number: write + and the country code, up to 15 digits.")
        return number
    if not _NAME.fullmatch(sender):
        wrong = next(character for character in sender if not _NAME.fullmatch(character))
        raise BadSender(f"The sender contains “{wrong}”; allowed are {_NAME_CHARACTERS}.")
    if len(sender) > MAX_NAME:
        raise BadSender(f"The sender {sender[:40]} has {len(sender)} characters; a name has at most {MAX_NAME}.")
    if not any(character.isalpha() for character in sender):
        raise BadSender(f"The sender {sender} needs at least one letter, or must be a number.")
    return sender


def check_text(text: str) -> str:
    """Return the text as it will be sent: forms send line ends as two characters, handsets need one.

    Raises BadText, TextTooLong.
    """
    text = _storable(text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise BadText("Enter the text of the message.")
    parts = segment(text).parts
    if parts > MAX_PARTS:
        raise TextTooLong(
            f"The text has {len(text):,} characters and would need {parts} parts; at most {MAX_PARTS} are possible."
            " Shorten it."
        )
    return text


def _storable(text: str) -> str:
    """Without what the database cannot store: NUL, and halves of surrogate pairs (JSON can carry them)."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def load_routes() -> dict[str, int]:
    """Route ids by prefix (digits without "+"; the empty one takes the rest)."""
    return dict(RouteRule.objects.values_list("prefix", "route_id"))


class _Sorter:
    """Sorts recipients into those that get the message and those that do not."""

    def __init__(self, country: str, prices: PriceList, routes: dict[str, int]) -> None:
        self.recipients: list[PlannedRecipient] = []
        self.exclusions: list[PlannedExclusion] = []
        self._country = country
        self._prices = prices
        self._routes = routes
        self._route_lengths = sorted({len(prefix) for prefix in routes}, reverse=True)
        self._seen: set[str] = set()

    def add(self, value: str) -> None:
        number = read_mobile(value, self._country)
        if isinstance(number, NotMobile):
            self._exclude(value, Reason.INVALID, number.detail)
        elif number in self._seen:
            self._exclude(value, Reason.DUPLICATE, f"{number} is in the list already.")
        else:
            self._seen.add(number)
            self._place(value, number)

    def _place(self, value: str, number: str) -> None:
        try:
            price = self._prices.price_of(number)
        except NoPrice as error:
            self._exclude(value, Reason.NO_PRICE, str(error))
            return
        except NotLocal as error:
            self._exclude(value, Reason.NOT_LOCAL, str(error))
            return
        route_id = self._route_of(number)
        if route_id is None:
            self._exclude(value, Reason.NO_ROUTE, "No carrier takes this destination yet.")
        else:
            self.recipients.append(PlannedRecipient(number, price, route_id))

    def _route_of(self, number: str) -> int | None:
        for length in self._route_lengths:
            route_id = self._routes.get(number[1 : 1 + length])
            if route_id is not None:
                return route_id
        return None

    def _exclude(self, value: str, reason: str, detail: str) -> None:
        self.exclusions.append(PlannedExclusion(_storable(value)[:60], reason, detail[:200]))
