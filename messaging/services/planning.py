"""What sending a text would do and cost, without doing it: the preview and the first half of accepting a batch."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

from django.conf import settings

from accounts.models import Account
from accounts.phones import NotMobile, read_mobile, read_sender_number, split_recipients
from accounts.selectors import suspended_in_line
from billing.exceptions import NoPrice, NotLocal
from billing.services.pricing import PriceList
from billing.trial import trial_is_over
from contacts.models import ContactList
from contacts.selectors import numbers_on, opted_out_among
from messaging.exceptions import (
    AccountSuspended,
    BadSender,
    NothingToSend,
    TooManyRecipients,
    TrialExpired,
)
from messaging.models import Exclusion
from messaging.services.batch_plan import Destination, Plan, PlannedExclusion, PlannedRecipient
from messaging.services.conditions import Conditions
from messaging.services.routing import RoutePlanner
from messaging.services.texts import MAX_PARTS, Texts, Unsendable, check_text, storable
from smpp.text import segment

__all__ = [
    "MAX_PARTS",
    "Destination",
    "Plan",
    "PlannedExclusion",
    "PlannedRecipient",
    "Planner",
    "Sending",
    "check_sender",
    "check_text",
    "plan_batch",
    "split_recipients",
    "typed_sending",
]

CHUNK = 5_000  # recipients that are looked at together
MAX_NAME = 11  # characters of an alphanumeric sender (3GPP TS 23.040, 9.1.2.5)

_NUMBER_LIKE = re.compile(r"[+\d\s().\-/]+")
_NAME = re.compile(r"[A-Za-z0-9 &._'\-]+")
_NAME_CHARACTERS = "letters A–Z, digits, space and & . _ ' -"

Reason = Exclusion.Reason


class Sending(TypedDict):
    """What is sent and to whom, as plan_batch takes it."""

    sender: str
    text: str
    recipients: list[str]
    lists: NotRequired[Collection[ContactList]]
    merges: NotRequired[bool]
    limit: NotRequired[int | None]
    confirms_opt_out: NotRequired[bool]


def plan_batch(*, account: Account, **sending: Unpack[Sending]) -> Plan:
    """Plan one batch of the account; as Planner.plan."""
    return Planner(account).plan(**sending)


def typed_sending(
    account: Account, *, sender: str, text: str, recipients: str, lists: Collection[ContactList]
) -> Sending:
    """What a person typed into SEND SMS, as plan_batch takes it."""
    return {
        "sender": sender,
        "text": text,
        "recipients": split_recipients(recipients, account.country),
        "lists": lists,
        "merges": True,
    }


class Planner:
    """Plans batches of one account at one moment: what they share is looked up once.

    ``report`` is told of every CHUNK of recipients that read_ahead or plan has come through: how many, and of how many.
    """

    def __init__(
        self, account: Account, conditions: Conditions | None = None, report: Callable[[int, int], None] | None = None
    ) -> None:
        self._account = account
        self._report = report
        self._conditions = conditions or Conditions(account)
        self._numbers: dict[str, str | NotMobile] = {}
        self._opted_out: dict[str, bool] = {}

    def numbers_in(self, recipients: Iterable[str]) -> set[str]:
        """Which mobile numbers (E.164) these, as typed, are."""
        return {number for value in recipients if isinstance(number := self._read(value), str)}

    def note_opted_out(self, numbers: Collection[str], opted_out: Collection[tuple[int, str]]) -> None:
        """Take what was looked up of ``numbers`` for several accounts at once (contacts.selectors.opted_out_pairs)."""
        self._opted_out |= {number: (self._account.pk, number) in opted_out for number in numbers}

    def read_ahead(
        self, recipients: list[str], lists: Collection[ContactList] = (), *, limit: int | None = None
    ) -> None:
        """Read the numbers of a plan ahead of it, so that it locks opt-outs and prices for a shorter time.

        What a number is does not depend on the moment; all else does, and is left to ``plan``. Raises what it raises
        for too many recipients, or none.
        """
        values = _gather(self._account, recipients, lists, limit)
        for chunk in self._chunks(values):
            for value in chunk:
                self._read(value)

    def _chunks(self, values: list[str]) -> Iterator[list[str]]:
        for start in range(0, len(values), CHUNK):
            yield values[start : start + CHUNK]
            if self._report:
                self._report(min(start + CHUNK, len(values)), len(values))

    def plan(
        self,
        *,
        sender: str,
        text: str,
        recipients: list[str],
        lists: Collection[ContactList] = (),
        merges: bool = False,
        limit: int | None = None,
        confirms_opt_out: bool = False,
    ) -> Plan:
        """Validate, normalise, filter, render, segment, route and price; writes nothing.

        ``recipients`` are numbers as typed (see split_recipients), local ones read for the account's country; to them
        come the members of the account's ``lists``. With ``merges`` the text's merge fields become each contact's
        values; without, braces are text. ``limit`` is the most that one batch may have (MAX_WEB_RECIPIENTS when None).
        ``confirms_opt_out`` is for the one text that tells a phone that it is opted out: opt-outs do not keep it from
        being sent. A plan may have no recipient left.

        Raises SendingError: AccountSuspended, BadSender, BadText, TextTooLong, NothingToSend (none was given),
        TooManyRecipients, SendingNotAllowed, TrialExpired.
        """
        account = self._account
        values = _gather(account, recipients, lists, limit)
        self._check_active()
        sender, text = check_sender(sender, account.country), check_text(text, merges=merges)
        prices = self._conditions.prices
        check_trial(account, prices)
        texts = Texts(account, text, merges=merges)
        sorter = _Sorter(prices, self._conditions.routes, texts)
        for chunk in self._chunks(values):
            read = [(value, self._read(value)) for value in chunk]
            numbers = [number for _, number in read if isinstance(number, str)]
            sorter.sort(read, set() if confirms_opt_out else self._are_opted_out(numbers))
        example = (sorter.recipients[0].text if sorter.recipients else None) or text
        segments = segment(example)
        return Plan(
            account=account, payer=prices.payer, prices=prices, shows_money=self._conditions.shows_money,
            sender=sender, text=text, example=example, segments=segments,
            encodings=frozenset(sorter.encodings or {segments.encoding}),
            recipients=sorter.recipients, exclusions=sorter.exclusions,
        )  # fmt: skip

    def _read(self, value: str) -> "str | NotMobile":
        if value not in self._numbers:
            self._numbers[value] = read_mobile(value, self._account.country)
        return self._numbers[value]

    def _are_opted_out(self, numbers: Collection[str]) -> set[str]:
        unknown = [number for number in numbers if number not in self._opted_out]
        if unknown:
            found = opted_out_among(self._account, unknown)
            self._opted_out |= {number: number in found for number in unknown}
        return {number for number in numbers if self._opted_out[number]}

    def _check_active(self) -> None:
        if not self._conditions.is_active:
            check_active(self._account)


def _gather(account: Account, recipients: list[str], lists: Collection[ContactList], limit: int | None) -> list[str]:
    """The members of the lists, each once, and then what was typed."""
    limit = settings.MAX_WEB_RECIPIENTS if limit is None else limit
    members = numbers_on(account, lists, limit + 1)
    if lists and len(members) + len(recipients) > limit:
        raise TooManyRecipients(
            f"The lists and numbers together are more than {limit:,} recipients, the most that can be sent to at once."
            " Choose fewer."
        )
    if len(recipients) > limit:
        raise TooManyRecipients(f"There are {len(recipients):,} recipients; at most {limit:,} can be sent to at once.")
    if lists and not members and not recipients:
        raise NothingToSend("Nobody is on what you chose; choose a list that has members, or enter a number.")
    if not members and not recipients:
        raise NothingToSend("Enter at least one recipient, or choose a list.")
    return members + recipients


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


class _Sorter:
    """Sorts recipients into those that get the message and those that do not."""

    def __init__(self, prices: PriceList, routes: RoutePlanner, texts: Texts) -> None:
        self.recipients: list[PlannedRecipient] = []
        self.exclusions: list[PlannedExclusion] = []
        self.encodings: set[str] = set()
        self._prices = prices
        self._routes = routes
        self._texts = texts
        self._seen: set[str] = set()

    def sort(self, values: "list[tuple[str, str | NotMobile]]", opted_out: set[str]) -> None:
        """Sort the next values, as typed, each with its number or why it is none."""
        self._texts.load([number for _, number in values if isinstance(number, str)])
        seen = self._seen
        for value, number in values:
            if isinstance(number, NotMobile):
                self._exclude(value, _Refusal(Reason.INVALID, number.detail))
            elif number in seen:
                self._exclude(value, _Refusal(Reason.DUPLICATE, f"{number} is in the list already."))
            elif number in opted_out:
                self._exclude(value, _Refusal(Reason.OPTED_OUT, "This person has opted out of your messages."))
            else:
                self._place(value, number)
            if isinstance(number, str):
                seen.add(number)

    def _place(self, value: str, number: str) -> None:
        try:
            price = self._prices.price_of(number)
        except NoPrice as error:
            return self._exclude(value, _Refusal(Reason.NO_PRICE, str(error)))
        except NotLocal as error:
            return self._exclude(value, _Refusal(Reason.NOT_LOCAL, str(error)))
        own = self._texts.of(number)
        parts = 1 if isinstance(own, Unsendable) else own.segments.parts
        income = self._prices.income_of(number) if self._prices.uses_credits else price.chain[0][1]
        choice = self._routes.choose(number, parts, income)
        if choice is None:
            # Nothing is said of costs: a route that would cost more than it brings is no route for this account.
            return self._exclude(value, _Refusal(Reason.NO_ROUTE, "No carrier takes this destination yet."))
        if isinstance(own, Unsendable):
            return self._exclude(value, _Refusal(Reason.TEXT, own.detail))
        self.encodings.add(own.segments.encoding)
        self.recipients.append(PlannedRecipient(number, price, choice.route_id, parts, own.text, choice.cost))

    def _exclude(self, value: str, refusal: "_Refusal") -> None:
        self.exclusions.append(PlannedExclusion(storable(value)[:60], refusal.reason, refusal.detail[:200]))


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a value gets no message: a reason of Exclusion.Reason and a sentence."""

    reason: str
    detail: str
