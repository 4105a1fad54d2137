"""The tester: what an inbound message would set off, in words and with its price, without doing any of it.

It asks the planning that the pipeline uses (keywords/actions.py) and then looks at what the pipeline would leave out.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.countries import example_mobile
from accounts.models import Account
from billing.exceptions import BillingError
from billing.selectors import shows_money
from billing.services.pricing import PriceList
from contacts.models import ContactList
from contacts.selectors import opted_out_among
from keywords.actions import InboundText, PlannedAction, plan_many
from keywords.matching import Match, match, why_resting
from keywords.reserved import HELP, OPT_IN, OPT_OUT
from smpp.text import segment
from virtual_numbers.models import VirtualNumber
from virtual_numbers.selectors import senders_of

TITLES = {
    "opt_out": "Opt out", "opt_in": "Opt in", "add_to_list": "Add to list", "reply": "Reply",
    "forward_email": "Forward by e-mail", "forward_mobile": "Forward to mobile", "forward_url": "Forward to URL",
}  # fmt: skip
MEANINGS = {
    OPT_OUT: "is a reserved word that stops messages, whatever keywords there are.",
    OPT_IN: "is a reserved word that starts messages again; then the number’s own settings decide.",
    HELP: "is a reserved word that asks for help; the number’s own settings decide, and nobody goes on a list.",
}


@dataclass(frozen=True)
class Step:
    """One thing that would be done. ``problem``: why it would be left out instead, "" when it would not.

    ``text`` is what would be sent, in ``parts``; ``cost`` of all of them is None where nothing is sent or where the
    account sees neither money nor credits.
    """

    title: str
    target: str = ""
    text: str = ""
    parts: int = 0
    cost: Decimal | None = None
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """What a message would set off. ``verdict`` says which keyword takes it, or why none does.

    ``total`` of what would be sent is in ``currency`` (money or credits); None where the account sees neither.
    """

    match: Match
    verdict: str
    sender: str
    steps: list[Step]
    total: Decimal | None
    currency: str

    @property
    def parts(self) -> int:
        """Parts of all messages that would be sent."""
        return sum(step.parts for step in self.steps if not step.problem)


def try_message(
    *, account: Account, number: VirtualNumber, text: str, sender: str, is_first: bool, now: datetime
) -> Trial:
    """Plan for a message to one of the account's numbers. ``sender``: E.164, or "" for an ordinary mobile there."""
    sender = sender or example_mobile(number.country)
    found = match(number, text, now)
    planned = plan_many([InboundText(account, number, sender, text, is_first, found)])[0]
    pricing = _Pricing(account, number, sender, planned)
    steps = [pricing.step(action) for action in planned]
    total = sum((step.cost for step in steps if step.cost is not None), Decimal(0)) if pricing.is_shown else None
    return Trial(found, _verdict(found, number, now), sender, steps, total, pricing.currency)


def _verdict(found: Match, number: VirtualNumber, now: datetime) -> str:
    if found.keyword is not None:
        return f"The keyword {found.keyword.word} takes it."
    if found.reserved:
        return f"“{found.word}” {MEANINGS[found.reserved]}"
    settings = f"the settings of {number.number} decide."
    if found.resting is not None:
        why = why_resting(found.resting, now)
        return f"“{found.word}” leads to the keyword {found.resting.word}, but {why}; {settings}"
    if not found.word:
        return f"There is no word in it, so no keyword takes it; {settings}"
    return f"No keyword of {number.number} begins with “{found.word}”; {settings}"


class _Pricing:
    """What the account pays for messages, and which of them would be left out."""

    def __init__(self, account: Account, number: VirtualNumber, sender: str, planned: list[PlannedAction]) -> None:
        self._account, self._number, self._sender = account, number, sender
        phones = {self._phone(action) for action in planned}
        kinds = {action.kind for action in planned}
        self._opted_out = opted_out_among(account, phones) - ({sender} if "opt_in" in kinds else set())
        self._ours = set(VirtualNumber.objects.filter(number__in=phones).values_list("number", flat=True))
        self._can_send = number in senders_of(account)
        self._lists = dict(ContactList.objects.filter(account=account).values_list("code", "name"))
        self._prices: PriceList | None = None
        try:
            self._prices = PriceList(account)
        except BillingError:
            self.is_shown = False
            self.currency = account.currency
        else:
            self.is_shown = shows_money(account) or (self._prices.uses_credits and self._prices.payer == account)
            self.currency = self._prices.currency

    def _phone(self, action: PlannedAction) -> str:
        return action.target if action.kind == "forward_mobile" else self._sender

    def step(self, action: PlannedAction) -> Step:
        title = TITLES[action.kind]
        if action.kind in ("reply", "forward_mobile"):
            return self._text(title, self._phone(action), action.payload["text"])
        if action.kind == "add_to_list":
            return Step(title, self._lists.get(action.target, ""))
        return Step(title, action.target or self._sender)

    def _text(self, title: str, phone: str, text: str) -> Step:
        parts = segment(text).parts
        problem, cost = self._why_not(phone), None
        if not problem and self._prices is not None:
            try:
                cost = self._prices.price_of(phone).price * parts
            except BillingError as error:
                problem = str(error)
        return Step(title, phone, text, parts, cost if self.is_shown and not problem else None, problem)

    def _why_not(self, phone: str) -> str:
        """As messaging/services/inbound_texts.py leaves texts out, in a room above this one."""
        if phone in self._opted_out:
            return f"{phone} has opted out of your messages."
        if phone in self._ours:
            return f"{phone} is a number of this portal; automatic messages between such numbers could never end."
        if not self._can_send:
            return f"{self._number.number} cannot send."
        return ""
